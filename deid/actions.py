"""What each action writes in place of a value, by VR (PS3.15 E.1.1, Table E.1-1a).

Replacements are ASCII and therefore valid under every SpecificCharacterSet.
"""

from collections.abc import Callable
from typing import Final

from deid.bases import Action
from deid.identity import uid_values
from deid.parse import Element

DUMMY_DATE: Final = b"20000101"
"""A real day, unlike year 1, which breaks validators and databases."""

_TEXT_DUMMIES: Final = {
    "AE": b"ANONYMIZED",
    "AS": b"000Y",
    "CS": b"ANONYMIZED",
    "DA": DUMMY_DATE,
    "DS": b"0",
    "DT": DUMMY_DATE + b"000000",
    "IS": b"0",
    "LO": b"ANONYMIZED",
    "LT": b"ANONYMIZED",
    "PN": b"ANONYMIZED",
    "SH": b"ANONYMIZED",
    "ST": b"ANONYMIZED",
    "TM": b"000000",
    "UC": b"ANONYMIZED",
    "UR": b"urn:anonymized",
    "UT": b"ANONYMIZED",
}
_BINARY_SIZES: Final = {
    **dict.fromkeys(("OB", "OW", "SS", "UN", "US"), 2),
    **dict.fromkeys(("AT", "FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
TELLING_VRS: Final = frozenset(_TEXT_DUMMIES) - {"CS", "DS", "IS"} | {"OB", "OW", "UN"}
"""VRs that a dummy sequence replaces inside its items; numbers and coded words stay."""


def dummy(vr: str, value: memoryview) -> bytes:
    """Make a valid non-empty value of a VR; an empty value stays empty, it hides nothing.

    UIDs and sequences are not made here: they are mapped and walked.
    """
    if not bytes(value).strip(b"\0 "):
        return b""
    text = _TEXT_DUMMIES.get(vr)
    return text if text is not None else b"\0" * _BINARY_SIZES[vr]


def uids(value: memoryview, replace: Callable[[str], str]) -> bytes:
    """Replace each UID of a value, keeping their number and order."""
    return "\\".join(replace(uid) for uid in uid_values(bytes(value))).encode("ascii")


def written(
    action: Action, element: Element, vr: str, pseudonym: str, replace: Callable[[str], str]
) -> tuple[str, bytes]:
    """Say with which VR and value an element is written that is emptied or replaced.

    `vr` is the standard's VR of the element; UIDs that stand in another VR are mapped as well.
    """
    if action is Action.EMPTY:
        return vr, b""
    if action is Action.PSEUDONYM:
        return vr, pseudonym.encode("ascii")
    if action is Action.UID or "UI" in {vr, element.vr}:
        return vr if vr == "UI" else element.vr, uids(element.value, replace)
    return vr, dummy(vr, element.value)
