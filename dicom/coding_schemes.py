"""The coding schemes that results may use, and whether a code of theirs can be one.

Registered designators are those of PS3.16 Table 8-1 that results of image analysis meet; all that
begin with "99" are private (PS3.3 8.2) and explained in the object that uses them.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from pydicom.sr.codedict import codes

from dicom import ucum

_REGISTERED: Final = (
    "DCM SCT SRT SNM3 LN UCUM ACR BARI BI C4 CD2 FMA FMA-ANNOTATED GEH HPC I10 I10P I11 I9 I9C"
    " IBSI ICDO3 ICD10CM ICD10PCS ISO3166_1 ISO639_1 ISO639_2 ITIS_TSN MA MAYOASRG MSH NCIt"
    " NDC NEU NICIP NPI NYUMCCG PUBCHEM_CID POS RADELEMENT RADLEX RFC3066 RFC5646 RXNORM SDM"
    " STANFORD UMLS UNS UPC VA NCDR NCDRCXR CARDIOPHOTO CTCAE DOI PMID UBERON"
)
REGISTERED: Final = frozenset(_REGISTERED.split())
_PRIVATE: Final = "99"
_TO_COME: Final = 5000
"""How many codes later editions may have added to those that are known here."""
_SNOMED: Final = re.compile(r"[1-9][0-9]{5,17}")
_LOINC: Final = re.compile(r"[0-9]{1,7}-[0-9]|LP[0-9]{1,7}-[0-9]")


def is_private(scheme: str) -> bool:
    """Whether a scheme is somebody's own."""
    return scheme.startswith(_PRIVATE)


def problem(value: str, scheme: str, meaning: str) -> str:
    """Say in words what is wrong with a code, without its value; "" when nothing is."""
    if not (value and scheme and meaning):
        return "has no value, no scheme or no meaning"
    if not is_private(scheme) and scheme not in REGISTERED:
        return f"is of the coding scheme {scheme[:16]!r}, which nobody knows"
    if scheme in _FORMS and not _FORMS[scheme][0](value):
        return _FORMS[scheme][1]
    return ""


def _is_of_dicom(value: str) -> bool:
    known, newest = _dicom()
    # The terminology grows with each edition of the standard, and only upwards.
    return value in known or (value.isdigit() and newest < int(value) < newest + _TO_COME)


@cache
def _dicom() -> tuple[frozenset[str], int]:
    known = frozenset(code.value for code in codes.DCM.concepts.values())
    return known, max(int(value) for value in known if value.isdigit())


_FORMS: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    "UCUM": (ucum.is_unit, "is no unit of UCUM"),
    "SCT": (_SNOMED.fullmatch, "is no concept id of SNOMED CT"),
    "LN": (_LOINC.fullmatch, "is no code of LOINC"),
    "DCM": (_is_of_dicom, "is no code of the DICOM Controlled Terminology"),
}
