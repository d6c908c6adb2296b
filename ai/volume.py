"""Turn a Series' stored objects into one volume in its own unit, or say what is wrong.

Geometry follows PS3.3 C.7.6.2.1.1: slices are ordered along their normal, so the volume's axes
are (z, y, x) = (along the normal, down the rows' order, along a row).
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from ai import header
from ai.contract import Orientation, Wants
from ai.header import Header, Part10, Plane, Source
from ai.inputs import wanted
from dicom.errors import Unsuitable

AXIAL_COSINE: Final = 0.9
"""The normal of an axial slice lies within 25 degrees of the patient's long axis."""
PARALLEL: Final = 0.9995
"""Cosine between directions that count as one (1.8 degrees)."""
SAME_PLACE_MM: Final = 0.01
THREADS: Final = 4
"""How many slices are decoded at a time."""
SPACING_TOLERANCE: Final = 0.05
"""How far a step between slices may be from the median step, as a share of it."""
_NORMAL: Final = {Orientation.SAGITTAL: 0, Orientation.CORONAL: 1, Orientation.AXIAL: 2}
"""The patient's axis (x, y, z) that is normal to such slices."""
MAX_BYTES: Final = 2**31 - 2**20
"""What one gRPC message can carry, less room for its envelope."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A Series as one array, and what a report about it must name."""

    voxels: npt.NDArray[np.int16] | npt.NDArray[np.float32]
    """(z, y, x), z ascending along the slice normal: Hounsfield units of a CT, else what its
    rescale gives; float32 where that is not whole or too much for int16."""
    spacing_mm: tuple[float, float, float]
    """Distances between voxel centres along (z, y, x)."""
    source: Source
    digest: bytes
    """SHA-256 over the voxels, their shape and their type."""


def read(series: Sequence[Part10], wants: Wants) -> Volume:
    """Order, check and rescale a Series. Memory: the volume, and one slice at a time.

    Raises Unsuitable, naming what is wrong, when the Series is not what the contract wants: other
    modality or acquisition, too few slices, mixed or wrong orientation, tilted gantry, slices
    missing, doubled or unevenly spaced, a CT without rescale to Hounsfield units, undecodable
    pixels.
    """
    needed = max(2, wants.min_slices)  # one slice has no extent along z
    if len(series) < needed:
        raise Unsuitable(f"{len(series)} slices; at least {needed} are needed")
    headers = [header.read(index, part10) for index, part10 in enumerate(series)]
    slices, step_mm = arrange(headers, wants)
    first = slices[0]
    voxels, digest = _fill(series, slices)
    return Volume(
        voxels=voxels,
        digest=digest,
        spacing_mm=(step_mm, *first.pixel_spacing_mm),
        source=Source(
            study_instance_uid=first.study_instance_uid,
            series_instance_uid=first.series_instance_uid,
            references=tuple(facts.reference for facts in slices),
            head=header.head(first.index, series[first.index]),
            frame_of_reference_uid=first.frame_of_reference_uid,
            planes=tuple(
                Plane(one.shape, one.pixel_spacing_mm, one.position, one.row, one.column)
                for one in slices
            ),
            thickness_mm=step_mm,
            heads=_heads(series, slices),
        ),
    )


def _heads(series: Sequence[Part10], slices: Sequence[Header]) -> tuple[Dataset, ...]:
    """Read every header where slices are rescaled each in its own way; none where all are alike."""
    if len({(facts.slope, facts.intercept) for facts in slices}) == 1:
        return ()
    return tuple(header.head(facts.index, series[facts.index]) for facts in slices)


def arrange(headers: Sequence[Header], wants: Wants) -> tuple[list[Header], float]:
    """Order slices along their normal and return them with the step between them in mm.

    Pure. Raises Unsuitable as `read` does.
    """
    _check_alike(headers, wants)
    normal = np.cross(headers[0].row, headers[0].column)
    along = _NORMAL.get(wants.orientation)
    if along is not None and abs(float(normal[along])) < AXIAL_COSINE:
        raise Unsuitable(f"the slices are not {wants.orientation}")
    ordered = sorted(headers, key=lambda facts: (_along(facts, normal), facts.index))
    places = np.array([_along(facts, normal) for facts in ordered])
    step_mm = _check_steps(places, wants)
    _check_not_tilted(ordered, normal)
    return ordered, step_mm


def _along(facts: Header, normal: npt.NDArray[Any]) -> float:
    return float(np.dot(facts.position, normal))


def _check_alike(headers: Sequence[Header], wants: Wants) -> None:
    first = headers[0]
    for facts in headers:
        named = header.title(facts.reference.sop_instance_uid, facts.index)
        wanted.check(named, facts.acquired, wants)
    if len({facts.reference.sop_instance_uid for facts in headers}) < len(headers):
        raise Unsuitable("two objects carry the same SOPInstanceUID")
    for name, values in (
        ("SeriesInstanceUID", {facts.series_instance_uid for facts in headers}),
        ("StudyInstanceUID", {facts.study_instance_uid for facts in headers}),
        ("PatientID", {facts.patient for facts in headers}),
        ("FrameOfReferenceUID", {facts.frame_of_reference_uid for facts in headers}),
        ("Rows and Columns", {facts.shape for facts in headers}),
    ):
        if len(values) > 1:
            raise Unsuitable(f"the slices differ in {name}")
    for facts in headers:
        if not np.allclose(facts.pixel_spacing_mm, first.pixel_spacing_mm, rtol=1e-3):
            raise Unsuitable("the slices differ in PixelSpacing")
        parallel = (np.dot(facts.row, first.row), np.dot(facts.column, first.column))
        if min(parallel) < PARALLEL:
            raise Unsuitable("the slices differ in orientation (a localizer among them?)")


