"""Read one image that has no place in space: its values as they are meant to be seen.

Rescale, a table instead of it, and MONOCHROME1 are seen to; what the object says about how it is
to be shown (PS3.3 C.11.2) is the range of its values unless the contract states a window.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset, FileDataset

from ai import header
from ai.contract import Normalise, Preparation
from ai.header import Part10, Plane, Reference, Stored
from ai.inputs.levels import Range
from ai.inputs.wanted import Acquired, acquired, items
from dicom.errors import Unsuitable
from dicom.part10 import text

Array = npt.NDArray[Any]
_GREY = {"MONOCHROME1", "MONOCHROME2"}
_COLOURED = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image's header says."""

    index: int
    """Where it stands in the given Series."""
    name: str
    reference: Reference
    identity: tuple[str, ...]
    """Of study, Series and patient; the same in one Series, and never shown."""
    number: float
    """InstanceNumber; infinite where there is none."""
    plane: Plane
    acquired: Acquired
    stored: Stored
    is_coloured: bool
    head: FileDataset


@dataclass(frozen=True, slots=True)
class Picture:
    """An image's values, and the range that they are to be seen in."""

    facts: Facts
    values: Array
    """(y, x), or (y, x, 3) of red, green and blue; high is bright."""
    range: Range


def facts(index: int, part10: Part10) -> Facts:
    """Read an image's header. Raises Unsuitable when it is no single image with known colours."""
    head, end = header.head_and_end(index, part10)
    uid = text(head, "SOPInstanceUID")
    if not uid:
        raise Unsuitable(f"object {index + 1}: it has no SOPInstanceUID")
    name = header.title(uid, index)
    if text(head, "NumberOfFrames") not in {"", "1"}:
        raise Unsuitable(f"{name}: it is multi-frame; single images are wanted")
    photometric = text(head, "PhotometricInterpretation")
    if photometric not in _GREY | _COLOURED:
        raise Unsuitable(f"{name}: its PhotometricInterpretation is neither grey nor plain colour")
    stored = header.stored(head, part10, end)
    identity = ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "IssuerOfPatientID")
    return Facts(
        index=index,
        name=name,
        reference=Reference(text(head, "SOPClassUID"), uid),
        identity=tuple(text(head, keyword) for keyword in identity),
        number=_numbers(head, "InstanceNumber", 1, (np.inf,))[0],
        plane=Plane(stored.shape, _spacing(head)),
        acquired=acquired(head),
        stored=stored,
        is_coloured=photometric in _COLOURED,
        head=head,
    )


def read(part10: Part10, facts: Facts, how: Preparation) -> Picture:
    """Decode an image. Raises Unsuitable."""
    if facts.is_coloured:
        values = header.decode_any(part10, facts.name)
        if values.shape != (*facts.stored.shape, 3):
            raise Unsuitable(f"{facts.name}: its pixel data is not Rows x Columns x 3")
        return Picture(facts, values, (0.0, 2.0**facts.stored.bits_stored - 1))
    values, limits = _rescaled(header.decode(part10, facts.name, facts.stored), facts)
    seen = how.window
    if seen is None and how.normalise in {Normalise.UNIT, Normalise.SYMMETRIC}:
        values, limits, seen = _as_shown(values, limits, facts)
    if text(facts.head, "PhotometricInterpretation") == "MONOCHROME1":
        turn = limits[0] + limits[1]
        values = _turned(values, turn)
        if how.window is None and seen is not None:  # the contract's is about bright as high
            seen = (turn - seen[1], turn - seen[0])
    return Picture(facts, values, seen or (float(values.min()), float(values.max())))


