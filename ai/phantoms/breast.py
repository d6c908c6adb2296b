"""Write a mammography phantom: views of breasts whose density and calcifications are known.

Fat, dense tissue of an exact share of the breast's area, the pectoral muscle in oblique views,
clusters of small calcifications and single ones, a few vessels that are none. The truth follows
from the drawing. Same arguments, same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.phantom import Patient
from ai.phantoms.projection import Projection, Study
from ai.phantoms.projection import write as write_images
from ai.phantoms.series import PATIENT, Written
from dicom.uid import derive

SIZE_MM: Final = (140.0, 90.0)
"""Of an image: down, across."""
_AIR, _FAT, _DENSE, _MUSCLE, _CALCIUM = 60.0, 1250.0, 2100.0, 2350.0, 520.0
_NOISE: Final = 28.0
_MUSCLE_MM: Final = (38.0, 92.0)
"""Where its border meets the upper edge, and the chest wall."""
_BORDER_MM: Final = 0.35
"""How soft the border of dense tissue is."""
_CLUSTER: Final = 9
"""Calcifications of a cluster."""
_VIEW_CODES: Final = {
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
}
STUDY: Final = Study(
    phantom="Breast phantom",
    modality="MG",
    body_part="BREAST",
    region=("76752008", "Breast"),
    description="Mammography, both sides",
)

_Field = npt.NDArray[Any]
_Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Truth:
    """What one image shows. Places are (row, column) in pixels; 0.5 is the middle of the first."""

    view: str
    laterality: str
    density_percent: float
    calcifications: tuple[tuple[float, float], ...]
    """All of them, those of clusters first."""
    clusters: tuple[tuple[float, float], ...]
    """The middles."""


@dataclass(frozen=True, slots=True)
class Mammograms:
    """The images' truths, in the order of the files."""

    images: tuple[Truth, ...]
    written: Written


def write(
    folder: Path,
    *,
    density: float = 30.0,
    views: Sequence[str] = ("RCC", "LCC", "RMLO", "LMLO"),
    clusters: int = 2,
    single: int = 3,
    pixel_mm: float = 0.1,
    is_monochrome1: bool = False,
    patient: Patient = PATIENT,
    label: str = "1",
) -> Mammograms:
    """Write a Series of mammograms into `folder`, and return its truth.

    `density` is the percentage of the breast's area that is dense, the muscle left out. A view is
    a side, R or L, and CC or MLO. Another `label` gives other UIDs and other tissue.
    """
    wanted = _Wanted(density / 100, clusters, single, pixel_mm)
    drawn = [_draw(view, wanted, f"{label} {view}") for view in views]
    images = (
        Projection(
            values=values,
            pixel_mm=pixel_mm,
            laterality=truth.laterality,
            view=truth.view,
            view_code=_VIEW_CODES[truth.view],
            orientation=_orientation(truth),
            is_monochrome1=is_monochrome1,
        )
        for values, truth in drawn
    )
    written = write_images(folder, images, STUDY, patient, label)
    return Mammograms(tuple(truth for _, truth in drawn), written)


def _orientation(truth: Truth) -> tuple[str, str]:
    """Give where rows and columns lead to, the chest wall at the left of a left breast."""
    down = {"CC": {"L": "R", "R": "L"}, "MLO": {"L": "FR", "R": "FL"}}
    return ("A" if truth.laterality == "L" else "P", down[truth.view][truth.laterality])


@dataclass(frozen=True, slots=True)
class _Wanted:
    dense_share: float
    clusters: int
    single: int
    pixel_mm: float


def _draw(view: str, wanted: _Wanted, label: str) -> tuple[_Field, Truth]:
    pixel_mm = wanted.pixel_mm
    chance = np.random.default_rng([int(digit) for digit in derive("breast", label)[5:]])
    shape = tuple(round(length / pixel_mm) for length in SIZE_MM)
    y, x = ((np.arange(length) + 0.5) * pixel_mm for length in shape)
    y, x = y[:, np.newaxis], x[np.newaxis]
    is_oblique = view.endswith("MLO")
    skin = _skin(y, is_oblique=is_oblique) - x
    behind = x / _MUSCLE_MM[0] + y / _MUSCLE_MM[1] - 1 if is_oblique else np.ones(shape)
    breast, muscle = skin > 0, behind < 0
    tissue = breast & ~muscle
    deep = np.minimum(skin, behind * 30)
    dense = _dense(chance, tissue, deep, wanted.dense_share, pixel_mm)
    values = np.where(dense, _DENSE, _FAT)
    values = np.where(muscle & breast, _MUSCLE, values)
    values = _smooth(values, _BORDER_MM, pixel_mm) + _vessels(y, x, chance)
    values = _AIR + (values - _AIR) * np.clip(0.55 + 0.15 * skin, 0, 1) * breast
    places, middles = _places(chance, deep, pixel_mm, wanted.clusters, wanted.single)
    for place in places:
        _add_spot(values, place, pixel_mm, chance)
    values += _smooth(chance.normal(0, 1, shape), 0.06, pixel_mm) * _NOISE
    if view[0] == "R":
        values = values[:, ::-1]
        places, middles = _mirrored(places, shape[1]), _mirrored(middles, shape[1])
    percent = 100 * float((dense & tissue).sum() / tissue.sum())
    return values, Truth(view[1:], view[0], percent, tuple(places), tuple(middles))