def _check_steps(places: npt.NDArray[Any], wants: Wants) -> float:
    steps = np.diff(places)
    doubled = int((steps < SAME_PLACE_MM).sum())
    if doubled:
        raise Unsuitable(f"{doubled} slices lie at the place of another")
    step_mm = float(np.median(steps))
    missing = int(np.rint(steps / step_mm - 1).clip(min=0).sum())
    if missing:
        raise Unsuitable(f"{missing} slices are missing between the first and the last")
    if float(np.abs(steps - step_mm).max()) > SPACING_TOLERANCE * step_mm + SAME_PLACE_MM:
        raise Unsuitable(
            f"the slices are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} mm)"
        )
    step_mm = float(places[-1] - places[0]) / len(steps)
    if step_mm > wants.max_spacing_mm + SAME_PLACE_MM:
        raise Unsuitable(
            f"the slices are {step_mm:.2f} mm apart; at most {wants.max_spacing_mm:g} mm is wanted"
        )
    return step_mm


def _check_not_tilted(ordered: Sequence[Header], normal: npt.NDArray[Any]) -> None:
    # With a tilted gantry the slices are parallel but their origins shift sideways: the stack
    # is sheared and no box of voxels.
    way = np.subtract(ordered[-1].position, ordered[0].position)
    if float(np.dot(way, normal)) < PARALLEL * float(np.linalg.norm(way)):
        raise Unsuitable("the stack of slices is sheared (tilted gantry)")
    origin = np.array(ordered[0].position)
    for facts in ordered:
        offset = np.subtract(facts.position, origin)
        sideways = offset - np.dot(offset, normal) * normal
        if float(np.linalg.norm(sideways)) > max(facts.pixel_spacing_mm):
            raise Unsuitable("a slice is shifted sideways against the others")


def _fill(series: Sequence[Part10], slices: Sequence[Header]) -> tuple[npt.NDArray[Any], bytes]:
    shape, dtype = (len(slices), *slices[0].shape), _dtype(slices)
    if int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > MAX_BYTES:
        raise Unsuitable("the volume is larger than 2 GiB")
    volume = np.empty(shape, dtype)

    def fill(z: int) -> bytes:
        facts, out = slices[z], volume[z]
        rescale(header.pixels(series[facts.index], facts), facts.slope, facts.intercept, out)
        return hashlib.sha256(out).digest()

    # Codecs, arithmetic and digests let go of the interpreter.
    with ThreadPoolExecutor(min(THREADS, len(slices))) as threads:
        digests = list(threads.map(fill, range(len(slices))))
    return volume, hashlib.sha256(repr((shape, dtype.str)).encode() + b"".join(digests)).digest()


def _dtype(slices: Sequence[Header]) -> np.dtype[Any]:
    whole = np.dtype(np.int16)
    if slices[0].modality == "CT":  # Hounsfield units have no fractions that anyone measures
        return whole
    limits = np.iinfo(whole)
    for facts in slices:
        ends = [facts.slope * end + facts.intercept for end in facts.stored.limits]
        is_whole = facts.slope.is_integer() and facts.intercept.is_integer()
        if not is_whole or min(ends) < limits.min or max(ends) > limits.max:
            return np.dtype(np.float32)
    return whole


def rescale(
    stored: npt.NDArray[Any], slope: float, intercept: float, out: npt.NDArray[Any]
) -> None:
    """Write `slope * stored + intercept` to `out` (y, x): rounded and clipped if that is int16."""
    if out.dtype.kind == "f":
        np.multiply(stored, slope, out=out, casting="unsafe")
        np.add(out, intercept, out=out, casting="unsafe")
        return
    limits = np.iinfo(np.int16)
    if _fits_int16(stored, slope, intercept, limits):
        # Sixteen bits wrap round as they should: what comes out is known to fit.
        np.add(stored.view(np.int16), np.int16(_wrapped(int(intercept))), out=out)
        return
    whole = slope.is_integer() and intercept.is_integer()
    if whole and abs(slope) < 2**10 and abs(intercept) < 2**20:  # no int32 overflows
        values: npt.NDArray[Any] = stored.astype(np.int64 if stored.itemsize > 2 else np.int32)
        values = values * int(slope) + int(intercept)
    else:
        values = np.rint(stored * slope + intercept)
    np.clip(values, limits.min, limits.max, out=out, casting="unsafe")


def _fits_int16(stored: npt.NDArray[Any], slope: float, intercept: float, limits: Any) -> bool:
    if slope != 1 or not intercept.is_integer() or stored.dtype.str not in {"<u2", "<i2"}:
        return False
    low, high = int(stored.min()) + int(intercept), int(stored.max()) + int(intercept)
    return bool(limits.min <= low and high <= limits.max)


def _wrapped(value: int) -> int:
    return (value + 2**15) % 2**16 - 2**15
