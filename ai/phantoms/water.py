"""Write a CT water phantom whose CT number, noise and uniformity are set, not measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.phantom import Patient
from ai.phantoms.series import Scan, Written
from ai.phantoms.series import write as write_series
from dicom.uid import derive

FIELD_OF_VIEW_MM: Final = 250.0
SLICE_MM: Final = 5.0
WALL_MM: Final = 5.0
_AIR, _WALL = -1000, 120
_CENTRAL, _SMALL, _EDGE_MM = 0.4, 0.1, 10.0
"""The regions of IEC 61223: shares of the diameter, and the distance from the edge."""
NOBODY: Final = Patient(name="QC^WATER", patient_id="QC-WATER", birth_date="", sex="O")


@dataclass(frozen=True, slots=True)
class Truth:
    """What the phantom was given; the regions' part in it is computed, not measured."""

    water_hu: float
    noise_hu: float
    uniformity_hu: float
    diameter_mm: float
    written: Written


def write(
    directory: Path,
    *,
    slices: int = 4,
    size: int = 512,
    diameter_mm: float = 200.0,
    water_hu: float = 1.0,
    cupping_hu: float = 2.0,
    noise_hu: float = 4.0,
    squeeze: float = 1.0,
    patient: Patient = NOBODY,
    label: str = "1",
) -> Truth:
    """Write the Series into `directory` and return its truth.

    CT numbers rise by `cupping_hu` from the middle to the edge with the square of the distance, as
    beam hardening makes them. `squeeze` other than 1 makes the phantom oval.
    """
    pixel_mm = round(FIELD_OF_VIEW_MM / size, 6)
    scan = Scan(
        "Water phantom",
        "CT",
        "PHANTOM",
        (SLICE_MM, pixel_mm, pixel_mm),
        "Daily quality control",
        {"Laterality": ""},  # wanted where the part of the body is none of a person's
    )
    radius_mm = diameter_mm / 2
    axis = (np.arange(size) - (size - 1) / 2) * pixel_mm
    away_mm = np.hypot(axis[np.newaxis, :], axis[:, np.newaxis] * squeeze)
    image = water_hu + cupping_hu * (away_mm / radius_mm) ** 2
    image[away_mm > radius_mm - WALL_MM] = _WALL
    image[away_mm > radius_mm] = _AIR
    written = write_series(directory, _noisy(image, slices, noise_hu, label), scan, patient, label)
    # Over a circle of radius a, d away from the middle, the mean square distance is d2 + a2 / 2.
    central, small = _CENTRAL * radius_mm, _SMALL * radius_mm
    out = radius_mm - _EDGE_MM - small
    return Truth(
        water_hu=water_hu + cupping_hu * central**2 / 2 / radius_mm**2,
        noise_hu=noise_hu,
        uniformity_hu=abs(cupping_hu) * out**2 / radius_mm**2,
        diameter_mm=diameter_mm,
        written=written,
    )


def _noisy(
    image: npt.NDArray[Any], slices: int, noise_hu: float, label: str
) -> Iterator[npt.NDArray[Any]]:
    chance = np.random.default_rng([int(digit) for digit in derive("water noise", label)[5:]])
    for _ in range(slices):
        yield image + chance.normal(0, noise_hu, image.shape)
