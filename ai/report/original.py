"""What is taken over from a stored original's header, as it stands or not at all.

Scanners write values that no VR allows. What names the patient is copied as it stands; what has to
be a code or a number is taken only where it is one.
"""

import math
import re
from typing import Final

from pydicom.dataset import Dataset

from dicom.part10 import text

SAME_AS_SOURCE: Final = (
    # The modules Patient, Patient Study and General Study (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2):
    # what names the patient and the visit. Type 2 attributes stay present when empty.
    ("PatientName", 2),
    ("PatientID", 2),
    ("IssuerOfPatientID", 3),
    ("PatientBirthDate", 2),
    ("PatientSex", 2),
    ("PatientAge", 3),
    ("PatientSize", 3),
    ("PatientWeight", 3),
    ("StudyDate", 2),
    ("StudyTime", 2),
    ("AccessionNumber", 2),
    ("ReferringPhysicianName", 2),
    ("StudyID", 2),
    ("StudyDescription", 3),
    ("TimezoneOffsetFromUTC", 3),
)
_NUMBERS: Final = ("PatientSize", "PatientWeight")
_LOSSY: Final = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_BODY_PARTS: Final = {"MG": "BREAST"}
_SINGLE_PARTS: Final = (
    "ABDOMEN ABDOMENPELVIS AORTA BACK BLADDER BRAIN CEREBELLUM CHEST CHESTABDOMEN CHESTABDPELVIS "
    "CIRCLEOFWILLIS COCCYX COLON CORONARYARTERY CSPINE CTSPINE DUODENUM ESOPHAGUS FACE GALLBLADDER "
    "HEAD HEADNECK HEART ILEUM JAW JEJUNUM LARYNX LIVER LSPINE LSSPINE MAXILLA MEDIASTINUM MOUTH "
    "NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE PANCREAS PELVIS PENIS PHARYNX PROSTATE "
    "RECTUM SKULL SPINE SPLEEN SSPINE STERNUM STOMACH THYMUS THYROID TLSPINE TONGUE TRACHEA TSPINE "
    "URETHRA UTERUS VAGINA VULVA WHOLEBODY"
)
_SINGLE: Final = frozenset(_SINGLE_PARTS.split())
"""Parts of which there is one (PS3.16 Annex L)."""
_NO_CODE_STRING: Final = re.compile(r"[^A-Z0-9_ ]+")
_DIRECTIONS: Final = re.compile(r"[A-Z]{1,16}")


def copied(head: Dataset) -> dict[str, str]:
    """Take what names the patient and the visit from an original, as it stands.

    Numbers that are none cannot be written, and are left out.
    """
    values = {keyword: text(head, keyword) for keyword, _ in SAME_AS_SOURCE}
    for keyword in _NUMBERS:
        if first_number(head, keyword) is None:
            values[keyword] = ""
    return {
        keyword: values[keyword] for keyword, kind in SAME_AS_SOURCE if kind == 2 or values[keyword]
    }


def body_part(head: Dataset) -> str:
    """Give the BodyPartExamined of an original, or what its modality leaves no doubt about."""
    return code_string(head, "BodyPartExamined") or _BODY_PARTS.get(text(head, "Modality"), "")


def has_side(part: str) -> bool:
    """Whether a Series has to say a side (PS3.3 C.7.3.1): there may be two of a part unless known.

    A part that the standard does not name, such as a phantom or a word of the site's own, or none
    at all, as of a slide, leaves it open.
    """
    return part not in _SINGLE


def code_string(head: Dataset, keyword: str) -> str:
    """Give an attribute in the letters that VR CS has (PS3.5 6.2), whatever the scanner wrote."""
    return _NO_CODE_STRING.sub(" ", text(head, keyword).upper())[:16].strip()


def first_number(head: Dataset, keyword: str) -> float | None:
    """Give an attribute's first number; None where it has none."""
    try:
        value = float(text(head, keyword).split("\\")[0])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def copy_lossy(ds: Dataset, head: Dataset) -> None:
    """Say that pixels go back to ones that were compressed with a loss (PS3.3 C.7.6.1.1.5)."""
    is_lossy = text(head, "LossyImageCompression") == "01"
    ds.LossyImageCompression = "01" if is_lossy else "00"
    for keyword in _LOSSY[1:]:
        if is_lossy and text(head, keyword):
            setattr(ds, keyword, head.get(keyword))


def patient_orientation(head: Dataset) -> list[str]:
    """Give which way rows and columns lead (PS3.3 C.7.6.1.1.1); empty where nobody says."""
    directions = text(head, "PatientOrientation").split("\\")
    stated = len(directions) == 2 and all(_DIRECTIONS.fullmatch(one) for one in directions)
    return directions if stated else []
