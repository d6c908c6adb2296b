"""De-identify one object: open, walk, mark, check, close; anything unexpected ends in a fault.

This package decides what an object may contain, never where it goes: a result leaves here only
when the self-check ended clean, and everything else is a DeidFault that the caller holds.

Limits of this version, on purpose and in words: burned-in text is not looked for. An object that
says BurnedInAnnotation = YES is refused; one of a class that often carries burned-in text and
does not say NO passes with a remark in its account. Faces in head scans stay.
"""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from deid import identity, markers, parse, selfcheck
from deid.container import Chunk, Opened, close_part10, open_part10
from deid.parse import PIXELS, Element, name
from deid.profile import Profile
from deid.walk import Walk, ascii_value
from dicom.errors import DeidFault, NotClean

_SOP_CLASS: Final = 0x0008_0016
_SOP_INSTANCE: Final = 0x0008_0018
_STUDY: Final = 0x0020_000D
_SERIES: Final = 0x0020_000E
_BURNED_IN: Final = 0x0028_0301
_ENCAPSULATED_DOCUMENTS: Final = "1.2.840.10008.5.1.4.1.1.104."
REMARK: Final = "remark: burned-in text was not looked for"


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A de-identified object that passed its self-check; UIDs are the new ones."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    chunks: tuple[Chunk, ...]
    """The Part 10 file in order; pixel data as slices of the input, which must stay open."""
    account: tuple[tuple[str, str], ...]
    """Element path and what was done to it (X, Z, D, U, K, P, or a remark); no values."""


def deidentify(part10: bytes | memoryview, profile: Profile) -> Deidentified:
    """De-identify a Part 10 file under a profile (PS3.15 Annex E).

    The same bytes, profile and key give the same result. Pixel data is neither decoded nor
    copied (only a deflated dataset must be unpacked whole). Raises NotClean when the object
    cannot be proven clean, DeidFault when it cannot be read or anything else went wrong;
    messages hold tags and kinds, never values.
    """
    try:
        return _deidentify(memoryview(part10), profile)
    except DeidFault:
        raise
    except Exception as fault:  # noqa: BLE001  (fail closed: whatever broke, nothing may leave)
        place = traceback.extract_tb(fault.__traceback__)[-1]
        words = f"{type(fault).__name__} in {place.name}, line {place.lineno}"
        # A library's message may quote the value that it stumbled over.
        raise DeidFault(f"de-identification broke off ({words})") from None


def _deidentify(part10: memoryview, profile: Profile) -> Deidentified:
    opened = open_part10(part10)
    elements = parse.read(opened.dataset, opened.encoding)
    sop_class = _required(elements, _SOP_CLASS)
    sop, series, study = (_required(elements, tag) for tag in (_SOP_INSTANCE, _SERIES, _STUDY))
    pixels = [element for element in elements if element.tag in PIXELS]
    remark = _look_at_pixels(elements, profile, has_pixels=bool(pixels))
    who = identity.collect(elements, profile.base.kinds)
    walk = Walk(profile, who)
    written = walk.dataset(elements, opened.encoding)
    written |= {tag: [each] for tag, each in markers.write(profile, opened.encoding).items()}
    head = b"".join(written[tag][0] for tag in sorted(written) if tag not in PIXELS)
    selfcheck.check(head, opened.encoding, who)
    selfcheck.check_pixels(pixels, opened.encoding, who)
    ordered = (chunk for tag in sorted(written) for chunk in written[tag])
    return Deidentified(
        sop_class_uid=sop_class,
        sop_instance_uid=walk.uid(sop),
        series_instance_uid=walk.uid(series),
        study_instance_uid=walk.uid(study),
        transfer_syntax_uid=opened.transfer_syntax_uid,
        chunks=_file(ordered, opened, sop_class, walk.uid(sop)),
        account=tuple(walk.account) + remark,
    )


def _file(
    chunks: Iterable[Chunk], opened: Opened, sop_class_uid: str, sop_instance_uid: str
) -> tuple[Chunk, ...]:
    """Join neighbouring bytes, leave slices alone, and close the file."""
    joined: list[Chunk] = []
    small: list[Chunk] = []
    for chunk in chunks:
        if isinstance(chunk, memoryview):
            joined += [b"".join(small), chunk]
            small = []
        else:
            small.append(chunk)
    joined += [b"".join(small)] if small else []
    return close_part10(
        joined, opened=opened, sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid
    )


def _required(elements: tuple[Element, ...], tag: int) -> str:
    uid = ascii_value(elements, tag)
    if not uid:
        raise DeidFault(f"{name(tag)} is missing, the object cannot be told from others")
    return uid


def _look_at_pixels(
    elements: tuple[Element, ...], profile: Profile, *, has_pixels: bool
) -> tuple[tuple[str, str], ...]:
    """Decide by class and BurnedInAnnotation whether the pixels may pass; see the module."""
    sop_class = ascii_value(elements, _SOP_CLASS)
    if sop_class.startswith(_ENCAPSULATED_DOCUMENTS):
        raise NotClean("an encapsulated document cannot be looked into")
    burned_in = ascii_value(elements, _BURNED_IN).upper()
    if burned_in == "YES":
        raise NotClean(f"{name(_BURNED_IN)} is YES: burned-in text cannot be removed yet")
    if has_pixels and burned_in != "NO" and sop_class in profile.base.suspect:
        return ((name(_BURNED_IN), REMARK),)
    return ()
