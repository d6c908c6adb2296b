"""Find the Instances that a retrieval names, with their places in the spool."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from dicom.entity import Arrival, Instance, Location, Origin
from dicom.selection import Selection, Stored

_COLUMNS: Final = (
    "i.StudyInstanceUID", "i.SeriesInstanceUID", "i.SOPClassUID", "i.SOPInstanceUID",
    "i.transfer_syntax_uid", "i.calling_ae", "i.called_ae", "i.association", "i.address",
    "i.received_at", "i.origin", "i.rule", "i.segment", "i.segment_offset", "i.length_bytes",
    "i.digest",
)  # fmt: skip
_ORDER: Final = (
    "i.StudyInstanceUID, series.SeriesNumber, i.SeriesInstanceUID, i.InstanceNumber,"
    " i.SOPInstanceUID"
)


def selected(cursor: duckdb.DuckDBPyConnection, which: Selection) -> list[Stored]:
    """List the Instances of a selection, in the order in which people look at them."""
    wanted = dict(_wanted(which))
    assert wanted  # a retrieval names something
    numbered = enumerate(wanted, 1)
    where = " AND ".join(f"{column} IN (SELECT unnest(${number}))" for number, column in numbered)
    source = "instance AS i JOIN series USING (StudyInstanceUID, SeriesInstanceUID)"
    if which.patient_ids:
        source += " JOIN study ON study.StudyInstanceUID = i.StudyInstanceUID"
    words = f"SELECT {', '.join(_COLUMNS)} FROM {source} WHERE {where} ORDER BY {_ORDER}"  # noqa: S608  (our own names)
    return [_stored(row) for row in cursor.execute(words, list(wanted.values())).fetchall()]


def _wanted(which: Selection) -> Iterator[tuple[str, list[str]]]:
    columns = {
        "study.PatientID": which.patient_ids,
        "i.StudyInstanceUID": which.study_instance_uids,
        "i.SeriesInstanceUID": which.series_instance_uids,
        "i.SOPInstanceUID": which.sop_instance_uids,
    }
    return ((column, list(values)) for column, values in columns.items() if values)


def _stored(row: tuple[Any, ...]) -> Stored:
    (study, series, sop_class, sop, syntax, calling, called, association, address,
     received_at, origin, rule, segment, offset, length, digest) = row  # fmt: skip
    arrival = Arrival(
        sop_class, sop, syntax, calling, called, association, address,
        received_at.replace(tzinfo=dt.UTC).timestamp(), Origin(origin), rule,
    )  # fmt: skip
    return Stored(Instance(arrival, Location(segment, offset, length), digest), study, series)
