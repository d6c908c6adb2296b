"""The shipped profiles, read from `profiles/*.toml`: what the table leaves open, and departures.

`basic` holds every rule; the others extend it with options, each with its reason.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from deid.table import table
from deid.table.dictionary import VRS

NEVER: Final = frozenset({0x0000, 0x0002, 0x0004})
"""Groups that have no place in a composite object: commands, file meta, directories."""


class Action(StrEnum):
    """What happens to an attribute, as accounts and profiles write it.

    X, Z, D, U, K and C are those of PS3.15 Table E.1-1a; P, S and R are our own.
    """

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    """Replaced by a valid value that says nothing; a sequence keeps its items, redacted."""
    UID = "U"
    """Each UID replaced by its pseudonym, also UIDs inside text."""
    KEEP = "K"
    """Kept after its text was searched; of a sequence, each attribute inside is decided alone."""
    CLEAN = "C"
    """Cleaned: text by the keep-list, ages capped, sequences item by item."""
    SHIFT = "S"
    """A date moved with every other date of the patient."""
    PSEUDONYM = "P"
    """Replaced by the patient's pseudonym."""
    REFUSE = "R"
    """The object is refused when the attribute has a value."""


WORDS: Final = MappingProxyType(
    {
        "remove": Action.REMOVE,
        "empty": Action.EMPTY,
        "dummy": Action.DUMMY,
        "uid": Action.UID,
        "keep": Action.KEEP,
        "clean": Action.CLEAN,
        "shift": Action.SHIFT,
        "pseudonym": Action.PSEUDONYM,
        "refuse": Action.REFUSE,
    }
)
"""Actions by the words that the config and `penumbra profile show` use."""


@dataclass(frozen=True, slots=True)
class Base:
    """A profile file as it was read."""

    name: str
    title: str
    code: tuple[str, str, str]
    actions: Mapping[int, Action]
    """Each public attribute without options, for objects of unknown IOD; what is missing goes."""
    codes: Mapping[int, str]
    """What the attribute's type chooses from, such as "X/Z/D"."""
    reasons: Mapping[int, str]
    """Why an attribute departs from the table."""
    kinds: frozenset[int]
    """Attributes whose UIDs name kinds of things and stay."""
    suspect: frozenset[str]
    """SOP classes in which text is commonly burned into the pixels."""
    options: Mapping[str, str]
    """Options that this profile turns on, each with the reason."""


def names() -> tuple[str, ...]:
    """List the shipped profiles, the strictest first."""
    return ("basic", "teaching", "trial", "research")


@cache
def read_base(name: str) -> Base:
    """Read a profile file of the package and resolve each attribute's action without options."""
    raw = _raw(name)
    kinds = frozenset(int(tag, 16) for tag in raw["kinds"]["tags"])
    actions, codes = _actions(raw, kinds)
    exceptions = {int(each["tag"], 16): each for each in raw["exception"]}
    for tag, each in exceptions.items():
        actions[tag] = Action(each["action"])
        codes[tag] = each["action"]
    value, scheme, meaning = raw["code"]
    return Base(
        name,
        raw["title"],
        (value, scheme, meaning),
        MappingProxyType(actions),
        MappingProxyType(codes),
        MappingProxyType({tag: each["reason"] for tag, each in exceptions.items()}),
        kinds,
        frozenset(raw["pixels"]["suspect"]),
        MappingProxyType({each["name"]: each["reason"] for each in raw.get("option", [])}),
    )


def _raw(name: str) -> dict[str, Any]:
    """Read a file over the one that it extends: tables and words replace, lists are added."""
    own = tomllib.loads((files("deid") / "profiles" / f"{name}.toml").read_text("utf-8"))
    under = own.pop("extends", None)
    if under is None:
        return own
    merged = _raw(under)
    for key, value in own.items():
        merged[key] = merged.get(key, []) + value if key in {"exception", "option"} else value
    return merged


def _actions(
    raw: Mapping[str, Any], kinds: frozenset[int]
) -> tuple[dict[int, Action], dict[int, str]]:
    facts = table.load()
    choices: dict[str, str] = raw["choices"]
    actions: dict[int, Action] = {}
    codes: dict[int, str] = {}
    for tag, vr in VRS.items():
        if facts.row(tag) is None:
            actions[tag], codes[tag] = _unlisted(tag, vr, raw, kinds)
    for tag, row in facts.by_tag.items():
        removed = tag >> 16 in NEVER
        actions[tag] = Action.REMOVE if removed else Action(choices.get(row.basic, row.basic))
        codes[tag] = "X" if removed else row.basic
    return actions, codes


def _unlisted(
    tag: int, vr: str, raw: Mapping[str, Any], kinds: frozenset[int]
) -> tuple[Action, str]:
    """Decide about a public attribute that the table does not list."""
    if tag >> 16 in NEVER or tag & 0xFFFF == 0:
        return Action.REMOVE, "X"
    if tag in kinds:
        return Action.KEEP, "K"
    action = Action(raw["unlisted"].get(vr, Action.KEEP))
    # Removed for its VR, not by the table: where the IOD needs a value, an empty or a dummy one
    # tells as little.
    return action, "X/Z/D" if action is Action.REMOVE else action.value
