"""Rows of the index out of an Instance and the head of its dataset.

Nothing here raises: a value that is wrong for its representation is left out (dates, numbers)
or kept as it stands (text), and the object is found by the rest.
"""

import datetime as dt
import re
from collections.abc import Iterable
from typing import Final

from dicom import matching, moments
from dicom.attributes import Attribute, Level
from dicom.entity import Instance
from dicom.head import Texts
from storage.index.keys import hash_column, hashed
from storage.index.schema import folded, stored

Value = str | int | dt.date | dt.time | dt.datetime | None
Row = dict[str, Value]

_STORED: Final = {
    level: tuple((one, one.keyword, folded(one)) for one in stored(level)) for level in Level
}
_KEPT_EMPTY: Final = frozenset({"PatientID", "IssuerOfPatientID"})
"""Together they name a Patient, so they are "" rather than NULL where they are unknown."""


class Head:
    """One object: its Instance, and the texts of its head."""

    def __init__(self, instance: Instance, texts: Texts) -> None:
        self.instance = instance
        self._texts = texts
        self.study_instance_uid = texts.get("StudyInstanceUID", "")
        self.series_instance_uid = texts.get("SeriesInstanceUID", "")

    @property
    def sop_instance_uid(self) -> str:
        """The UID under which the object was stored."""
        return self.instance.arrival.sop_instance_uid

    def row(self, level: Level) -> Row:
        """Read the columns that come from this object for an entity of one level."""
        row: Row = {}
        for attribute, column, folded_column in _STORED[level]:
            text = self._texts.get(column, "")
            row[column] = to_column(attribute, text)
            if attribute.vr == "PN":
                row[folded_column] = folded_text(text)
        for column in _KEPT_EMPTY & row.keys():
            row[column] = row[column] or ""
        return row


def study_row(head: Head) -> Row:
    """Make the row of a Study, its counts at zero, from the first of its objects."""
    counts: Row = {
        "ModalitiesInStudy": "",
        "SOPClassesInStudy": "",
        "NumberOfStudyRelatedSeries": 0,
        "NumberOfStudyRelatedInstances": 0,
    }
    key: Row = {hash_column("StudyInstanceUID"): hashed(head.study_instance_uid)}
    return {**head.row(Level.STUDY), **head.row(Level.PATIENT), **counts, **key}


def series_row(head: Head) -> Row:
    """Make the row of a Series, its count at zero, from the first of its objects."""
    return {
        "StudyInstanceUID": head.study_instance_uid,
        **head.row(Level.SERIES),
        hash_column("StudyInstanceUID"): hashed(head.study_instance_uid),
        hash_column("SeriesInstanceUID"): hashed(head.series_instance_uid),
        "NumberOfSeriesRelatedInstances": 0,
    }


def instance_row(head: Head) -> Row:
    """Make the row of an Instance: what it says of itself, and where it came from."""
    instance = head.instance
    arrival, location = instance.arrival, instance.location
    received_at = dt.datetime.fromtimestamp(arrival.received_at, dt.UTC)
    return {
        "StudyInstanceUID": head.study_instance_uid,
        "SeriesInstanceUID": head.series_instance_uid,
        **head.row(Level.IMAGE),
        hash_column("StudyInstanceUID"): hashed(head.study_instance_uid),
        hash_column("SeriesInstanceUID"): hashed(head.series_instance_uid),
        hash_column("SOPInstanceUID"): hashed(arrival.sop_instance_uid),
        "SOPInstanceUID": arrival.sop_instance_uid,
        "SOPClassUID": arrival.sop_class_uid,
        "received_at": received_at.replace(tzinfo=None),
        "calling_ae": arrival.calling_ae,
        "called_ae": arrival.called_ae,
        "address": arrival.address,
        "association": arrival.association,
        "origin": str(arrival.origin),
        "rule": arrival.rule,
        "transfer_syntax_uid": arrival.transfer_syntax_uid,
        "digest": instance.digest,
        "segment": location.segment,
        "segment_offset": location.offset,
        "length_bytes": location.length,
    }


def folded_text(text: str) -> str | None:
    """Join every spelling under which a person name is found; None for no name."""
    spellings = [
        spelling for name in text.split("\\") for spelling in matching.name_candidates(name)
    ]
    return "\\".join(dict.fromkeys(spellings)) or None


def to_column(attribute: Attribute, text: str) -> Value:
    """Turn an attribute's text into its column's type; None where it is unknown or wrong."""
    if not text:
        return None
    if attribute.vr in matching.MOMENT_VRS:
        return matching.moment(attribute.vr, text)
    if attribute.vr in matching.INTEGER_VRS:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,12}", text) else None
    return text


def to_text(value: Value) -> str:
    """Write a column's value as DICOM text; "" for NULL."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return moments.to_dt(value)
    if isinstance(value, dt.date):
        return moments.to_da(value)
    if isinstance(value, dt.time):
        return moments.to_tm(value)
    return str(value)


def united(joined: str | None, more: Iterable[str]) -> str:
    """Add values to a text of values joined by backslashes: each once, in order of code."""
    values = {*(joined or "").split("\\"), *more} - {""}
    return "\\".join(sorted(values))
