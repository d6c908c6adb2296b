"""Write a T1-weighted head phantom whose brain is known voxel by voxel.

Scalp, skull, fluid, grey and white matter, ventricles, eyes and neck, of ellipsoids. The truth is
the ellipsoid of the brain as it is drawn, ventricles included. Same arguments, same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.phantom import Patient
from ai.phantoms.series import PATIENT, Scan, Written
from ai.phantoms.series import write as write_series
from dicom.uid import derive

FIELD_OF_VIEW_MM: Final = 240.0
_AIR, _SKULL, _FLUID, _GREY, _WHITE, _MUSCLE, _FAT = 6, 45, 170, 520, 760, 380, 980
"""Brightness of T1-weighted images, in no unit."""
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Truth:
    """What the phantom holds, from how it is drawn."""

    brain_ml: float
    brain: _Mask
    """(z, y, x), z from the feet to the head."""
    written: Written


def write(
    directory: Path,
    *,
    slices: int = 128,
    size: int = 192,
    noise: float = 30.0,
    brain_scale: float = 1.0,
    echo_time_ms: float = 2.98,
    empty: bool = False,
    patient: Patient = PATIENT,
    label: str = "1",
) -> Truth:
    """Write the Series into `directory` and return its truth.

    `brain_scale` stretches all lengths of the head; `empty` leaves the head out.
    """
    pixel_mm = round(FIELD_OF_VIEW_MM / size, 6)
    step_mm = round(FIELD_OF_VIEW_MM / slices, 6)
    scan = Scan(
        "Head phantom",
        "MR",
        "HEAD",
        (step_mm, pixel_mm, pixel_mm),
        "MR head T1 without contrast",
        {"EchoTime": echo_time_ms},
    )
    head = _Head(slices, size, step_mm, pixel_mm, brain_scale)
    stack = _slices(head, slices, noise, label, is_empty=empty)
    written = write_series(directory, stack, scan, patient, label)
    brain = np.stack([head.brain(z) for z in range(slices)])
    return Truth(int(brain.sum()) * step_mm * pixel_mm**2 / 1000, brain, written)


class _Head:
    """The ellipsoids; x to the patient's left, y to the back, z to the top, in mm."""

    def __init__(
        self, slices: int, size: int, step_mm: float, pixel_mm: float, scale: float
    ) -> None:
        axis = (np.arange(size) - (size - 1) / 2) * pixel_mm / scale
        self.x, self.y = axis[np.newaxis, :], axis[:, np.newaxis]
        self.z = (np.arange(slices) - (slices - 1) / 2) * step_mm / scale

    def ellipsoid(
        self, z: int, centre: tuple[float, float, float], half: tuple[float, float, float]
    ) -> _Mask:
        """Mark one slice of an ellipsoid; (x, y, z) in mm."""
        inside: _Mask = (
            ((self.x - centre[0]) / half[0]) ** 2
            + ((self.y - centre[1]) / half[1]) ** 2
            + ((self.z[z] - centre[2]) / half[2]) ** 2
        ) <= 1
        return inside

    def brain(self, z: int) -> _Mask:
        """Mark cerebrum and cerebellum."""
        return self._cerebrum(z) | self._cerebellum(z)

    def _cerebrum(self, z: int) -> _Mask:
        return self.ellipsoid(z, (0, 0, 22), (65, 82, 60))

    def _cerebellum(self, z: int) -> _Mask:
        return self.ellipsoid(z, (0, 40, -24), (50, 34, 26))

    def image(self, z: int) -> npt.NDArray[np.float64]:
        """Draw one slice without noise."""
        ellipsoid = self.ellipsoid
        image = np.full((self.y.size, self.x.size), _AIR, dtype=np.float64)
        image[ellipsoid(z, (0, 2, 12), (80, 99, 86))] = _FAT
        image[ellipsoid(z, (0, 22, -90), (58, 62, 70))] = _MUSCLE  # the neck
        image[ellipsoid(z, (0, -40, -55), (56, 50, 45))] = _MUSCLE  # the face
        image[ellipsoid(z, (0, 2, 14), (75, 94, 79))] = _SKULL
        image[ellipsoid(z, (0, 1, 20), (67, 85, 63))] = _FLUID
        for side in (-1, 1):
            image[ellipsoid(z, (side * 32, -76, -22), (13, 13, 13))] = _FLUID  # the eyes
        image[self.brain(z)] = _GREY
        folds = 1 + 0.06 * np.sin(self.x / 4) * np.sin(self.y / 5) * np.sin(self.z[z] / 4.5)
        white = ellipsoid(z, (0, 0, 22), (56, 72, 51)) & (folds > 0.955)
        image[white] = _WHITE
        image[ellipsoid(z, (0, 40, -24), (40, 25, 18))] = _WHITE
        for side in (-1, 1):
            image[ellipsoid(z, (side * 13, 0, 28), (8, 32, 11))] = _FLUID  # the ventricles
        return image


def _slices(
    head: _Head, slices: int, noise: float, label: str, *, is_empty: bool
) -> Iterator[npt.NDArray[Any]]:
    chance = np.random.default_rng([int(digit) for digit in derive("head noise", label)[5:]])
    for z in range(slices):
        image = np.zeros((head.y.size, head.x.size)) if is_empty else head.image(z)
        # The magnitude of a signal with noise in both channels, as scanners give it.
        real, imaginary = chance.normal(0, noise, (2, *image.shape))
        yield np.hypot(image + real, imaginary)
