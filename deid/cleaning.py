"""Values cleaned one at a time: text by the keep-list, dates moved, ages capped, UIDs in text.

Pure: bytes of one value in, bytes out; b"" says that nothing of it may stay. Whoever asks then
removes, empties or replaces the attribute as its type wants.
"""

import re
from collections.abc import Callable
from typing import Final

from deid import dates, text
from deid.vocabulary import Vocabulary

FREE_TEXT: Final = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})
"""VRs that hold sentences or titles of any kind."""
_WHOLE: Final = frozenset({"AE", "CS"})
"""VRs of one word: a part of it would be another word."""
TEXT: Final = FREE_TEXT | _WHOLE
"""VRs that can be cleaned."""
_LONGEST: Final = {"AE": 16, "CS": 16, "LO": 64, "LT": 10_240, "SH": 16, "ST": 1024}
"""Characters of one value (PS3.5 6.2)."""
_BINARY_SIZES: Final = {
    **dict.fromkeys(("OB", "UN"), 1),
    **dict.fromkeys(("OW", "SS", "US"), 2),
    **dict.fromkeys(("AT", "FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
_DOTTED: Final = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_UID_CHARACTERS: Final = re.compile(r"[0-9.]{1,64}")


def is_binary(vr: str) -> bool:
    """Whether values of a VR are numbers or bytes, not characters."""
    return vr[:2] in _BINARY_SIZES


def has_whole_values(vr: str, value: memoryview) -> bool:
    """Whether a binary value divides into values of its VR (PS3.5 6.2)."""
    return len(value) % _BINARY_SIZES.get(vr[:2], 1) == 0


def contradicts(declared: str, known: str) -> bool:
    """Whether a declared VR and the standard's cannot mean one value: text against numbers."""
    if declared in {"UN", "SQ", known} or not known or declared in known:
        return False
    return is_binary(declared) != is_binary(known)


def cleaned(
    vr: str,
    value: bytes,
    codecs: tuple[str, ...],
    vocabulary: Vocabulary,
    replace_uid: Callable[[str], str],
) -> bytes:
    """Clean the text of one attribute by the keep-list, value by value.

    Raises UnicodeError when the value is not text in its character sets.
    """
    decoded = text.decode(value, codecs).rstrip("\0 ")
    parts = [decoded] if vr in text.SINGLE_VALUED else decoded.split("\\")
    kept = [_part(vr, part, vocabulary, replace_uid) for part in parts]
    if not any(kept):
        return b""
    try:
        return text.encode("\\".join(kept), codecs)
    except UnicodeError:
        # Half of a character set's escape sequences may be gone with the words around them.
        plain = [part if part.isascii() else "" for part in kept]
        return "\\".join(plain).encode("ascii") if any(plain) else b""


def _part(vr: str, part: str, vocabulary: Vocabulary, replace_uid: Callable[[str], str]) -> str:
    if vr in _WHOLE:
        return part if vocabulary.knows_all(part.replace("_", " ")) else ""
    kept = vocabulary.clean(part, replace_uid)
    if vr not in text.SINGLE_VALUED:
        kept = kept.replace("\r\n", " ")
    return kept if len(kept) <= _LONGEST.get(vr, len(kept)) else ""


def aged(value: bytes) -> bytes:
    """Cap ages (AS) above 89 years; b"" for what is no age."""
    return dates.capped(_ascii(value)).encode("ascii")


def moved(vr: str, value: bytes, days: int) -> bytes:
    """Move dates; b"" for a value without any. A time's offset from UTC (SH) stays."""
    if vr in dates.VRS:
        return dates.shifted(vr, _ascii(value), days).encode("ascii")
    return value if vr == "SH" and dates.is_utc_offset(_ascii(value)) else b""


def temporal(vr: str, value: bytes) -> bytes:
    """Keep dates and times that are some; b"" for a value without any."""
    return dates.kept(vr, _ascii(value)).encode("ascii")


def with_new_uids(
    vr: str, value: str, is_original: Callable[[str], bool], replace: Callable[[str], str]
) -> str:
    """Replace the original UIDs inside text; "" where the result would be too long for the VR."""
    new = _DOTTED.sub(lambda found: replace(found[0]) if is_original(found[0]) else found[0], value)
    parts = [new] if vr in text.SINGLE_VALUED else new.split("\\")
    fits = all(len(part) <= _LONGEST.get(vr, len(part)) for part in parts)
    return new if fits else ""


def are_uids(values: list[str]) -> bool:
    """Whether retained values can be UIDs: digits and dots alone tell no name."""
    return all(not uid or _UID_CHARACTERS.fullmatch(uid) for uid in values)


def _ascii(value: bytes) -> str:
    """Read a value of a VR without character sets; what is not ASCII is none of it."""
    return value.decode("ascii", "replace").rstrip("\0 ")
