"""Draw chest radiographs of five kinds whose truth is known: no person was ever imaged.

A patient is an anatomy; an image is that anatomy with one finding, an exposure and noise. The
drawing is a cartoon: what is learnt from it says nothing about people. Same seeds, same pixels.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
_Field = npt.NDArray[Any]

FIELD_OF_VIEW_MM: Final = 350.0
HALF_MM: Final = FIELD_OF_VIEW_MM / 2
"""What 1 is in the drawing's coordinates: u to the image's right, v downwards, -1 to 1."""
SIZE: Final = 128
_TISSUE, _LUNG, _AIR = 0.72, 0.30, 0.14


class Finding(StrEnum):
    """The five classes, in the order of the model's columns."""

    NORMAL = "normal"
    NODULE = "nodule"
    EFFUSION = "effusion"
    PNEUMOTHORAX = "pneumothorax"
    CARDIOMEGALY = "cardiomegaly"


FINDINGS: Final = tuple(Finding)


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What stays the same in every image of one patient; lengths in half fields of view."""

    lung_half_width: float
    lung_half_height: float
    lung_centre: float
    """How far each lung's middle lies from the midline."""
    diaphragm: float
    """Height of the domes."""
    heart_ratio: float
    """Width of the heart over that of the thorax; from 0.5 on it is called enlarged."""
    rib_phase: float
    rib_strength: float
    tissue: float


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One image and its truth."""

    pixels: Image
    """(y, x), 0 to 1, bright where much is absorbed (MONOCHROME2)."""
    finding: Finding
    patient: int
    place: tuple[float, float] | None = None
    """(row, column) of a nodule's middle, 0.5 being the middle of the first pixel."""
    diameter_mm: float = 0.0
    """Of a nodule."""


def anatomy(chance: np.random.Generator) -> Anatomy:
    """Draw a patient by lot."""
    return Anatomy(
        lung_half_width=chance.uniform(0.28, 0.36),
        lung_half_height=chance.uniform(0.62, 0.76),
        lung_centre=chance.uniform(0.38, 0.44),
        diaphragm=chance.uniform(0.50, 0.64),
        heart_ratio=chance.uniform(0.36, 0.46),
        rib_phase=chance.uniform(0, 1),
        rib_strength=chance.uniform(0.02, 0.07),
        tissue=chance.uniform(-0.05, 0.05),
    )


def patient(seed: int, number: int) -> Anatomy:
    """Give the anatomy of a numbered patient of a seeded population."""
    return anatomy(np.random.default_rng([seed, number]))


def draw(seed: int, number: int, take: int, finding: Finding, size: int = SIZE) -> Radiograph:
    """Draw one image, `size` pixels square, of a numbered patient: `take` numbers his images."""
    chance = np.random.default_rng([seed, number, 1 + take])
    body = patient(seed, number)
    scene = _Scene(body, chance, size)
    values = scene.chest(_heart_ratio(body, finding, chance))
    place, diameter_mm = None, 0.0
    if finding is Finding.NODULE:
        values, place, diameter_mm = scene.nodule(values)
    elif finding is Finding.EFFUSION:
        values = scene.effusion(values)
    elif finding is Finding.PNEUMOTHORAX:
        values = scene.pneumothorax(values)
    pixels = scene.exposed(values).astype(np.float32)
    return Radiograph(pixels, finding, number, place, diameter_mm)


def _heart_ratio(body: Anatomy, finding: Finding, chance: np.random.Generator) -> float:
    if finding is Finding.CARDIOMEGALY:
        return float(chance.uniform(0.56, 0.70))
    return body.heart_ratio


