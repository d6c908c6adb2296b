"""Check what [lakes.NAME] and [fhir] say of destinations, profiles and themselves."""

import re
from typing import Final
from urllib.parse import urlsplit

from config.fhir import TARGET
from config.tables import Found, Tables, at, named_tables, table
from config.words import unknown

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KINDS: Final = frozenset({"object-store", "folder"})


def check(tables: Tables) -> Found:
    """Yield each fault as its place and words."""
    for name, lake in named_tables(tables, "lakes"):
        here = ("lakes", name)
        if not _NAME.fullmatch(name):
            yield here, "a name is lower case letters, digits and underscores: it names SQL tables"
        yield from _whose(tables, here, lake)
        yield from _where(tables, here, lake)
    yield from _fhir(tables)


def _whose(tables: Tables, here: tuple[str, str], lake: Tables) -> Found:
    """Nobody's identity leaves by an oversight: one of the two is said."""
    profile, profiles = lake.get("profile"), table(tables, "profiles")
    if profile is None and lake.get("identity") is not True:
        words = "is missing: name the profile that takes patients' identity away, or say"
        yield (*here, "profile"), f"{words} identity = true where they may be named"
    if profile is not None and lake.get("identity") is True:
        yield (*here, "identity"), "and profile exclude each other: which of them is it?"
    if isinstance(profile, str) and profile not in profiles:
        yield (*here, "profile"), unknown(profile, profiles, "profile")


def _where(tables: Tables, here: tuple[str, str], lake: Tables) -> Found:
    name, destinations = lake.get("destination"), table(tables, "destinations")
    if not isinstance(name, str):
        return
    kind = at(destinations, (name, "kind"))
    if name not in destinations:
        yield (*here, "destination"), unknown(name, destinations, "destination")
    elif isinstance(kind, str) and kind not in _KINDS:
        words = f"{name} is of kind {kind}; files go to an object-store or a folder"
        yield (*here, "destination"), words


def _fhir(tables: Tables) -> Found:
    fhir = table(tables, "fhir")
    for key in ("auth", "tls"):
        if key in fhir and "server" not in fhir:
            yield ("fhir", "server"), f"is missing beside {key}"
    if "server" not in fhir:
        return
    for kind in ("destinations", "models"):
        if TARGET in table(tables, kind):
            words = f"cannot be called {TARGET} beside [fhir] server, whose jobs have this target"
            yield (kind, TARGET), words
    server = fhir.get("server")
    if isinstance(server, str) and urlsplit(server).query:
        yield ("fhir", "server"), "has a query; it is the base, above /ImagingStudy"
