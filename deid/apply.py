"""De-identify one object: open, walk, mark, check, close; anything unexpected ends in a fault.

This package decides what an object may contain, never where it goes: a result leaves here only
when the self-check ended clean, and everything else is a DeidFault that the caller holds.

Whether pixels may pass is decided in `pixel_gate`, and what leaves of them in `pixel_stage`.
Without clean-pixel-data an object that says BurnedInAnnotation = YES is refused, and one of a class
that often carries burned-in text and does not say NO passes with a remark in its account. Without
clean-visual-features faces stay.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from deid import (
    account,
    documents,
    identity,
    markers,
    options,
    parse,
    pixel_gate,
    pixel_stage,
    selfcheck,
)
from deid.account import Original
from deid.broken import broke_off
from deid.container import Chunk, Opened, close_part10, open_part10
from deid.level import ascii_value
from deid.parse import PIXELS, Element, name
from deid.profile import Profile
from deid.walk import Walk
from dicom.errors import DeidFault

_SOP_CLASS: Final = 0x0008_0016
_SOP_INSTANCE: Final = 0x0008_0018
_STUDY: Final = 0x0020_000D
_SERIES: Final = 0x0020_000E
REMARK: Final = pixel_gate.REMARK


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
    """Element path and what was done to it (a letter of `bases.Action`, or a remark); no values."""
    patient_pseudonym: str
    options: tuple[str, ...]
    """The options that were really applied to this object, in the order of CID 7050."""
    originals: tuple[Original, ...] = field(repr=False)
    """The way back, for a vault alone: patient data."""


def deidentify_head(part10: bytes | memoryview, profile: Profile) -> Deidentified:
    """De-identify all but the pixel data of a Part 10 file, which it leaves out.

    Each element becomes what `deidentify` makes of it, and what that refuses for its attributes is
    refused. Raises the same faults.
    """
    try:
        return _deidentify(memoryview(part10), profile, with_pixels=False)
    except DeidFault:
        raise
    except Exception as fault:  # noqa: BLE001  (fail closed: whatever broke, nothing may leave)
        raise DeidFault(broke_off("de-identification", fault)) from None


def deidentify(part10: bytes | memoryview, profile: Profile) -> Deidentified:
    """De-identify a Part 10 file under a profile (PS3.15 Annex E).

    The same bytes, profile and key give the same result. Unless they are to be cleaned, pixels
    are neither decoded nor copied (only a deflated dataset must be unpacked whole). Raises
    NotClean when the object cannot be proven clean, DeidFault when it cannot be read or anything
    else went wrong; messages hold tags and kinds, never values.
    """
    try:
        return _deidentify(memoryview(part10), profile)
    except DeidFault:
        raise
    except Exception as fault:  # noqa: BLE001  (fail closed: whatever broke, nothing may leave)
        raise DeidFault(broke_off("de-identification", fault)) from None


def _deidentify(part10: memoryview, profile: Profile, *, with_pixels: bool = True) -> Deidentified:
    opened = open_part10(part10)
    elements = parse.read(opened.dataset, opened.encoding)
    if not with_pixels:
        elements = tuple(element for element in elements if element.tag not in PIXELS)
    sop_class = _required(elements, _SOP_CLASS)
    sop, series, study = (_required(elements, tag) for tag in (_SOP_INSTANCE, _SERIES, _STUDY))
    has_pixels = any(element.tag in PIXELS for element in elements)
    look = pixel_gate.look(elements, sop_class, profile, has_pixels=has_pixels)
    new = documents.replacement(sop_class, elements, profile.documents, opened.encoding)
    who = identity.collect(elements, profile.stays)
    walk = Walk(profile, who, sop_class, new)
    written: dict[int, list[Chunk]] = {
        tag: [part] for tag, part in walk.dataset(elements, opened.encoding).items()
    }
    pixels = pixel_stage.treat(elements, opened, profile, who, must_clean=look.must_clean)
    written |= pixels.written
    applied = options.in_order({*walk.account.applied, *look.applied, *pixels.applied})
    marked = markers.write(profile, opened.encoding, applied)
    written |= {tag: [each] for tag, each in marked.items()}
    head = b"".join(written[tag][0] for tag in sorted(written) if tag not in PIXELS)
    days = walk.days if profile.stays.all_moved else 0
    allowed = selfcheck.Allowed(profile.safe, dated=profile.stays.dated, days=days)
    selfcheck.check(head, opened.encoding, who, allowed)
    ordered = (chunk for tag in sorted(written) for chunk in written[tag])
    new_sop, new_series, new_study = (walk.new_uid(uid) for uid in (sop, series, study))
    kinds = {sop: account.INSTANCE, series: account.SERIES, study: account.STUDY}
    return Deidentified(
        sop_class_uid=sop_class,
        sop_instance_uid=new_sop,
        series_instance_uid=new_series,
        study_instance_uid=new_study,
        transfer_syntax_uid=opened.transfer_syntax_uid,
        chunks=_file(ordered, opened, sop_class, new_sop),
        account=(*walk.account.rows, *pixels.rows, *look.remarks),
        patient_pseudonym=walk.patient_pseudonym,
        options=applied,
        originals=tuple(walk.account.originals(walk.uids, kinds)),
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
