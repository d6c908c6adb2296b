"""What is asked, of which studies: made by number, the same at every run."""

import datetime as dt
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.uid import PYDICOM_ROOT_UID

SYLLABLES: Final = [first + last for first in "BDFGKLMNPRSTVZ" for last in ("A", "E", "O")]
GIVEN: Final = ("ADA", "BORIS", "CHEN", "DANA", "EMIL", "FATIMA", "GITA", "HUGO", "INES", "JUN")
MODALITIES: Final = ("CT", "MR", "CR", "US", "MG")
FIRST_DAY: Final = dt.date(2021, 1, 1)
DAYS: Final = 1800
KINDS: Final = ("PatientID", "name wildcard", "date range and modality", "StudyInstanceUID")


@dataclass(frozen=True, slots=True)
class Study:
    """What is asked for of one study."""

    patient_id: str
    patient_name: str
    study_date: dt.date
    modality: str
    study_instance_uid: str


@dataclass(frozen=True, slots=True)
class Question:
    """One query at the STUDY level: matching keys by keyword."""

    kind: str
    keys: dict[str, str]


RETURNED: Final = (
    "PatientID", "PatientName", "StudyDate", "StudyTime", "AccessionNumber", "StudyDescription",
    "ModalitiesInStudy", "StudyInstanceUID",
)  # fmt: skip
"""What a worklist of a viewer shows; every query asks for these."""


def study(number: int) -> Study:
    """Make the facts of one study."""
    patient = number // 2  # of one name: Orthanc keeps the first that it hears for a PatientID
    chance = random.Random(patient)
    name = "".join(chance.choice(SYLLABLES) for _ in range(3)) + f"^{chance.choice(GIVEN)}"
    chance = random.Random(number)
    return Study(
        f"P{patient:07d}",
        name,
        FIRST_DAY + dt.timedelta(days=chance.randrange(DAYS)),
        chance.choice(MODALITIES),
        f"{PYDICOM_ROOT_UID}7.1.{1_000_000_000 + number}",
    )


def questions(studies: Sequence[Study], count: int, seed: int = 1) -> list[Question]:
    """Make so many questions of each kind, about studies picked by chance; kinds in turns."""
    chance = random.Random(seed)
    return [
        Question(kind, _keys(kind, chance.choice(studies))) for _ in range(count) for kind in KINDS
    ]


def _keys(kind: str, about: Study) -> dict[str, str]:
    if kind == "PatientID":
        return {"PatientID": about.patient_id}
    if kind == "name wildcard":
        family = about.patient_name.partition("^")[0].partition("=")[0]
        return {"PatientName": f"{family[: max(4, len(family) - 2)]}*"}
    if kind == "StudyInstanceUID":
        return {"StudyInstanceUID": about.study_instance_uid}
    days = dt.timedelta(days=1)
    until = (about.study_date + days).strftime("%Y%m%d")
    between = f"{about.study_date:%Y%m%d}-{until}"
    return {"StudyDate": between, "ModalitiesInStudy": about.modality}
