"""A site's exceptions to a profile: read, and refused where nobody could carry them out."""

import re
from collections.abc import Sequence
from typing import Final

from pydicom.datadict import tag_for_keyword

import config.profiles
from deid import markers
from deid.bases import NEVER, WORDS, Action
from deid.parse import PIXELS
from deid.rules import SiteException
from deid.table.dictionary import dictionary_vr

_EXACT: Final = 0xFFFF_FFFF
_TAG: Final = re.compile(r"\(?([0-9A-Fa-fx]{4}),? ?([0-9A-Fa-fx]{4})\)?")
_CLEANABLE: Final = frozenset(
    {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "SH", "SQ", "ST", "TM", "UC", "UT"}
)
_NAMEABLE: Final = frozenset({"LO", "LT", "PN", "ST", "UC", "UT"})
"""VRs with room for a pseudonym of 21 characters."""

Problem = tuple[str, str]


def read(
    listed: Sequence[config.profiles.ProfileException], path: str
) -> tuple[tuple[SiteException, ...], list[Problem]]:
    """Read exceptions as the config writes them; problems come back with their paths.

    A tag is a keyword, or digits as "0010,1010", in which x stands for any digit ("60xx,3000").
    """
    found: list[SiteException] = []
    problems: list[Problem] = []
    for number, each in enumerate(listed):
        action = WORDS[each.action]
        place = _place(each.tag)
        words = _trouble(place, action) if place else f"{each.tag!r} is no tag and no keyword"
        if words:
            problems.append((f"{path}[{number}]", words))
        elif place:
            vr = dictionary_vr(place[1]) if place[0] == _EXACT else ""
            is_date = action is Action.CLEAN and vr in {"DA", "DT"}
            chosen = Action.SHIFT if is_date else action
            found.append(SiteException(*place, chosen, each.reason))
    doubled = [(each.mask, each.value) for each in found]
    if len(set(doubled)) < len(doubled):
        problems.append((path, "a tag stands twice: say once what happens to it"))
    return tuple(found), problems


def _place(written: str) -> tuple[int, int] | None:
    """Turn a written tag into mask and value; None where it is none."""
    digits = _TAG.fullmatch(written.strip())
    if digits is None:
        tag = tag_for_keyword(written.strip())
        return None if tag is None else (_EXACT, int(tag))
    pattern = digits[1] + digits[2]
    mask = int("".join("0" if digit == "x" else "F" for digit in pattern), 16)
    return mask, int(pattern.replace("x", "0"), 16)


def _trouble(place: tuple[int, int], action: Action) -> str:
    """Say why an exception cannot be carried out; "" where it can."""
    mask, tag = place
    vr = dictionary_vr(tag) if mask == _EXACT else ""
    checks = (
        (bool(tag >> 16 & 1), "private attributes stay by retain-safe-private alone"),
        (
            mask != _EXACT and (mask >> 24 != 0xFF or tag >> 24 not in {0x50, 0x60}),
            "x stands for digits of repeating groups alone (50xx, 60xx)",
        ),
        (tag >> 16 in NEVER, "this group has no place in an object"),
        (tag in markers.TAGS, "is written afresh in every object"),
        (tag in PIXELS, "pixel data is no matter of exceptions; see clean-pixel-data"),
        (
            mask == _EXACT and not vr and action not in {Action.REMOVE, Action.REFUSE},
            "the dictionary does not know it, so its value cannot be looked into",
        ),
        (action is Action.UID and vr not in {"UI", "SQ"}, f"{vr or 'this'} holds no UIDs"),
        (action is Action.CLEAN and vr not in _CLEANABLE, f"{vr or 'this'} cannot be cleaned"),
        (
            action is Action.PSEUDONYM and vr not in _NAMEABLE,
            f"{vr or 'this'} cannot hold a pseudonym",
        ),
        (action is Action.DUMMY and vr == "UI", "a UID is mapped (uid), never a dummy"),
    )
    return next((words for wrong, words in checks if wrong), "")
