"""Findings of every kind, alone and together, that suit a Series."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.contract import Class, Code, Contract, Served, Trust, Wants
from ai.findings import (
    Box,
    Embedding,
    Finding,
    Heatmap,
    Mask,
    Measurement,
    Point,
    Text,
    Verdict,
)
from ai.header import Source
from ai.report.subject import Subject
from ai.report.survey import is_slide

LUNG: Final = Code("39607008", "SCT", "Lung")
NODULE: Final = Code("27925004", "SCT", "Nodule")
EFFUSION: Final = Code("60046008", "SCT", "Pleural effusion")
TISSUE: Final = Code("85756007", "SCT", "Tissue")
ATTENTION: Final = Code("ATTENTION", "99PENUMBRA", "Class activation")
_TILES: Final = (20, 25)
_CONTRACT: Final = Contract(
    algorithm="Penumbra example",
    algorithm_version="1.0.0",
    settings="threshold 0.5",
    procedure=Code("25045-6", "LN", "CT unspecified body region"),
    wants=Wants("CT"),
    inputs=(),
    outputs=(),
    trust=Trust(conformal={"verdicts": 0.2}, interval={"volume_ml": 120.0}),
)
_SERVED: Final = Served(
    model="example",
    version="3",
    server="triton 2.51.0",
    inputs=(),
    outputs=(),
    parameters={"penumbra.digest": "5e" * 32},
)


def _measurements(source: Source) -> tuple[Finding, ...]:
    volume = Code("VOLUME", "99PENUMBRA", "Volume of both lungs")
    mean = Code("MEAN", "99PENUMBRA", "Mean attenuation of the image")
    litres, hounsfield = Code("mL", "UCUM", "Milliliter"), Code("[hnsf'U]", "UCUM", "Hounsfield")
    whole = Measurement("volume_ml", volume, 4321.5, litres, LUNG, 1, None, (4201.5, 4441.5))
    each = (
        Measurement("mean_hu", mean, -700.0 - image, hounsfield, LUNG, 0, image)
        for image in range(min(3, len(source.references)))
    )
    return whole, *each


def _verdicts(source: Source) -> tuple[Finding, ...]:
    last = len(source.references) - 1
    return (
        Verdict("verdicts", NODULE, 0.913, True, LUNG, None, True),
        Verdict("verdicts", EFFUSION, 0.081, False, LUNG, None, False),
        Verdict("each", NODULE, 0.77, True, None, last),
    )


def _masks(source: Source) -> tuple[Finding, ...]:
    labels = [_labels(source, image) for image in range(len(source.planes))]
    segments = (Class(LUNG, category=Code("123037004", "SCT", "Anatomical Structure")),)
    return (Mask("mask", (*segments, Class(NODULE), Class(EFFUSION)), labels, LUNG),)


def _labels(source: Source, image: int) -> npt.NDArray[np.uint8]:
    rows, columns = _TILES if is_slide(source) else source.planes[image].shape
    y, x = (np.arange(length)[:, np.newaxis] / length for length in (rows, columns))
    labels = np.zeros((rows, columns), dtype=np.uint8)
    count = len(source.planes)
    if count < 5 or count // 4 <= image < count - count // 4:
        labels[((y - 0.5) / 0.3) ** 2 + ((x.T - 0.3) / 0.2) ** 2 < 1] = 1
        labels[(abs(y - 0.4) < 0.1) & (abs(x.T - 0.7) < 0.1)] = 2
    return labels


def _marks(source: Source) -> tuple[Finding, ...]:
    middle = len(source.planes) // 2
    return (
        Box("boxes", NODULE, 0.83, middle, 10.25, 12.0, 30.5, 40.75, LUNG),
        Box("boxes", NODULE, 0.61, 0, 0.0, 0.0, 5.0, 6.0, None),
        Point("points", NODULE, 0.7, middle, 20.5, 33.5, LUNG),
        Point("points", EFFUSION, 1.7, middle, 1.5, 2.5, None),
    )


def _text(_: Source) -> tuple[Finding, ...]:
    words = "No change since the last examination.\nΔ volume < 2 %, Größe 4 mm, 変化なし.\t\x07"
    return (Text("draft", Code("121070", "DCM", "Findings"), words),)


def _heat(source: Source) -> tuple[Finding, ...]:
    shapes = [_TILES] if is_slide(source) else [plane.shape for plane in source.planes]
    values = [_hot(shape) * np.float32(1 + image) for image, shape in enumerate(shapes)]
    unit = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
    return (
        Heatmap("attention", ATTENTION, None, values),
        Heatmap("a_heat_map_with_a_long_name", ATTENTION, unit, [-v for v in values]),
        Embedding("embedding", (0.1, 0.2)),
    )


def _hot(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    y, x = (np.linspace(-1, 1, length)[:, np.newaxis] for length in shape)
    hot: npt.NDArray[np.float32] = np.exp(-4 * (y**2 + x.T**2)).astype(np.float32)
    return hot


def _nothing(source: Source) -> tuple[Finding, ...]:
    empty = [np.zeros_like(_labels(source, image)) for image in range(len(source.planes))]
    return (Mask("mask", (Class(LUNG), Class(NODULE)), empty, None),)


def _together(source: Source) -> tuple[Finding, ...]:
    makers = (_measurements, _verdicts, _masks, _marks, _text, _heat)
    return tuple(finding for make in makers for finding in make(source))


FINDINGS: Final[Mapping[str, Callable[[Source], tuple[Finding, ...]]]] = {
    "measurements": _measurements,
    "verdicts": _verdicts,
    "masks": _masks,
    "marks": _marks,
    "text": _text,
    "heat": _heat,
    "nothing": _nothing,
    "none": lambda _: (),
    "refusal": lambda _: (),
    "together": _together,
}


def subject(source: Source, kind: str) -> Subject:
    """Make what a report says about a Series; `kind` is one of FINDINGS."""
    refusal = "its slices are not evenly spaced" if kind == "refusal" else ""
    return Subject(source, _CONTRACT, _SERVED, FINDINGS[kind](source), refusal)


def references_in(tree: Any) -> set[str]:
    """Collect every SOP Instance UID that a dataset refers to, at any depth."""
    found = set()
    for element in tree.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            found.add(str(element.value))
    return found
