"""Find the Instances that a retrieval names, with their places in the spool."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from dicom.entity import Arrival, Instance, Location, Origin
from dicom.selection import Selection, Stored
from storage.index.narrowing import narrowed

_COLUMNS: Final = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID",
    "transfer_syntax_uid", "calling_ae", "called_ae", "association", "address",
    "received_at", "origin", "rule", "segment", "segment_offset", "length_bytes", "digest",
)  # fmt: skip
_ORDER: Final = (
    "instance.StudyInstanceUID, series.SeriesNumber, instance.SeriesInstanceUID,"
    " instance.InstanceNumber, instance.SOPInstanceUID"
)


def selected(cursor: duckdb.DuckDBPyConnection, which: Selection) -> list[Stored]:
    """List the Instances of a selection, in the order in which people look at them."""
    wanted = dict(_wanted(which))
    assert wanted  # a retrieval names something
    parameters: list[object] = []

    def bind(value: object) -> str:
        parameters.append(value)
        return f"${len(parameters)}"

    where = " AND ".join(
        f"{column} IN (SELECT unnest({bind(uids)}))" for column, uids in wanted.items()
    )
    values = {column.partition(".")[2]: uids for column, uids in wanted.items()}
    instance, series = (narrowed(table, values, bind) for table in ("instance", "series"))
    source = f"{instance} JOIN {series} USING (StudyInstanceUID, SeriesInstanceUID)"
    if which.patient_ids:
        study = narrowed("study", values, bind)
        source += f" JOIN {study} ON study.StudyInstanceUID = instance.StudyInstanceUID"
    columns = ", ".join(f"instance.{name}" for name in _COLUMNS)
    words = f"SELECT {columns} FROM {source} WHERE {where} ORDER BY {_ORDER}"  # noqa: S608  (our own names)
    return [_stored(row) for row in cursor.execute(words, parameters).fetchall()]


def _wanted(which: Selection) -> Iterator[tuple[str, list[str]]]:
    columns = {
        "study.PatientID": which.patient_ids,
        "instance.StudyInstanceUID": which.study_instance_uids,
        "instance.SeriesInstanceUID": which.series_instance_uids,
        "instance.SOPInstanceUID": which.sop_instance_uids,
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
