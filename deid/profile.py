"""A de-identification profile, compiled: one decided action for each public attribute.

A profile is data (`profiles/*.toml`) over data (`table/`). Compiling answers every question
ahead of the objects, so that the walk only looks up. What has no rule is removed.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import config.model
from deid.pseudonym import Pseudonyms, read_key
from deid.table import table
from deid.table.dictionary import VRS
from dicom.errors import ConfigFault

KNOWN_OPTIONS: Final[frozenset[str]] = frozenset()
"""Options of PS3.15 E.3 that this version can apply; there are none yet."""
_NEVER: Final = frozenset({0x0000, 0x0002, 0x0004})
"""Groups that have no place in a composite object: commands, file meta, directories."""


class Action(StrEnum):
    """What happens to an attribute (PS3.15 Table E.1-1a, and two of our own)."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    KEEP = "K"
    PSEUDONYM = "P"
    REFUSE = "R"


@dataclass(frozen=True, slots=True)
class Base:
    """A profile file as it was read."""

    title: str
    code: tuple[str, str, str]
    actions: Mapping[int, Action]
    """Each public attribute of the dictionary or the table; what is missing is removed."""
    reasons: Mapping[int, str]
    """Why an attribute departs from the table."""
    kinds: frozenset[int]
    """Attributes whose UIDs name kinds of things and stay."""
    suspect: frozenset[str]
    """SOP classes in which text is commonly burned into the pixels."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled profile. Two with the same digest and key treat every object alike."""

    name: str
    base: Base
    options: tuple[str, ...]
    digest: str
    """SHA-256 (hex) over every rule; the key and the name are no part of it."""
    pseudonyms: Pseudonyms = field(repr=False, compare=False)

    def action(self, tag: int) -> Action:
        """Decide about an attribute; private and unknown ones are removed."""
        return self.base.actions.get(tag, Action.REMOVE)

    def method(self) -> tuple[str, ...]:
        """Say in words what was applied, for DeidentificationMethod (0012,0063)."""
        return (
            f"Penumbra: {table.EDITION} {self.base.title}"[:64],
            f"profile sha256 {self.digest[:32]}",
        )


def _unlisted(tag: int, vr: str, raw: Mapping[str, Any], kinds: frozenset[int]) -> Action:
    """Decide about a public attribute that the table does not list."""
    if tag >> 16 in _NEVER or tag & 0xFFFF == 0:
        return Action.REMOVE
    if tag in kinds:
        return Action.KEEP
    return Action(raw["unlisted"].get(vr, Action.KEEP))


def _actions(raw: Mapping[str, Any], kinds: frozenset[int]) -> dict[int, Action]:
    facts = table.load()
    choices: dict[str, str] = raw["choices"]
    actions: dict[int, Action] = {}
    for tag, vr in VRS.items():
        row = facts.row(tag)
        if row is None:
            actions[tag] = _unlisted(tag, vr, raw, kinds)
    for tag, row in facts.by_tag.items():
        removed = tag >> 16 in _NEVER
        actions[tag] = Action.REMOVE if removed else Action(choices.get(row.basic, row.basic))
    return actions


@cache
def read_base(name: str) -> Base:
    """Read a profile file of the package and resolve each attribute's action."""
    raw = tomllib.loads((files("deid") / "profiles" / f"{name}.toml").read_text("utf-8"))
    kinds = frozenset(int(tag, 16) for tag in raw["kinds"]["tags"])
    actions = _actions(raw, kinds)
    exceptions = {int(each["tag"], 16): each for each in raw["exception"]}
    actions.update({tag: Action(each["action"]) for tag, each in exceptions.items()})
    value, scheme, meaning = raw["code"]
    return Base(
        raw["title"],
        (value, scheme, meaning),
        MappingProxyType(actions),
        MappingProxyType({tag: each["reason"] for tag, each in exceptions.items()}),
        kinds,
        frozenset(raw["pixels"]["suspect"]),
    )


def _digest(base: Base, options: tuple[str, ...]) -> str:
    rules = {
        "edition": table.EDITION,
        "actions": {f"{tag:08x}": action.value for tag, action in base.actions.items()},
        "kinds": sorted(base.kinds),
        "suspect": sorted(base.suspect),
        "options": sorted(options),
    }
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def _unknown_option(option: str) -> str:
    return (
        f"option {option!r} is not supported by this version, which applies the Basic Profile "
        "without options; use options = []"
    )


def compile_profile(name: str, settings: config.model.Profile, key: bytes) -> Profile:
    """Compile the profile `[profiles.NAME]` with its secret, as it was read.

    Raises ConfigFault for an option that this version cannot apply and for a weak key.
    """
    problems = [
        (f"profiles.{name}.options", _unknown_option(option))
        for option in settings.options
        if option not in KNOWN_OPTIONS
    ]
    try:
        secret = read_key(key)
    except ValueError as fault:
        problems.append((f"profiles.{name}.key", str(fault)))
    if problems:
        raise ConfigFault(problems)
    base = read_base(settings.base)
    digest = _digest(base, settings.options)
    return Profile(name, base, settings.options, digest, Pseudonyms(secret))
