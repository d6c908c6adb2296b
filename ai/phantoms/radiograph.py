"""Write a synthetic chest radiograph as DX, with one of five findings that is known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ai.phantom import Patient
from ai.phantoms.projection import Projection, Study
from ai.phantoms.projection import write as write_images
from ai.phantoms.series import HIGHEST, PATIENT, Written
from ai.training.synthetic import FIELD_OF_VIEW_MM, Finding, draw

STUDY: Final = Study(
    phantom="Chest radiograph phantom",
    modality="DX",
    body_part="CHEST",
    region=("816094009", "Chest"),
    description="Chest, PA",
    more={"KVP": 120, "ExposureTime": 8, "XRayTubeCurrent": 250},
)
POPULATION: Final = 9001
"""The seed of made-up patients that no training uses."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the radiograph shows."""

    finding: Finding
    place: tuple[float, float] | None
    """(row, column) of a nodule's middle in pixels, 0.5 being the middle of the first."""
    diameter_mm: float
    """Of a nodule, 0 without."""
    written: Written


def write(
    folder: Path,
    *,
    finding: str = "nodule",
    size: int = 512,
    is_monochrome1: bool = False,
    patient: Patient = PATIENT,
    label: str = "1",
) -> Truth:
    """Write one image of `size` x `size` pixels as 0001.dcm, and return its truth.

    Another `label` gives another made-up patient and other UIDs. Raises ValueError at a finding
    that is none of the five.
    """
    drawn = draw(POPULATION, sum(label.encode()), 0, Finding(finding), size)
    image = Projection(
        values=drawn.pixels * HIGHEST,
        pixel_mm=round(FIELD_OF_VIEW_MM / size, 6),
        laterality="",
        view="PA",
        view_code=("272479007", "postero-anterior"),
        orientation=("L", "F"),
        is_monochrome1=is_monochrome1,
    )
    written = write_images(folder, [image], STUDY, patient, f"{label} {finding}")
    return Truth(drawn.finding, drawn.place, drawn.diameter_mm, written)
