"""Check what profiles, the vault and rules say of one another."""

import re
from pathlib import Path
from typing import Final

from pydicom.datadict import keyword_dict, tag_for_keyword

from config.files import Place
from config.tables import Found, Tables, at, is_file, listed_tables, named_tables, table
from config.words import suggestion, unknown

_TAG: Final = re.compile(r"[0-9A-Fa-f]{4},[0-9A-Fa-f]{4}")
_DATES: Final = {"full-dates", "modified-dates"}


def check(tables: Tables, folder: Path) -> Found:
    """Yield each fault as its place and words; relative paths are looked for in `folder`."""
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
    for i, rule in listed_tables(tables, "rules"):
        yield from _rule(tables, ("rules", i), rule)


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
            near = suggestion(text, keyword_dict) or 'or a tag, as "0010,1010"'
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
