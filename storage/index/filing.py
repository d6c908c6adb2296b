"""File a batch of new objects: Instances at once, then what their Series and Studies gain.

A handful of statements per batch, however many Series it touches: one by one they are slower
than all else together.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
from pyarrow import lib as arrow

from dicom.attributes import Level
from storage.index.keys import MOST, near
from storage.index.rows import Head, Row, instance_row, series_row, study_row, united
from storage.index.schema import COLUMNS, arrow_schema

_SCHEMAS: Final = {table: arrow_schema(table) for table in COLUMNS}
_GROW_SERIES: Final = """
    UPDATE series SET NumberOfSeriesRelatedInstances =
        series.NumberOfSeriesRelatedInstances + batch.instances
    FROM batch WHERE {near} AND series.StudyInstanceUID = batch.StudyInstanceUID
        AND series.SeriesInstanceUID = batch.SeriesInstanceUID
    RETURNING series.StudyInstanceUID, series.SeriesInstanceUID"""
_KNOWN_STUDIES: Final = """
    SELECT StudyInstanceUID, ModalitiesInStudy, SOPClassesInStudy,
        NumberOfStudyRelatedSeries, NumberOfStudyRelatedInstances
    FROM study WHERE {near} AND StudyInstanceUID IN (SELECT StudyInstanceUID FROM batch)"""
_GROW_STUDIES: Final = """
    UPDATE study SET ModalitiesInStudy = batch.ModalitiesInStudy,
        SOPClassesInStudy = batch.SOPClassesInStudy,
        NumberOfStudyRelatedSeries = batch.NumberOfStudyRelatedSeries,
        NumberOfStudyRelatedInstances = batch.NumberOfStudyRelatedInstances
    FROM batch WHERE {near} AND study.StudyInstanceUID = batch.StudyInstanceUID"""


@dataclass(slots=True)
class _Gain:
    """What one batch brings to one Study: its first new object, and what is new about it."""

    first: Head
    instances: int = 0
    series: int = 0
    modalities: set[str] = field(default_factory=set)
    sop_classes: set[str] = field(default_factory=set)


def file(cursor: duckdb.DuckDBPyConnection, heads: Mapping[str, Head]) -> None:
    """Insert the objects that are not known yet and raise the counts above them.

    Runs inside the caller's transaction. `heads` maps SOP Instance UIDs to objects, in the
    order of the log; the first object of a Series or Study gives its attributes.
    """
    known = known_places(cursor, list(heads))
    new = [head for uid, head in heads.items() if uid not in known]
    if not new:
        return
    _insert(cursor, "instance", [instance_row(head) for head in new])
    gains: dict[str, _Gain] = {}
    for head in new:
        gain = gains.setdefault(head.study_instance_uid, _Gain(head))
        gain.instances += 1
        gain.sop_classes.add(head.instance.arrival.sop_class_uid)
    for row in _file_series(cursor, new):
        gain = gains[str(row["StudyInstanceUID"])]
        gain.series += 1
        gain.modalities.add(str(row["Modality"] or ""))
    _file_studies(cursor, gains)


def known_places(
    cursor: duckdb.DuckDBPyConnection, uids: Sequence[str]
) -> dict[str, tuple[str, int]]:
    """Say which objects have a row, and the place in the spool that it names."""
    found: dict[str, tuple[str, int]] = {}
    for start in range(0, len(uids), MOST):
        words = near("instance", "SOPInstanceUID", uids[start : start + MOST])
        rows = cursor.execute(
            f"SELECT SOPInstanceUID, segment, segment_offset FROM instance WHERE {words}"  # noqa: S608  (our own names and numbers)
        ).fetchall()
        found.update((uid, (segment, offset)) for uid, segment, offset in rows)
    return found


def _file_series(cursor: duckdb.DuckDBPyConnection, new: Sequence[Head]) -> list[Row]:
    """Raise the counts of known Series, insert the others, and give the rows of those."""
    members: dict[tuple[str, str], list[Head]] = {}
    for head in new:
        members.setdefault((head.study_instance_uid, head.series_instance_uid), []).append(head)
    grown = {
        "StudyInstanceUID": [study for study, _ in members],
        "SeriesInstanceUID": [series for _, series in members],
        "instances": [len(heads) for heads in members.values()],
    }
    with _batch(cursor, arrow.table(grown)):
        words = near("series", "SeriesInstanceUID", {series for _, series in members})
        known = set(cursor.execute(_GROW_SERIES.format(near=words)).fetchall())
    rows: list[Row] = [
        {**series_row(heads[0]), "NumberOfSeriesRelatedInstances": len(heads)}
        for key, heads in members.items()
        if key not in known
    ]
    _insert(cursor, "series", rows)
    return rows


def _file_studies(cursor: duckdb.DuckDBPyConnection, gains: Mapping[str, _Gain]) -> None:
    words = near("study", "StudyInstanceUID", gains)
    with _batch(cursor, arrow.table({"StudyInstanceUID": list(gains)})):
        rows = cursor.execute(_KNOWN_STUDIES.format(near=words)).fetchall()
        known = {row[0]: row[1:] for row in rows}
    unknown = {uid: gain for uid, gain in gains.items() if uid not in known}
    if known:
        grown = [_grown(uid, gains[uid], values) for uid, values in known.items()]
        with _batch(cursor, arrow.Table.from_pylist(grown)):
            cursor.execute(_GROW_STUDIES.format(near=words))
    fresh = [{**study_row(gain.first), **_grown(uid, gain)} for uid, gain in unknown.items()]
    _insert(cursor, "study", fresh)
    _insert(cursor, "patient", [gain.first.row(Level.PATIENT) for gain in unknown.values()])


def _grown(uid: str, gain: _Gain, known: Sequence[Any] = ("", "", 0, 0)) -> Row:
    modalities, classes, series, instances = known
    return {
        "StudyInstanceUID": uid,
        "ModalitiesInStudy": united(modalities, gain.modalities),
        "SOPClassesInStudy": united(classes, gain.sop_classes),
        "NumberOfStudyRelatedSeries": series + gain.series,
        "NumberOfStudyRelatedInstances": instances + gain.instances,
    }


def _insert(cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Insert rows; a Patient who is there already stays."""
    if not rows:
        return
    columns = [column.name for column in COLUMNS[table]]
    arrays = {name: [row[name] for row in rows] for name in columns}
    known = " ON CONFLICT DO NOTHING" if table == "patient" else ""
    statement = f"INSERT INTO {table} BY NAME SELECT * FROM batch{known}"  # noqa: S608  (our own names)
    with _batch(cursor, arrow.table(arrays, schema=_SCHEMAS[table])):
        cursor.execute(statement)


@contextmanager
def _batch(cursor: duckdb.DuckDBPyConnection, table: Any) -> Iterator[None]:
    """Let statements see an Arrow table under the name "batch"."""
    cursor.register("batch", table)
    try:
        yield
    finally:
        cursor.unregister("batch")
