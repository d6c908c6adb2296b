"""Find the Instances that a retrieval names, with their places in the spool."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import duckdb

from dicom.entity import Arrival, Instance, Location, Origin
from dicom.selection import Selection, Stored
from storage.index.narrowing import among, narrowed
from storage.index.schema import COLUMNS

_COLUMNS: Final = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID",
    "transfer_syntax_uid", "calling_ae", "called_ae", "association", "address",
    "received_at", "origin", "rule", "segment", "segment_offset", "length_bytes", "digest",
)  # fmt: skip


def selected(cursor: duckdb.DuckDBPyConnection, which: Selection) -> list[Stored]:
    """List the Instances of a selection, in the order in which people look at them."""
    wanted = {keyword: list(values) for keyword, values in _wanted(which).items() if values}
    assert wanted  # a retrieval names something
    if "PatientID" in wanted:
        found = _read(cursor, "study", ("StudyInstanceUID",), wanted)
        if not found:
            return []
        wanted["StudyInstanceUID"] = [uid for (uid,) in found]
    rows = _read(cursor, "instance", (*_COLUMNS, "InstanceNumber"), wanted)
    numbers = _series_numbers(cursor, rows)

    def place(row: tuple[Any, ...]) -> tuple[Any, ...]:
        study, series, number = row[0], row[1], row[-1]
        return study, *_last(numbers.get((study, series))), series, *_last(number), row[3]

    return [_stored(row[:-1]) for row in sorted(rows, key=place)]


def _wanted(which: Selection) -> dict[str, Collection[str]]:
    return {
        "PatientID": which.patient_ids,
        "StudyInstanceUID": which.study_instance_uids,
        "SeriesInstanceUID": which.series_instance_uids,
        "SOPInstanceUID": which.sop_instance_uids,
    }


def _read(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[str],
    wanted: Mapping[str, list[str]],
) -> list[tuple[Any, ...]]:
    """Read some columns where others of the table have one of the values wanted.

    One table at a time: to join them takes longer than all else.
    """
    parameters: list[object] = []

    def bind(value: object) -> str:
        parameters.append(value)
        return f"${len(parameters)}"

    known = {column.name for column in COLUMNS[table]}
    asked = {name: values for name, values in wanted.items() if name in known}
    source = narrowed(table, asked, bind, columns=", ".join({*columns, *asked}))
    where = " AND ".join(among(f"{table}.{name}", values, bind) for name, values in asked.items())
    words = f"SELECT {', '.join(columns)} FROM {source} WHERE {where}"  # noqa: S608  (our own names)
    return cursor.execute(words, parameters).fetchall()


def _series_numbers(
    cursor: duckdb.DuckDBPyConnection, rows: Sequence[tuple[Any, ...]]
) -> dict[tuple[str, str], int | None]:
    """Give the SeriesNumber of each Series that these Instances are of."""
    of_series = sorted({row[1] for row in rows})
    if not of_series:
        return {}
    columns = ("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber")
    found = _read(cursor, "series", columns, {"SeriesInstanceUID": of_series})
    return {(study, series): number for study, series, number in found}


def _last(number: int | None) -> tuple[bool, int]:
    """Put what has no number behind what has one."""
    return number is None, number or 0


def _stored(row: tuple[Any, ...]) -> Stored:
    (study, series, sop_class, sop, syntax, calling, called, association, address,
     received_at, origin, rule, segment, offset, length, digest) = row  # fmt: skip
    arrival = Arrival(
        sop_class, sop, syntax, calling, called, association, address,
        received_at.replace(tzinfo=dt.UTC).timestamp(), Origin(origin), rule,
    )  # fmt: skip
    return Stored(Instance(arrival, Location(segment, offset, length), digest), study, series)