def _mirrored(places: list[_Place], width: int) -> list[_Place]:
    return [(row, width - column) for row, column in places]


def _skin(y: _Field, *, is_oblique: bool) -> _Field:
    """How far the skin is from the chest wall at each row, in mm; below 0 outside."""
    middle, half = (78.0, 58.0) if is_oblique else (70.0, 62.0)
    round_ = 76 * np.sqrt(np.clip(1 - ((y - middle) / half) ** 2, 0, 1))
    round_ = np.where(np.abs(y - middle) >= half, -1.0, round_)
    if not is_oblique:
        return np.asarray(round_)
    return np.where(y < middle, 76 - 22 * ((middle - y) / middle) ** 2, round_)


def _dense(
    chance: np.random.Generator, tissue: _Field, deep: _Field, share: float, pixel_mm: float
) -> _Field:
    """Mark the share of tissue where a smooth random field, higher in the middle, is highest."""
    lumps = _smooth(chance.normal(0, 1, tissue.shape), 4.0, pixel_mm)
    score = lumps / lumps.std() + np.clip(deep / 12, 0, 2)
    score[~tissue | (deep < 4)] = -np.inf
    wanted = round(share * int(tissue.sum()))
    if wanted > int(np.isfinite(score).sum()):
        raise ValueError("so dense a breast does not fit inside its skin")
    threshold = np.partition(score.ravel(), -wanted)[-wanted] if wanted else np.inf
    return np.asarray(score >= threshold)


def _places(
    chance: np.random.Generator, deep: _Field, pixel_mm: float, clusters: int, single: int
) -> tuple[list[_Place], list[_Place]]:
    """Give where calcifications are, and the middles of clusters: all apart from each other."""
    margin = round(8 / pixel_mm)
    inner = np.zeros(deep.shape, dtype=bool)
    inner[margin:-margin, margin:-margin] = deep[margin:-margin, margin:-margin] > 10
    rows, columns = np.nonzero(inner[::10, ::10])
    middles: list[_Place] = []
    while len(middles) < clusters + single:
        at = int(chance.integers(rows.size))
        place = (float(rows[at]) * 10 + 0.5, float(columns[at]) * 10 + 0.5)
        if all(_apart_mm(place, other, pixel_mm) > 16 for other in middles):
            middles.append(place)
    places: list[_Place] = []
    for middle in middles[:clusters]:
        mine: list[_Place] = []
        while len(mine) < _CLUSTER:
            row, column = np.floor(np.array(middle) + chance.uniform(-4, 4, 2) / pixel_mm) + 0.5
            if all(_apart_mm((row, column), other, pixel_mm) > 1.5 for other in mine):
                mine.append((float(row), float(column)))
        places += mine
    return places + middles[clusters:], middles[:clusters]


def _apart_mm(one: _Place, other: _Place, pixel_mm: float) -> float:
    return float(np.hypot(one[0] - other[0], one[1] - other[1]) * pixel_mm)


def _add_spot(
    values: _Field, place: tuple[float, float], pixel_mm: float, chance: np.random.Generator
) -> None:
    """Draw one calcification, a round spot of 0.3 to 0.7 mm."""
    radius = chance.uniform(0.15, 0.35) / pixel_mm
    reach = int(radius + 3)
    row, column = int(place[0]), int(place[1])
    window = values[row - reach : row + reach + 1, column - reach : column + reach + 1]
    away = np.hypot(*(np.indices(window.shape) - reach))
    window += _CALCIUM * chance.uniform(0.8, 1.3) / (1 + np.exp((away - radius) / 0.35))


def _vessels(y: _Field, x: _Field, chance: np.random.Generator) -> _Field:
    """Draw a few faint bright lines: long, so no calcification."""
    lines = np.zeros((y.shape[0], x.shape[1]))
    for _ in range(3):
        start, slope, bend = (
            chance.uniform(30, 100),
            chance.uniform(-0.4, 0.4),
            chance.uniform(2, 5),
        )
        away = y - start - slope * x - bend * np.sin(x / 12)
        lines += 160 * np.exp(-((away / 0.5) ** 2))
    return lines


def _smooth(values: _Field, sigma_mm: float, pixel_mm: float) -> _Field:
    """Blur with a Gaussian; beyond its edges the image goes on as it ends."""
    edge = 4 * round(sigma_mm / pixel_mm) + 2
    wide = np.pad(values, edge, mode="edge")
    down, across = (np.fft.fftfreq(wide.shape[0]), np.fft.rfftfreq(wide.shape[1]))
    frequency = down[:, np.newaxis] ** 2 + across[np.newaxis] ** 2
    kept = np.exp(-2 * (np.pi * sigma_mm / pixel_mm) ** 2 * frequency)
    blurred = np.fft.irfft2(np.fft.rfft2(wide) * kept, wide.shape)
    return np.asarray(blurred[edge:-edge, edge:-edge])
