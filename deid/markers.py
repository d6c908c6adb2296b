"""The attributes that tell a receiver what was done to an object (PS3.15 E.1.1 steps 6 to 8)."""

from collections.abc import Iterable
from typing import Final, Protocol

from deid import encode
from deid.bases import Base
from deid.options import FULL_DATES, MODIFIED_DATES, OPTIONS, in_order
from deid.parse import Encoding

PATIENT_IDENTITY_REMOVED: Final = 0x0012_0062
DEIDENTIFICATION_METHOD: Final = 0x0012_0063
DEIDENTIFICATION_METHOD_CODES: Final = 0x0012_0064
LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED: Final = 0x0028_0303
TAGS: Final = frozenset(
    {
        PATIENT_IDENTITY_REMOVED,
        DEIDENTIFICATION_METHOD,
        DEIDENTIFICATION_METHOD_CODES,
        LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED,
    }
)


class Described(Protocol):
    """What the markers say about a profile."""

    @property
    def base(self) -> Base:
        """The shipped profile beneath."""

    @property
    def options(self) -> tuple[str, ...]:
        """The options in force."""

    def method(self) -> tuple[str, ...]:
        """Say in words what was applied."""


def temporal_information(options: Iterable[str]) -> str:
    """Say what became of dates under these options (PS3.3 C.12.1.1.9)."""
    chosen = set(options)
    if FULL_DATES in chosen:
        return "UNMODIFIED"
    return "MODIFIED" if MODIFIED_DATES in chosen else "REMOVED"


def write(profile: Described, encoding: Encoding, applied: Iterable[str] = ()) -> dict[int, bytes]:
    """Encode the markers of a profile, by tag.

    Codes are of CID 7050: the base's, and those of the options that were `applied` to this very
    object, which may be fewer than are in force.
    """
    codes = [profile.base.code]
    codes += [(OPTIONS[name].code, "DCM", OPTIONS[name].meaning) for name in in_order(applied)]
    plain = {
        PATIENT_IDENTITY_REMOVED: ("CS", "YES"),
        DEIDENTIFICATION_METHOD: ("LO", "\\".join(profile.method())),
        LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED: ("CS", temporal_information(profile.options)),
    }
    written = {
        tag: encode.element(tag, vr, word.encode("ascii"), encoding)
        for tag, (vr, word) in plain.items()
    }
    tag = DEIDENTIFICATION_METHOD_CODES
    items = [_code(code, encoding) for code in codes]
    written[tag] = encode.sequence(tag, "SQ", items, encoding, encoding)
    return written


def _code(code: tuple[str, str, str], encoding: Encoding) -> bytes:
    value, scheme, meaning = code
    return b"".join(
        encode.element(tag, vr, word.encode("ascii"), encoding)
        for tag, vr, word in (
            (0x0008_0100, "SH", value),
            (0x0008_0102, "SH", scheme),
            (0x0008_0104, "LO", meaning),
        )
    )
