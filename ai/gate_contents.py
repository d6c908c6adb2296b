"""What the gate asks of a result by itself: its IOD, codes, units, numbers and pixels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from ai.contract import Quantity
from dicom import coding_schemes, result_kinds
from dicom.errors import CannotUnderstand
from dicom.part10 import text
from dicom.references import sequences
from dicom.validation import validate

_FRAME_OF_REFERENCE: Final = Tag("FrameOfReferenceUID")
_OF_POINTS: Final = Tag("ReferencedFrameOfReferenceUID")
_OF_CODES: Final = tuple(
    Tag(keyword)
    for keyword in ("CodeValue", "LongCodeValue", "CodeMeaning", "MeasurementUnitsCodeSequence")
)
_MEASURED: Final = Tag("MeasuredValueSequence")
_NATIVE: Final = frozenset(
    {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
)
_MODALITY: Final[Mapping[result_kinds.Name, str]] = {"sr": "SR", "seg": "SEG", "gsps": "PR"}
_NEEDED: Final[Mapping[result_kinds.Name, Sequence[str]]] = {
    "sr": ("ContentSequence", "CompletionFlag", "VerificationFlag", "ConceptNameCodeSequence"),
    "seg": (
        "SegmentSequence",
        "SegmentationType",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "NumberOfFrames",
        "PixelData",
    ),
    "gsps": ("ReferencedSeriesSequence", "PresentationCreationDate", "ContentLabel"),
    "sc": ("ConversionType", "Rows", "Columns", "PixelData"),
    "pm": (
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "NumberOfFrames",
        "ContentLabel",
    ),
}
"""What readers of each kind cannot do without, whatever else its IOD asks for."""
_PIXELS: Final[Mapping[str, int]] = {
    "PixelData": 0,
    "FloatPixelData": 32,
    "DoubleFloatPixelData": 64,
}
"""Bits of a sample; 0 where BitsAllocated says it."""


def problems(
    dataset: Dataset,
    part10: bytes,
    heads: Sequence[Dataset],
    quantities: Sequence[Quantity] | None,
) -> Iterator[str]:
    """Say what is wrong with an object, in words without values.

    `heads` are of its originals: what was copied from them is not its own fault. `quantities` is
    what a contract promises of its numbers, None where nobody promised.
    """
    kind = result_kinds.kind_of(text(dataset, "SOPClassUID"))
    if kind is None and quantities is not None:
        yield "its SOP class is none that results are made of"
    if kind is not None:
        yield from _required(dataset, kind)
    copied = _copied(dataset, heads)
    yield from _standard(part10, copied)
    yield from _codes(dataset, copied, is_ours=quantities is not None)
    yield from _numbers(dataset, quantities or ())
    yield from _pixels(dataset)


def frames_of_reference(dataset: Dataset) -> Iterator[tuple[str, bool]]:
    """Yield each frame of reference that an object names, and whether points lie in it."""
    if uid := text(dataset, "FrameOfReferenceUID"):
        yield uid, False
    for item in _items(dataset, frozenset()):
        for tag in (_FRAME_OF_REFERENCE, _OF_POINTS):
            if tag in item:
                yield str(item[tag].value), tag == _OF_POINTS


def _required(dataset: Dataset, kind: result_kinds.Name) -> Iterator[str]:
    for keyword in _NEEDED[kind]:
        if keyword not in dataset or not dataset[keyword].value:
            yield f"it lacks {keyword}"
    if text(dataset, "Modality") != _MODALITY.get(kind, text(dataset, "Modality")):
        yield "its Modality does not fit its SOP class"


def _copied(dataset: Dataset, heads: Sequence[Dataset]) -> frozenset[int]:
    """List the attributes that stand in an original as they stand here."""
    same = set()
    for tag in dataset.keys():  # noqa: SIM118  (a Dataset's own iteration reads every value)
        group = int(tag) >> 16
        if group > 0x0040 or int(tag) == 0x0040_A730:
            continue
        if any(tag in head and _equal(head, dataset, tag) for head in heads):
            same.add(int(tag))
    return frozenset(same)


def _equal(one: Dataset, other: Dataset, tag: Any) -> bool:
    try:
        mine, theirs = one[BaseTag(tag)], other[BaseTag(tag)]
        return bool(mine.value == theirs.value) or str(mine.value) == str(theirs.value)
    except Exception:  # noqa: BLE001  (a value that cannot be decoded is no copy)
        return False


def _standard(part10: bytes, copied: frozenset[int]) -> Iterator[str]:
    try:
        found = validate(part10)
    except CannotUnderstand as fault:
        yield str(fault)
        return
    for each in found:
        tag = int(each.path[1:10].replace(",", ""), 16)
        if each.severity == "error" and tag not in copied:
            yield f"{each.path} {each.words}"


def _codes(dataset: Dataset, copied: frozenset[int], *, is_ours: bool) -> Iterator[str]:
    declared = {
        text(item, "CodingSchemeDesignator")
        for item in dataset.get("CodingSchemeIdentificationSequence") or ()
    }
    for item in _items(dataset, copied):
        if not any(tag in item for tag in _OF_CODES):
            continue
        for unit in item.get("MeasurementUnitsCodeSequence") or ():
            if text(unit, "CodingSchemeDesignator") != "UCUM":
                yield "a unit is not of UCUM"
        value = text(item, "CodeValue") or text(item, "LongCodeValue")
        scheme = text(item, "CodingSchemeDesignator")
        if not value and "CodeMeaning" not in item:
            continue  # a URN, or no code at all
        if words := coding_schemes.problem(value, scheme, text(item, "CodeMeaning")):
            yield f"a code {words}"
        elif is_ours and coding_schemes.is_private(scheme) and scheme not in declared:
            yield f"its private coding scheme {scheme[:16]} is not explained in it"


def _numbers(dataset: Dataset, quantities: Sequence[Quantity]) -> Iterator[str]:
    """Find numbers of a report that are none, or lie outside what the contract says."""
    limits = {(each.name.value, each.name.scheme, each.unit.value): each for each in quantities}
    for item in _items(dataset, frozenset()):
        for measured in item.MeasuredValueSequence or () if _MEASURED in item else ():
            try:
                number = float(text(measured, "NumericValue"))
            except ValueError:
                number = math.nan
            if not math.isfinite(number):
                yield "a number of it is none"
                continue
            declared = limits.get(_quantity_of(item, measured))
            if declared is not None and not _lies_within(number, declared):
                yield f"{declared.name.meaning} lies outside its declared limits"


def _quantity_of(item: Dataset, measured: Dataset) -> tuple[str, str, str]:
    name = next(iter(item.get("ConceptNameCodeSequence") or ()), Dataset())
    unit = next(iter(measured.get("MeasurementUnitsCodeSequence") or ()), Dataset())
    return text(name, "CodeValue"), text(name, "CodingSchemeDesignator"), text(unit, "CodeValue")


def _lies_within(number: float, quantity: Quantity) -> bool:
    rounding: float = 0.5 * 10.0**-quantity.decimals
    return quantity.low - rounding <= number <= quantity.high + rounding


def _pixels(dataset: Dataset) -> Iterator[str]:
    """Hold the length of native pixels against what the object says of their shape."""
    syntax = text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID")
    for keyword, bits in _PIXELS.items():
        if keyword not in dataset:
            continue
        if syntax in _NATIVE and not _is_whole(dataset, len(dataset[keyword].value), bits):
            yield f"its {keyword} has not the size that it says"
        if bits and not _is_finite(dataset[keyword].value, bits):
            yield f"its {keyword} holds what is no number"
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    if frames is not None and str(len(frames)) != text(dataset, "NumberOfFrames"):
        yield "it does not describe each of its frames"


def _is_whole(dataset: Dataset, size_bytes: int, bits: int) -> bool:
    try:
        shape = [int(text(dataset, key) or 1) for key in ("NumberOfFrames", "SamplesPerPixel")]
        shape += [int(text(dataset, key)) for key in ("Rows", "Columns")]
        count = math.prod(shape) * (bits or int(text(dataset, "BitsAllocated")))
    except ValueError:
        return False
    needed = (count + 7) // 8
    return size_bytes == needed + needed % 2


def _is_finite(values: bytes, bits: int) -> bool:
    try:
        return bool(np.isfinite(np.frombuffer(values, dtype=f"<f{bits // 8}")).all())
    except ValueError:  # no whole number of values
        return False


def _items(dataset: Dataset, passed_over: frozenset[int]) -> Iterator[Dataset]:
    """Yield the items of every sequence, at every depth."""
    for element in sequences(dataset):
        if int(element.tag) not in passed_over:
            for item in element.value:
                yield item
                yield from _items(item, frozenset())
