"""Structured content cleaned: which coded items of an SR tree hold a person (PS3.15 E.3.3).

The tree keeps its shape. Its names are replaced (PNAME), its text is cleaned, dates follow the
date option, UIDs are mapped; numbers, codes, coordinates and references stay. What an item's
concept name says to be the subject's identity (TID 1006 to 1010 of PS3.16) is replaced
whatever its value type, because a birth date among shifted dates would still tell the age to the
day, and a number of few digits is a harmless measure anywhere else.
"""

from typing import Final

from deid.options import DEVICE, PATIENT_CHARACTERISTICS
from deid.parse import Element

VALUES: Final = frozenset(
    {
        0x0040_A120,  # DateTime
        0x0040_A121,  # Date
        0x0040_A122,  # Time
        0x0040_A160,  # TextValue
        0x0040_A168,  # ConceptCodeSequence
        0x0040_A300,  # MeasuredValueSequence
        0x0040_A30A,  # NumericValue
        0x0040_A161,  # FloatingPointValue
        0x0040_A162,  # RationalNumeratorValue
        0x0040_A163,  # RationalDenominatorValue
    }
)
"""Attributes of a content item that hold its value, but for names and UIDs."""
CODES: Final = frozenset(
    {
        0x0008_0100,  # CodeValue
        0x0008_0102,  # CodingSchemeDesignator
        0x0008_0103,  # CodingSchemeVersion
        0x0008_0119,  # LongCodeValue
    }
)
"""Attributes that say a code: searched for identity like all text, but no free text."""
CLEANED: Final = frozenset({0x0040_A160, 0x0070_0006})
"""TextValue and UnformattedTextValue: listed for a dummy, but cleaned inside cleaned content."""

_CONCEPT_NAME: Final = 0x0040_A043
_CODE_VALUE: Final = 0x0008_0100
_NUMERIC: Final = 0x0040_A30A
_MEASURED: Final = 0x0040_A300
_AGES: Final = frozenset({"121033", "445518008", "397669002", "424144002", "29553-5"})
"""Subject Age; age, also current chronological age of SNOMED CT, and calculated age of LOINC."""
_IDENTITY: Final = frozenset(
    {
        "121009",  # Person Observer's Organization Name
        "121020",  # Placer Number
        "121021",  # Filler Number
        "121022",  # Accession Number
        "121029",  # Subject Name
        "121030",  # Subject ID
        "121031",  # Subject Birth Date
        "121036",  # Mother of fetus
        "121041",  # Specimen Identifier
        "21112-8",  # Birth Date (LOINC)
        "184099003",  # Date of Birth (SNOMED CT)
        "110190",  # Issuer of Identifier
        "111700",  # Specimen Container Identifier
        "111705",  # Parent Specimen Identifier
        "111706",  # Issuer of Parent Specimen Identifier
        "111724",  # Issuer of Specimen Identifier
        "113870",  # Person Name
        "113873",  # Organization Name
        "121040",  # Specimen Accession Number
        "121043",  # Slide Identifier
        "128774",  # Person Observer's Login Name
        "128775",  # Identifier within Person Observer's Role
    }
)
_CHARACTERISTICS: Final = _AGES | {"121032"}
"""Subject Age, Subject Sex."""
_DEVICES: Final = frozenset(
    {
        "121013",  # Device Observer Name
        "121016",  # Device Observer Serial Number
        "121017",  # Device Observer Physical Location During Observation
        "113877",  # Device Name
        "113880",  # Device Serial Number
        "121193",  # Device Subject Name
        "121196",  # Device Subject Serial Number
        "121197",  # Device Subject Physical Location during observation
    }
)
_OLDEST: Final = 89.0


def is_personal(item: tuple[Element, ...], options: tuple[str, ...]) -> bool:
    """Whether a content item's value must be replaced because of what its concept name says."""
    concept = _code(item)
    if concept in _IDENTITY:
        return True
    if concept in _DEVICES:
        return DEVICE not in options
    if concept not in _CHARACTERISTICS:
        return False
    return PATIENT_CHARACTERISTICS not in options or (concept in _AGES and _is_old(item))


def _code(item: tuple[Element, ...]) -> str:
    """Read the code value of an item's concept name; "" for none."""
    for element in item:
        if element.tag == _CONCEPT_NAME:
            for code in element.items or ():
                return _plain(code, _CODE_VALUE)
    return ""


def _plain(elements: tuple[Element, ...], tag: int) -> str:
    found = next((bytes(each.value) for each in elements if each.tag == tag), b"")
    return found.decode("ascii", "replace").strip("\0 ")


def _is_old(item: tuple[Element, ...]) -> bool:
    """Whether an age is above 89, in whatever unit; what is no number counts as such."""
    measured = next((each.items for each in item if each.tag == _MEASURED), None) or ()
    try:
        return any(float(_plain(each, _NUMERIC) or 0) > _OLDEST for each in measured)
    except ValueError:
        return True
