"""Tables that are read out of the heads of objects when somebody asks: how, and with what dose.

They lie on the index's view of heads; nothing of them is stored a second time. Dose comes from
Radiation Dose Structured Reports (PS3.16 TID 10011 and 10001), rejections from Key Object
Selections (PS3.16 CID 7011).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_DOSE_REPORTS: Final = (
    "1.2.840.10008.5.1.4.1.1.88.67",  # X-Ray Radiation Dose SR
    "1.2.840.10008.5.1.4.1.1.88.76",  # Enhanced X-Ray Radiation Dose SR
)
_KEY_OBJECTS: Final = "1.2.840.10008.5.1.4.1.1.88.59"
_REASONS: Final = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
}

_IN_HEADS: Final[Mapping[str, tuple[str, str]]] = {
    "KVP": ("00180060", "DOUBLE"),
    "SliceThickness": ("00180050", "DOUBLE"),
    "SpacingBetweenSlices": ("00180088", "DOUBLE"),
    "ConvolutionKernel": ("00181210", "VARCHAR"),
    "XRayTubeCurrent": ("00181151", "DOUBLE"),
    "ExposureTime": ("00181150", "DOUBLE"),
    "Exposure": ("00181152", "DOUBLE"),
    "ReconstructionDiameter": ("00181100", "DOUBLE"),
    "RepetitionTime": ("00180080", "DOUBLE"),
    "EchoTime": ("00180081", "DOUBLE"),
    "FlipAngle": ("00181314", "DOUBLE"),
    "MagneticFieldStrength": ("00180087", "DOUBLE"),
    "ViewPosition": ("00185101", "VARCHAR"),
    "ImageLaterality": ("00200062", "VARCHAR"),
    "BodyPartExamined": ("00180015", "VARCHAR"),
    "ProtocolName": ("00181030", "VARCHAR"),
    "StationName": ("00081010", "VARCHAR"),
    "ManufacturerModelName": ("00081090", "VARCHAR"),
    "QualityControlImage": ("00280300", "VARCHAR"),
    "CTDIvol": ("00189345", "DOUBLE"),
    "ImageAndFluoroscopyAreaDoseProduct": ("0018115E", "DOUBLE"),
    "EntranceDoseInmGy": ("00408302", "DOUBLE"),
    "SliceLocation": ("00201041", "DOUBLE"),
    "SoftwareVersions": ("00181020", "VARCHAR"),
    "DeviceSerialNumber": ("00181000", "VARCHAR"),
}
_IDENTIFYING: Final = frozenset({"DeviceSerialNumber"})


@dataclass(frozen=True, slots=True)
class HeadView:
    """One such table: where it comes from, its columns, and those without identifiers."""

    source: str
    columns: Sequence[str]
    plain: Sequence[str]


def _acquisition() -> HeadView:
    names = list(_IN_HEADS)
    paths = ", ".join(f"""'$."{_IN_HEADS[name][0]}".Value[0]'""" for name in names)
    picked = ", ".join(
        f'TRY_CAST(found[{number}] AS {_IN_HEADS[name][1]}) AS "{name}"'
        for number, name in enumerate(names, 1)
    )
    # All at once: each look into a head reads the whole of it.
    source = (
        f"(SELECT {', '.join(UIDS)}, {picked} FROM"  # noqa: S608  (our own names)
        f" (SELECT {', '.join(UIDS)}, json_extract_string(head, [{paths}]) AS found FROM head))"
    )
    plain = [name for name in names if name not in _IDENTIFYING]
    return HeadView(source, (*UIDS, *names), plain)


def _of_class(*classes: str) -> str:
    uids = ", ".join(f"'{one}'" for one in classes)
    return (
        f"head JOIN instance USING (StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID)"
        f" WHERE instance.SOPClassUID IN ({uids})"
    )


def _dose() -> HeadView:
    """Give every number of dose reports: one row per measured value."""
    concept = """'$."0040A043".Value[0]."00080100".Value[0]'"""
    meaning = """'$."0040A043".Value[0]."00080104".Value[0]'"""
    value = """'$."0040A300".Value[0]."0040A30A".Value[0]'"""
    unit = """'$."0040A300".Value[0]."004008EA".Value[0]."00080100".Value[0]'"""
    reports = f"(SELECT {', '.join(UIDS)}, head FROM {_of_class(*_DOSE_REPORTS)})"  # noqa: S608  (our own names)
    source = (
        f"(SELECT {', '.join(UIDS)}, json_extract_string(item.value, {concept}) AS code,"  # noqa: S608  (our own names)
        f" json_extract_string(item.value, {meaning}) AS quantity,"
        f" TRY_CAST(json_extract_string(item.value, {value}) AS DOUBLE) AS measured,"
        f" json_extract_string(item.value, {unit}) AS unit"
        f" FROM {reports} AS report, json_tree(report.head) AS item"
        """ WHERE item.type = 'OBJECT' AND json_exists(item.value, '$."0040A300"'))"""
    )
    plain = ("code", "quantity", "measured", "unit")
    return HeadView(source, (*UIDS, *plain), plain)


def _rejection() -> HeadView:
    """Give every object that a Key Object Selection says is rejected."""
    title = """'$."0040A043".Value[0]."00080100".Value[0]'"""
    words = " ".join(f"WHEN '{code}' THEN '{reason}'" for code, reason in _REASONS.items())
    codes = ", ".join(f"'{code}'" for code in _REASONS)
    notes = (
        f"(SELECT {', '.join(UIDS)}, head, json_extract_string(head, {title}) AS code"  # noqa: S608  (our own names)
        f" FROM {_of_class(_KEY_OBJECTS)})"
    )
    evidence = """json_extract(note.head, '$."0040A375"')"""
    source = (
        f"(SELECT {', '.join(UIDS)}, note.code, CASE note.code {words} END AS reason,"  # noqa: S608  (our own names)
        """ json_extract_string(item.value, '$.Value[0]') AS rejected_uid"""
        f" FROM {notes} AS note, json_tree({evidence}) AS item"
        f" WHERE note.code IN ({codes}) AND item.key = '00081155')"
    )
    plain = ("code", "reason")
    return HeadView(source, (*UIDS, *plain, "rejected_uid"), plain)


VIEWS: Final[Mapping[str, HeadView]] = {
    "acquisition": _acquisition(),
    "dose": _dose(),
    "rejection": _rejection(),
}
"""By the name of the table."""
HEAD_COLUMNS: Final = (*UIDS, "head")
"""Of the index's own view of heads; all of it identifies."""