class _Scene:
    """The canvas of one image: coordinates, chance, and what is where."""

    def __init__(self, body: Anatomy, chance: np.random.Generator, size: int) -> None:
        self.body, self.chance, self.size = body, chance, size
        scale, tilt = chance.uniform(0.94, 1.06), chance.uniform(-0.05, 0.05)
        self.shift = chance.uniform(-0.05, 0.05, 2)
        self.turn = scale * np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        axis = (np.arange(size) + 0.5) / size * 2 - 1
        x, y = np.meshgrid(axis - self.shift[1], axis - self.shift[0])
        self.u = self.turn[0, 0] * x + self.turn[0, 1] * y
        self.v = self.turn[1, 0] * x + self.turn[1, 1] * y
        self.lungs = {side: self._lung(side) for side in (-1, 1)}
        self.texture = self._noise(2.5) * 0.028 + self._noise(6) * 0.02

    def chest(self, heart_ratio: float) -> _Field:
        """Draw body, lungs, ribs, clavicles, spine and heart."""
        body, u, v = self.body, self.u, self.v
        values = (_TISSUE + body.tissue) * _inside(1 - (np.abs(u) / 0.93) ** 4 - (v / 1.6) ** 6, 9)
        lungs = self.lungs[-1] + self.lungs[1]
        values = values * (1 - lungs) + lungs * (_LUNG + self.texture)
        arcs = np.cos(2 * np.pi * (6.5 * (v - 0.35 * np.abs(u) ** 1.4) + body.rib_phase))
        thorax = _inside(1 - (u / 0.82) ** 2 - (v / 0.95) ** 2, 8)
        values += body.rib_strength * np.clip(arcs, -0.2, 1) * thorax
        values += 0.07 * _inside(1 - ((v + 0.78 + 0.16 * np.abs(u)) / 0.035) ** 2, 3) * thorax
        values += 0.06 * _inside(1 - (u / 0.07) ** 2, 3)
        return self._over(values, self._heart(heart_ratio), 0.70)

    def nodule(self, values: _Field) -> tuple[_Field, tuple[float, float], float]:
        """Add a round shadow of 14 to 34 mm that lies wholly over a lung."""
        diameter_mm = float(self.chance.uniform(14, 34))
        radius = diameter_mm / 2 / HALF_MM
        free = np.maximum(*self.lungs.values()) > 0.95
        free &= (self._heart(self.body.heart_ratio) < 0.05) & (values < _LUNG + 0.2)
        rows, columns = np.nonzero(free)
        at = self.chance.integers(rows.size)
        row, column = rows[at], columns[at]
        away = np.hypot(self.u - self.u[row, column], self.v - self.v[row, column])
        strength = self.chance.uniform(0.18, 0.36)
        shadow = _inside(1 - away / radius, 9) * np.sqrt(np.clip(1.2 - (away / radius) ** 2, 0, 1))
        return values + strength * shadow, (float(row) + 0.5, float(column) + 0.5), diameter_mm

    def effusion(self, values: _Field) -> _Field:
        """Fill the lower part of one lung, or of both, with fluid that climbs the chest wall."""
        both = self.chance.random() < 0.25
        for side in (-1, 1) if both else (int(self.chance.choice((-1, 1))),):
            level = self.body.diaphragm - self.chance.uniform(0.18, 0.5)
            climb = self.chance.uniform(0.3, 0.7) * np.clip(np.abs(self.u) - 0.35, 0, 1)
            fluid = _inside(self.v - level + climb, 30) * (self.u * side > 0)
            space = _inside(1.25 - self._reach(side), 12)
            values = self._over(values, fluid * space, 0.71)
        return values

    def pneumothorax(self, values: _Field) -> _Field:
        """Draw one lung away from the chest wall: air without vessels, and the pleura's line."""
        side = int(self.chance.choice((-1, 1)))
        reach = self._reach(side, fallen=float(self.chance.uniform(0.09, 0.26)))
        lung, outside = self.lungs[side], _inside(reach - 1, 25)
        line = lung * np.exp(-(((np.sqrt(np.abs(reach)) - 1) / 0.03) ** 2))
        darker = values - lung * outside * (values - _AIR - 0.25 * (values - _LUNG))
        denser = self.chance.uniform(0.02, 0.08) * lung * (1 - outside)
        return np.asarray(darker + 0.10 * line + denser)

    def exposed(self, values: _Field) -> _Field:
        """Make what a detector would show: gain, gamma, noise."""
        chance = self.chance
        noise = chance.normal(0, chance.uniform(0.003, 0.022), values.shape)
        bent = np.clip(values + noise, 0.001, 1.2) ** chance.uniform(0.85, 1.2)
        return np.clip(bent * chance.uniform(0.75, 0.95) + chance.uniform(0, 0.05), 0, 1)

    def _lung(self, side: int) -> _Field:
        """How much of each pixel is lung."""
        whole = _inside(1 - self._reach(side), 12) * _inside(self.u * side - 0.10, 40)
        dome = self.body.diaphragm + 0.9 * (self.u * side - self.body.lung_centre) ** 2
        return np.asarray(whole * _inside(dome - 0.02 * side - self.v, 45))

    def _reach(self, side: int, fallen: float = 0.0) -> _Field:
        """0 in the middle of a lung, 1 at its border, squared; `fallen` by so much from the wall.

        A fallen lung keeps its place at the midline and at the diaphragm.
        """
        width, height = self.body.lung_half_width, self.body.lung_half_height
        across = self.u * side - self.body.lung_centre + fallen * width
        along = (self.v + 0.08 - 0.6 * fallen * height) / (height * (1 - 0.6 * fallen))
        return np.asarray((across / (width * (1 - fallen))) ** 2 + np.sign(along) * along**3)

    def _heart(self, ratio: float) -> _Field:
        thorax = 2 * (self.body.lung_centre + self.body.lung_half_width)
        half = ratio * thorax / 2
        across = (self.u - 0.36 * half) / half
        along = (self.v - self.body.diaphragm + 0.55 * half + 0.08) / (0.85 * half + 0.06)
        heart = _inside(1 - across**2 - along**2 - 0.3 * across * along, 10)
        great_vessels = _inside(1 - (self.u / 0.16) ** 2, 6) * _inside(0.3 - self.v, 12)
        return np.asarray(np.maximum(heart, great_vessels))

    @staticmethod
    def _over(values: _Field, cover: _Field, value: float) -> _Field:
        """Lay something opaque over what is darker than it."""
        return np.asarray(values + cover * np.maximum(value - values, 0))

    def _noise(self, smooth_mm: float) -> _Field:
        """Noise of mean 0 and deviation 1 that is smooth over so many mm."""
        spectrum = np.fft.rfft2(self.chance.normal(size=(self.size, self.size)))
        frequency = np.hypot(
            np.fft.fftfreq(self.size)[:, np.newaxis], np.fft.rfftfreq(self.size)[np.newaxis]
        )
        sigma = smooth_mm * self.size / FIELD_OF_VIEW_MM
        smooth = np.fft.irfft2(
            spectrum * np.exp(-2 * (np.pi * sigma * frequency) ** 2), (self.size, self.size)
        )
        return np.asarray((smooth - smooth.mean()) / smooth.std())


def _inside(distance: _Field, sharpness: float) -> _Field:
    """0 outside, 1 inside, and soft where `distance` is 0."""
    return np.asarray(1 / (1 + np.exp(-np.clip(distance * sharpness, -40, 40))))
