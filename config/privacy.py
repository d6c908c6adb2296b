"""Check what profiles, the vault and rules say of one another."""

import base64
import binascii
import re
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from config import secrets
from config.files import Place
from config.shapes import Secret
from config.tables import Found, Tables, at, is_file, listed_tables, named_tables, table
from config.words import suggestion, unknown
from dicom.keywords import tag_for_keyword, tags

_TAG: Final = re.compile(r"[0-9A-Fa-f]{4},[0-9A-Fa-f]{4}")
_DATES: Final = {"full-dates", "modified-dates"}


def check(tables: Tables, folder: Path, *, with_secrets: bool = True) -> Found:
    """Yield each fault as its place and words; relative paths are looked for in `folder`.

    With secrets, keys are compared by what they are, otherwise by where they come from alone.
    """
    for name, profile in named_tables(tables, "profiles"):
        here = ("profiles", name)
        yield from _options(here, profile)
        yield from _exceptions(here, profile)
        for key in ("vocabulary", "device_rules"):
            file = profile.get(key)
            if isinstance(file, str) and not is_file(folder / file):
                yield (*here, key), f"there is no file {folder / file}"
        if profile.get("reversible") is True and "vault" not in tables:
            yield (*here, "reversible"), "needs a [vault], which keeps the way back"
    yield from _shared_keys(tables, folder, with_secrets=with_secrets)
    for i, rule in listed_tables(tables, "rules"):
        yield from _rule(tables, ("rules", i), rule)


def _shared_keys(tables: Tables, folder: Path, *, with_secrets: bool) -> Found:
    """Find profiles whose key is the vault's."""
    vault = _secret(at(tables, ("vault", "key")), folder)
    for name, profile in named_tables(tables, "profiles"):
        key = _secret(profile.get("key"), folder)
        if vault is None or key is None:
            continue
        is_same = vault == key
        if with_secrets and not any(map(secrets.problem, (vault, key))):
            is_same = is_same or _content(vault) == _content(key)
        if is_same:
            words = f"is the same secret as [profiles.{name}] key: who can link pseudonyms could"
            yield (
                ("vault", "key"),
                words + " open the vault; make one of its own with `penumbra key new vault.key`",
            )


def _secret(value: Any, folder: Path) -> Secret | None:
    """Take what names a secret; None for what is absent or of a wrong shape, told elsewhere."""
    try:
        secret = Secret.model_validate(value)
    except ValidationError:
        return None
    file = secret.file
    return secret if file is None else secret.model_copy(update={"file": folder / file})


def _content(secret: Secret) -> bytes:
    """Read a key's bytes, however they are written, for comparing."""
    raw = secrets.read(secret)
    line = raw.strip()
    try:
        if re.fullmatch(rb"(?:[0-9A-Fa-f]{2})+", line):
            return bytes.fromhex(line.decode("ascii"))
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        return raw


def _options(here: Place, profile: Tables) -> Found:
    chosen = profile.get("options")
    options = {each for each in chosen if isinstance(each, str)} if isinstance(chosen, list) else ()
    if set(options) >= _DATES:
        yield (*here, "options"), "has both full-dates and modified-dates; take one of them"
    dropped = profile.get("without")
    for i, option in enumerate(dropped if isinstance(dropped, list) else ()):
        if option in options:
            yield (*here, "without", i), f"is {option!r}, which options asks for"


def _exceptions(here: Place, profile: Tables) -> Found:
    seen: set[int] = set()
    for i, each in listed_tables(profile, "exceptions"):
        place, text = (*here, "exceptions", i, "tag"), each.get("tag")
        if not isinstance(text, str):
            continue
        tag = int(text.replace(",", ""), 16) if _TAG.fullmatch(text) else tag_for_keyword(text)
        if tag is None:
            near = suggestion(text, tags()) or 'or a tag, as "0010,1010"'
            yield place, f"is no DICOM keyword; {near}"
        elif tag in seen:
            yield place, "is there twice"
        else:
            seen.add(tag)


def _rule(tables: Tables, here: Place, rule: Tables) -> Found:
    profiles = table(tables, "profiles")
    for key in ("profile", "reidentify"):
        name = rule.get(key)
        if isinstance(name, str) and name not in profiles:
            yield (*here, key), unknown(name, profiles, "profile")
    back = rule.get("reidentify")
    if not isinstance(back, str):
        return
    if "profile" in rule:
        yield (*here, "reidentify"), "and profile exclude each other: one takes identity away"
    if back in profiles and at(profiles, (back, "reversible")) is not True:
        yield (*here, "reidentify"), f"names {back!r}, which is not reversible: nothing was kept"