def _rescaled(stored: Array, facts: Facts) -> tuple[Array, Range]:
    """Apply the Modality LUT (PS3.3 C.11.1): values, and the ends of what they can be."""
    head, (low, high) = facts.head, facts.stored.limits
    if items(head, "ModalityLUTSequence"):
        return _by_table(facts, stored, "ModalityLUTSequence")
    slope = _numbers(head, "RescaleSlope", 1, (1.0,))[0]
    intercept = _numbers(head, "RescaleIntercept", 1, (0.0,))[0]
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise Unsuitable(f"{facts.name}: its RescaleSlope is 0, or no number")
    if (slope, intercept) == (1, 0):
        return stored, (float(low), float(high))
    ends = sorted((slope * low + intercept, slope * high + intercept))
    values = np.multiply(stored, np.float32(slope), dtype=np.float32)
    values += np.float32(intercept)
    return values, (ends[0], ends[1])


def _as_shown(values: Array, limits: Range, facts: Facts) -> tuple[Array, Range, Range | None]:
    """Give values, their limits and the range in which the object wants to be seen, if it says."""
    head = facts.head
    centre = _numbers(head, "WindowCenter", None, ())
    width = _numbers(head, "WindowWidth", None, ())
    function = text(head, "VOILUTFunction").strip().upper() or "LINEAR"
    if centre and width and width[0] >= 1 and function == "LINEAR":  # PS3.3 C.11.2.1.2.1
        low = centre[0] - 0.5 - (width[0] - 1) / 2
        return values, limits, (low, low + width[0] - 1)
    if centre and width and width[0] > 0 and function == "LINEAR_EXACT":
        return values, limits, (centre[0] - width[0] / 2, centre[0] + width[0] / 2)
    if centre and function == "SIGMOID":
        words = "its VOILUTFunction is SIGMOID; state a window in the contract"
        raise Unsuitable(f"{facts.name}: {words}")
    if items(head, "VOILUTSequence") and values.dtype.kind in "iu":
        values, limits = _by_table(facts, values, "VOILUTSequence")
        return values, limits, limits
    return values, limits, None


def _by_table(facts: Facts, values: Array, keyword: str) -> tuple[Array, Range]:
    """Look values up in a table (PS3.3 C.11.1.1): what stands there, and the ends of it."""
    try:
        with pydicom_config.disable_value_validation():
            item = facts.head[keyword].value[0]
            entries, first, bits = (int(part) for part in item.LUTDescriptor)
            data = item.LUTData
    except Exception as fault:  # pydicom raises many kinds on absent and on hostile values
        words = f"its {keyword} is no table ({type(fault).__name__})"
        raise Unsuitable(f"{facts.name}: {words}") from fault
    entries = entries or 2**16
    if facts.stored.is_signed and first >= 2**15:  # written as if it were unsigned
        first -= 2**16
    if isinstance(data, bytes):
        table = np.frombuffer(data, np.uint8 if len(data) <= entries + 1 else "<u2")
    else:
        table = np.atleast_1d(np.asarray(data or [], np.uint16))
    if not 0 < bits <= 16 or not 0 < entries <= len(table):
        raise Unsuitable(f"{facts.name}: its {keyword} is shorter than it says")
    at = np.clip(values.astype(np.int64) - first, 0, entries - 1)
    return table[at].astype(np.uint16), (0.0, 2.0**bits - 1)


def _turned(values: Array, turn: float) -> Array:
    if values.dtype.kind in "iu":  # between its own limits, it fits into its own type
        return np.subtract(int(turn), values.astype(np.int64)).astype(values.dtype)
    return np.float32(turn) - values


def _spacing(head: Dataset) -> tuple[float, float] | None:
    """Distances between rows and columns; of a radiograph, at the detector (PS3.3 10.7.1.3)."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        found = _numbers(head, keyword, 2, ())
        if found and min(found) > 0:
            return found[0], found[1]
    return None


def _numbers(
    head: Dataset, keyword: str, count: int | None, default: tuple[float, ...]
) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text(head, keyword).split("\\"))
    except ValueError:
        return default
    if (count is not None and len(found) != count) or not np.isfinite(found).all():
        return default
    return found
