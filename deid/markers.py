"""The attributes that tell a receiver what was done to an object (PS3.15 E.1.1 steps 6 to 8)."""

from typing import Final

from deid import encode
from deid.parse import Encoding
from deid.profile import Profile

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


def write(profile: Profile, encoding: Encoding) -> dict[int, bytes]:
    """Encode the markers of a profile, by tag.

    Codes are of CID 7050; without an option every date is removed, so the temporal information
    is REMOVED (PS3.3 C.12.1.1.9).
    """
    value, scheme, meaning = profile.base.code
    code = b"".join(
        encode.element(tag, vr, word.encode("ascii"), encoding)
        for tag, vr, word in (
            (0x0008_0100, "SH", value),
            (0x0008_0102, "SH", scheme),
            (0x0008_0104, "LO", meaning),
        )
    )
    plain = {
        PATIENT_IDENTITY_REMOVED: ("CS", "YES"),
        DEIDENTIFICATION_METHOD: ("LO", "\\".join(profile.method())),
        LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED: ("CS", "REMOVED"),
    }
    written = {
        tag: encode.element(tag, vr, word.encode("ascii"), encoding)
        for tag, (vr, word) in plain.items()
    }
    tag = DEIDENTIFICATION_METHOD_CODES
    written[tag] = encode.sequence(tag, "SQ", [code], encoding, encoding)
    return written
