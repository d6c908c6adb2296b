"""How the bytes of a dataset are laid out, by transfer syntax (PS3.5 Chapter 7 and Annex A)."""

from typing import Final

IMPLICIT: Final = frozenset({"1.2.840.10008.1.2", "1.2.840.113619.5.2"})
"""Implicit VR in little endian, and General Electric's own, which differs in its pixels only."""

BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

DEFLATED: Final = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)
"""Compressed as a whole."""

LONG_VRS: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
"""In explicit VR their length takes four bytes (PS3.5 Table 7.1-1)."""

SHORT_VRS: Final = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN"}
    | {b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)
"""In explicit VR their length takes two bytes (PS3.5 Table 7.1-2)."""

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
