"""Write a cardiac CT phantom: a chest with a heart whose calcifications are known exactly.

The Agatston score follows from each calcification's area, plateau and extent as they are drawn,
not from looking at the image. Round it lie what must not be counted: spine, sternum, ribs, a
calcified node in a lung, and a speck below 1 mm2. Same arguments, same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.phantom import Patient
from ai.phantoms.series import INTERCEPT, PATIENT, Scan, Written
from ai.phantoms.series import write as write_series
from dicom.uid import derive

FIELD_OF_VIEW_MM: Final = 360.0
_AIR, _FAT, _LUNG, _MUSCLE, _BLOOD = -1000, -90, -860, 50, 42
_CORTEX, _MARROW = 620, 170
NOISE_HU: Final = 9.0
WORST_NOISE: Final = 2.8
"""Noise is cut here, in standard deviations, so that no plateau leaves its density class."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """A calcification: a disc of the same radius in some neighbouring slices."""

    x_mm: float
    y_mm: float
    radius_mm: float
    hounsfield: int
    first: float
    """Where it begins, as a share of the phantom's length."""
    slices: int


LESIONS: Final = (
    Lesion(14, -46, 2.4, 160, 0.30, 3),
    Lesion(22, -40, 3.2, 250, 0.35, 2),
    Lesion(34, -30, 2.0, 350, 0.42, 4),
    Lesion(-24, -38, 4.0, 560, 0.50, 3),
    Lesion(48, -14, 1.6, 250, 0.62, 1),
)
"""In four density classes."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the phantom holds, from how it is drawn."""

    agatston: float
    volume_mm3: float
    lesions: int
    written: Written


def write(
    directory: Path,
    *,
    slices: int = 40,
    size: int = 512,
    spacing_mm: float = 3.0,
    lesions: tuple[Lesion, ...] = LESIONS,
    blood_hu: int = _BLOOD,
    noise_hu: float = NOISE_HU,
    kvp: float = 120,
    view_mm: float = FIELD_OF_VIEW_MM,
    patient: Patient = PATIENT,
    label: str = "1",
) -> Truth:
    """Write the Series into `directory` and return its truth.

    `blood_hu` above 100 is a heart with contrast agent. A `view_mm` below the whole is a round
    field of view that cuts lungs and ribs, as cardiac scans have; `size` is that of the whole.
    Raises ValueError when a lesion lies outside the phantom.
    """
    pixel_mm = round(FIELD_OF_VIEW_MM / size, 6)
    scan = Scan(
        "Heart phantom",
        "CT",
        "HEART",
        (spacing_mm, pixel_mm, pixel_mm),
        "CT heart without contrast, calcium score",
        {"KVP": kvp, "ConvolutionKernel": "Qr36"},
    )
    place = _Places(size, pixel_mm)
    calcium = _draw(place, lesions, slices)
    stack = _slices(place, calcium, slices, blood_hu=blood_hu, noise_hu=noise_hu, label=label)
    if view_mm < FIELD_OF_VIEW_MM:
        stack = (place.cut(image, view_mm) for image in stack)
    written = write_series(directory, stack, scan, patient, label)
    return Truth(
        agatston=_agatston(calcium, spacing_mm, pixel_mm),
        volume_mm3=sum(int(mask.sum()) for _, _, mask in calcium) * spacing_mm * pixel_mm**2,
        lesions=len(lesions),
        written=written,
    )


class _Places:
    """Shapes on the grid of a slice; x to the patient's left, y to the back, in mm."""

    def __init__(self, size: int, pixel_mm: float) -> None:
        axis = (np.arange(size) - (size - 1) / 2) * pixel_mm
        self.x, self.y = axis[np.newaxis, :], axis[:, np.newaxis]
        self.pixel_mm = pixel_mm

    def ellipse(
        self, x_mm: float, y_mm: float, half_x: float, half_y: float
    ) -> npt.NDArray[np.bool_]:
        inside: npt.NDArray[np.bool_] = ((self.x - x_mm) / half_x) ** 2 + (
            (self.y - y_mm) / half_y
        ) ** 2 <= 1
        return inside

    def cut(self, image: npt.NDArray[Any], view_mm: float) -> npt.NDArray[Any]:
        """Cut out the middle; what lies outside its circle holds the lowest value."""
        inside = np.abs(self.x[0]) <= view_mm / 2
        round_view = self.ellipse(0, 0, view_mm / 2, view_mm / 2)
        return np.where(round_view, image, INTERCEPT)[np.ix_(inside, inside)]

    def pixel(self, x_mm: float, y_mm: float) -> tuple[int, int]:
        """Give (row, column) of the pixel at a place."""
        row = int(np.abs(self.y[:, 0] - y_mm).argmin())
        return row, int(np.abs(self.x[0] - x_mm).argmin())


