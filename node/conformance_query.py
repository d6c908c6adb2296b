"""Tables of the conformance statement: what C-FIND can be asked, and how keys match; pure."""

from dataclasses import fields
from typing import Final

from dicom.attributes import CATALOGUE, DERIVED, SEQUENCES, UNIQUE_KEYS, Attribute
from dicom.matching import INTEGER_VRS, MOMENT_VRS, WILDCARD_VRS
from dicom.options import Options
from dicom.query import Root
from node.conformance_markdown import table
from node.conformance_services import name_of
from node.services.find import MODELS

REQUIRED: Final = frozenset(
    {
        "PatientName",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "StudyID",
        "Modality",
        "SeriesNumber",
        "InstanceNumber",
    }
)
"""What PS3.4 C.6.1.1 and C.6.2.1 require beside the unique keys; in Study Root, PatientID too."""


def models() -> str:
    """Write the information models with their levels."""
    rows = [(name_of(uid), uid, ", ".join(root.levels)) for uid, root in MODELS.items()]
    return table(("Information model", "UID", "Levels"), rows)


def keys() -> str:
    """Write every key: its level, its type in the standard, and how it is matched."""
    rows = [
        (str(each.level), each.keyword, f"({each.tag >> 16:04X},{each.tag & 0xFFFF:04X})",
         each.vr, _kind(each), _matching(each))
        for each in CATALOGUE.values()
    ]  # fmt: skip
    return table(("Level", "Attribute", "Tag", "VR", "Type", "Matching"), rows)


def sequences() -> str:
    """Write every sequence that can be a key: its level."""
    rows = [
        (str(each.level), each.keyword, f"({each.tag >> 16:04X},{each.tag & 0xFFFF:04X})")
        for each in SEQUENCES.values()
    ]
    return table(("Level", "Sequence", "Tag"), rows)


def negotiation() -> str:
    """Write what may be negotiated beyond the baseline, byte by byte."""
    meanings = (
        ("relational", "Relational queries: no unique key of an upper level is needed"),
        ("combined", "Ranges of a date and of its time are one range"),
        ("fuzzy", "Fuzzy semantic matching of person names"),
        ("zone", "Timezone query adjustment, together with the range of date and time"),
    )
    assert [name for name, _ in meanings] == [each.name for each in fields(Options)]
    rows = [(str(number), words, "1") for number, (_, words) in enumerate(meanings, 1)]
    rows += [
        ("5", "Conversion between enhanced and other objects", "0"),
        ("6", "Empty value matching, which is there unasked too", "1"),
        ("7 and on", "Anything else, such as multiple value matching", "0"),
    ]
    return table(("Byte", "Meaning", "Granted to whoever asks"), rows)


def levels() -> str:
    """Write which unique keys of upper levels a query must give one value each."""
    rows = [
        (
            name_of(uid),
            str(level),
            ", ".join(UNIQUE_KEYS[each] for each in root.levels if each.depth < level.depth)
            or "none",
        )
        for uid, root in MODELS.items()
        for level in root.levels
    ]
    return table(("Information model", "QueryRetrieveLevel", "Single values needed in"), rows)


def _kind(attribute: Attribute) -> str:
    """Say U, R or O, as PS3.4 C.6 does for its level."""
    if attribute.keyword == UNIQUE_KEYS[attribute.level]:
        in_study_root = attribute.level in Root.STUDY.levels
        return "U" if in_study_root else "U; R in Study Root"
    return "R" if attribute.keyword in REQUIRED else "O"


def _matching(attribute: Attribute) -> str:
    if attribute.keyword == "TimezoneOffsetFromUTC":
        return "none, only returned"
    if attribute.vr in MOMENT_VRS:
        return "single value, range"
    kinds = ["single value"]
    if attribute.vr == "UI":
        kinds.append("list of UIDs")
    if attribute.vr in WILDCARD_VRS:
        kinds.append("wildcard")
    if attribute.vr == "PN":
        kinds.append("by component group, without regard to case and accents")
    if attribute.vr in INTEGER_VRS:
        kinds.append("by number")
    if attribute.keyword in DERIVED:
        kinds.append("counted from what the node holds")
    return ", ".join(kinds)
