"""Values as FHIR R4 allows them: ids, texts, codes and moments (its section 2.24)."""

import datetime as dt
import hashlib
import re
import unicodedata
from typing import Final

from dicom.modality import is_modality

DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
SCT: Final = "http://snomed.info/sct"
URI: Final = "urn:ietf:rfc:3986"
DIGEST_LENGTH: Final = 40
"""Hexadecimal digits of an id that stands for a UID which is none."""
MARK: Final = "x-"
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_OFFSET: Final = re.compile(r"([+-])(0[0-9]|1[0-4])([0-5][0-9])")
_LARGEST: Final = 2**31 - 1
_BODY: Final = {
    "ABDOMEN": "818981001",
    "ANKLE": "70258002",
    "BRAIN": "12738006",
    "BREAST": "76752008",
    "CHEST": "51185008",
    "ELBOW": "16953009",
    "FOOT": "56459004",
    "HAND": "85562004",
    "HEAD": "69536005",
    "HEART": "80891009",
    "HIP": "24136001",
    "KIDNEY": "64033007",
    "KNEE": "72696002",
    "LIVER": "10200004",
    "LUNG": "39607008",
    "NECK": "45048000",
    "PELVIS": "816092008",
    "SHOULDER": "16982005",
    "WRIST": "74670003",
}
"""Defined terms of Body Part Examined (PS3.16 Annex L) that SNOMED CT has one concept for."""
_SIDES: Final = {
    "R": ("24028007", "Right"),
    "L": ("7771000", "Left"),
    "B": ("51440002", "Right and left"),
}

Coding = dict[str, object]


def resource_id(uid: str) -> str:
    """Make the id of a resource, or a uid, of a DICOM UID: itself, where FHIR allows it.

    What is no UID, such as one with other characters or of more than 64, becomes "x-" and the
    beginning of its SHA-256.
    """
    if _ID.fullmatch(uid) and not uid.startswith(MARK):
        return uid
    digest = hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest()
    return MARK + digest[:DIGEST_LENGTH]


def text_of(value: object) -> str:
    """Give a value as a FHIR string: no control characters, white space as single blanks.

    "" where nothing is left; such an element is left out.
    """
    text = str("" if value is None else value)
    kept = (one for one in text if one.isspace() or unicodedata.category(one)[0] != "C")
    return " ".join("".join(kept).split())


def number_of(value: object) -> int | None:
    """Give a value as an unsignedInt; None for what is none."""
    return value if isinstance(value, int) and 0 <= value <= _LARGEST else None


def started(date: object, time: object, offset: object) -> str | None:
    """Write when something began as a dateTime; None where not even the day is known.

    FHIR has no time of day without an offset from UTC. DICOM may leave TimezoneOffsetFromUTC
    (0008,0201) out, and then only the day is said.
    """
    if not isinstance(date, dt.date):
        return None
    day = f"{date.year:04}-{date.month:02}-{date.day:02}"
    found = _OFFSET.fullmatch(str(offset or "").strip())
    if found is None or not isinstance(time, dt.time):
        return day
    hours = int(found[2])
    if hours == 14 and found[3] != "00":  # FHIR ends there
        return day
    return f"{day}T{time.isoformat()}{found[1]}{found[2]}:{found[3]}"


def instant(moment: dt.datetime) -> str:
    """Write a moment, UTC without saying so, as an instant."""
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def modality(text: object) -> Coding:
    """Give a Modality as a Coding; a scanner's own is of no system."""
    code = text_of(text)
    if not code:
        return {"display": "not stated"}
    return {"system": DCM, "code": code} if is_modality(code) else {"code": code}


def body_site(text: object) -> Coding | None:
    """Give Body Part Examined as a Coding, of SNOMED CT where that has a concept for it."""
    words = text_of(text)
    code = _BODY.get(words.upper())
    if code is None:
        return {"display": words} if words else None
    return {"system": SCT, "code": code, "display": words}


def laterality(text: object) -> Coding | None:
    """Give Laterality as a Coding; None for unpaired parts and for what is no term."""
    found = _SIDES.get(text_of(text).upper())
    return {"system": SCT, "code": found[0], "display": found[1]} if found else None


def oid(uid: object) -> str:
    """Write a UID as a URI; "" for none."""
    words = text_of(uid).replace(" ", "")
    return f"urn:oid:{words}" if words else ""