_Calcium = list[tuple[int, int, npt.NDArray[np.bool_]]]
"""For each slice of each lesion: z, Hounsfield units, mask (y, x)."""


def _draw(place: _Places, lesions: tuple[Lesion, ...], slices: int) -> _Calcium:
    drawn: _Calcium = []
    for one in lesions:
        begin = int(one.first * slices)
        mask = place.ellipse(one.x_mm, one.y_mm, one.radius_mm, one.radius_mm)
        if begin + one.slices > slices or not mask.any():
            raise ValueError(f"a lesion lies outside the phantom: {one}")
        drawn += [(z, one.hounsfield, mask) for z in range(begin, begin + one.slices)]
    return drawn


def _agatston(calcium: _Calcium, spacing_mm: float, pixel_mm: float) -> float:
    """Add up area times density class; the score is defined for slices every 3 mm."""
    total = 0.0
    for _, hounsfield, mask in calcium:
        factor = next(
            n for n, least in ((4, 400), (3, 300), (2, 200), (1, 130)) if hounsfield >= least
        )
        total += int(mask.sum()) * pixel_mm**2 * factor
    return total * spacing_mm / 3


def _slices(
    place: _Places, calcium: _Calcium, slices: int, *, blood_hu: int, noise_hu: float, label: str
) -> Iterator[npt.NDArray[Any]]:
    chance = np.random.default_rng([int(digit) for digit in derive("heart noise", label)[5:]])
    for z in range(slices):
        image = _anatomy(place, z, slices, blood_hu)
        for at, hounsfield, mask in calcium:
            if at == z:
                image[mask] = hounsfield
        noise = chance.normal(0, noise_hu, image.shape)
        # The speck is one pixel of less than 1 mm2; where pixels are larger there is none.
        if z == slices // 2 and place.pixel_mm < 1:
            image[place.pixel(0, -20)] = 300
        yield image + np.clip(noise, -WORST_NOISE * noise_hu, WORST_NOISE * noise_hu)


def _anatomy(place: _Places, z: int, slices: int, blood_hu: int) -> npt.NDArray[Any]:
    ellipse = place.ellipse
    t = z / max(1, slices - 1)  # 0 at the diaphragm, 1 at the great vessels
    image = np.full((place.y.size, place.x.size), _AIR, dtype=np.float64)
    image[ellipse(0, 0, 165, 112)] = _FAT
    image[ellipse(0, 0, 158, 105)] = _MUSCLE
    image[(np.abs(place.x) < 150) & (np.abs(place.y - 130) < 6)] = 120  # the table
    lungs = ellipse(-82, -6, 58, 82) | ellipse(82, -6, 58, 82)
    heart = ellipse(18, -22, 74 - 34 * t, 54 - 14 * t)
    image[lungs] = _LUNG
    image[ellipse(0, 10, 34, 60)] = _FAT  # the mediastinum between them
    image[heart] = blood_hu
    image[ellipse(18, 38, 12, 12)] = blood_hu  # the descending aorta
    if z == slices // 3:
        image[ellipse(-90, 10, 4, 4)] = 320  # a calcified node in the lung
    _bones(image, place, z)
    return image


def _bones(image: npt.NDArray[Any], place: _Places, z: int) -> None:
    ellipse = place.ellipse
    if z % 10 < 8:  # a vertebra; in between lies a disc
        image[ellipse(0, 68, 21, 17)] = _CORTEX
        image[ellipse(0, 68, 18, 14)] = _MARROW
    else:
        image[ellipse(0, 68, 20, 16)] = 95
    image[ellipse(0, 93, 5, 12)] = _CORTEX  # the spinous process
    if z % 10 == 4:
        for side in (-1, 1):  # joints of the ribs: bright, small, and in few slices
            image[ellipse(side * 31, 70, 4, 4)] = _CORTEX
    image[ellipse(0, -95, 16, 6)] = _CORTEX  # the sternum
    image[ellipse(0, -95, 13, 4)] = _MARROW
    for side in (-1, 1):
        for rib in range(5):
            angle = np.deg2rad(-55 + 28 * rib + 2.5 * z)
            image[ellipse(side * 149 * np.cos(angle), 98 * np.sin(angle), 7, 4)] = _CORTEX
