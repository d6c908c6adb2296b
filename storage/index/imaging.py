"""Studies as others read them whole: a Study with its Series, and their Instances where wanted."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import duckdb

from storage.index.schema import COLUMNS

Value = str | int | dt.date | dt.time | dt.datetime | None
Row = Mapping[str, Value]

_WANTED: Final[Mapping[str, tuple[str, ...]]] = {
    "study": (
        "StudyInstanceUID", "StudyDate", "StudyTime", "TimezoneOffsetFromUTC", "AccessionNumber",
        "StudyDescription", "PatientID", "IssuerOfPatientID", "PatientName", "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
    ),
    "series": (
        "SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "SeriesDate",
        "SeriesTime", "BodyPartExamined", "Laterality", "NumberOfSeriesRelatedInstances",
    ),
    "instance": ("SOPInstanceUID", "SOPClassUID", "InstanceNumber", "ContentLabel"),
}  # fmt: skip


_UIDS: Final = "StudyInstanceUID SeriesInstanceUID"


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A Series by keyword, and its Instances where they were asked for."""

    series: Row
    instances: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A Study by keyword, its Series, and when the newest of its Instances came (UTC)."""

    study: Row
    series: tuple[SeriesRecord, ...]
    newest_at: dt.datetime | None


@dataclass(slots=True)
class StudyFilter:
    """What Studies must be; each condition is of this file's making, values travel beside it."""

    conditions: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)

    def bind(self, value: object) -> str:
        """Add a value and give its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}"

    def of_uids(self, uids: Sequence[str], digests: Sequence[str], length: int) -> None:
        """Ask for one of several Study Instance UIDs, or beginnings of their SHA-256 (hex)."""
        part = f"study.StudyInstanceUID IN (SELECT unnest({self.bind(list(uids))}))"
        if digests:  # each UID has to be hashed, so this is for those that are no UIDs
            bound = self.bind(list(digests))
            hashed = f"left(sha256(study.StudyInstanceUID), {length:d})"
            part = f"({part} OR {hashed} IN (SELECT unnest({bound})))"
        self.conditions.append(part)

    def of_identifiers(self, uids: Sequence[str], accessions: Sequence[str]) -> None:
        """Ask for one of several Study Instance UIDs or accession numbers."""
        first, second = self.bind(list(uids)), self.bind(list(accessions))
        self.conditions.append(
            f"(study.StudyInstanceUID IN (SELECT unnest({first}))"
            f" OR study.AccessionNumber IN (SELECT unnest({second})))"
        )

    def of_patients(self, patients: Sequence[tuple[str, str | None]]) -> None:
        """Ask for one of several patients: identifier and issuer, None for any issuer."""
        parts = []
        for identifier, issuer in patients:
            part = f"study.PatientID = {self.bind(identifier)}"
            if issuer is not None:
                part += f" AND study.IssuerOfPatientID = {self.bind(issuer)}"
            parts.append(f"({part})")
        self.conditions.append(f"({' OR '.join(parts) or 'false'})")

    def of_members(
        self, table: Literal["series", "instance"], column: str, uids: Sequence[str]
    ) -> None:
        """Ask for Studies that have one of several Series, or Instances."""
        words = f"SELECT StudyInstanceUID FROM {table} WHERE {column} IN"  # noqa: S608  (our own words)
        bound = self.bind(list(uids))
        self.conditions.append(f"study.StudyInstanceUID IN ({words} (SELECT unnest({bound})))")

    def of_modalities(self, modalities: Sequence[str]) -> None:
        """Ask for one of several modalities in the Study."""
        bound = self.bind(list(modalities))
        self.conditions.append(
            f"list_has_any(string_split(study.ModalitiesInStudy, '\\'), {bound})"
        )

    def of_days(self, first: dt.date | None, last: dt.date | None, *, within: bool = True) -> None:
        """Ask for a Study Date between two days, both with them; or for none within them."""
        parts = []
        if first is not None:
            parts.append(f"study.StudyDate >= {self.bind(first)}")
        if last is not None:
            parts.append(f"study.StudyDate <= {self.bind(last)}")
        whole = " AND ".join(parts) or "study.StudyDate IS NOT NULL"
        self.conditions.append(f"({whole})" if within else f"NOT ({whole})")

    def of_arrival(self, first: dt.datetime | None, before: dt.datetime | None) -> None:
        """Ask for a newest Instance that came from one moment on, and before another (UTC)."""
        since = "(SELECT StudyInstanceUID FROM instance WHERE received_at >= {})"
        if first is not None:
            self.conditions.append(f"study.StudyInstanceUID IN {since.format(self.bind(first))}")
        if before is not None:
            later = since.format(self.bind(before))
            self.conditions.append(f"study.StudyInstanceUID NOT IN {later}")

    def of_nothing(self) -> None:
        """Ask for what no Study is."""
        self.conditions.append("false")

    def where(self, *more: str) -> str:
        """Write the condition of all that is asked for."""
        every = [*self.conditions, *more]
        return f" WHERE {' AND '.join(every)}" if every else ""


def count(cursor: duckdb.DuckDBPyConnection, wanted: StudyFilter) -> int:
    """Count the Studies that fit."""
    words = f"SELECT count(*) FROM study{wanted.where()}"  # noqa: S608  (our own words)
    return int(cursor.execute(words, wanted.values).fetchall()[0][0])


def page(
    cursor: duckdb.DuckDBPyConnection, wanted: StudyFilter, after: str, limit: int
) -> list[StudyRecord]:
    """List Studies that fit, by UID, behind one; with their Series, without their Instances."""
    mine = StudyFilter(list(wanted.conditions), list(wanted.values))
    behind = f"study.StudyInstanceUID > {mine.bind(after)}"
    rows = _rows(
        cursor, "study", f"{mine.where(behind)} ORDER BY StudyInstanceUID LIMIT {limit:d}",
        mine.values,
    )  # fmt: skip
    return _records(cursor, rows, whole=False)


def whole(cursor: duckdb.DuckDBPyConnection, study_instance_uid: str) -> StudyRecord | None:
    """Give a Study with its Series and Instances; None where there is none."""
    rows = _rows(cursor, "study", " WHERE StudyInstanceUID = $1", [study_instance_uid])
    return _records(cursor, rows, whole=True)[0] if rows else None


def _records(
    cursor: duckdb.DuckDBPyConnection, studies: Sequence[Row], *, whole: bool
) -> list[StudyRecord]:
    """Add to Studies what belongs to them, by few questions for all of them."""
    uids = [row["StudyInstanceUID"] for row in studies]
    order = (
        " WHERE StudyInstanceUID IN (SELECT unnest($1)) ORDER BY SeriesNumber, SeriesInstanceUID"
    )
    series = _rows(cursor, "series", order, [uids], more="StudyInstanceUID")
    # By Series: that is the column of this table that has an index.
    within = " WHERE SeriesInstanceUID IN (SELECT unnest($1))"
    keys = [row["SeriesInstanceUID"] for row in series]
    words = f"SELECT StudyInstanceUID, max(received_at) FROM instance{within} GROUP BY ALL"  # noqa: S608  (our own words)
    newest = dict(cursor.execute(words, [keys]).fetchall())
    held: dict[tuple[Value, Value], list[Row]] = {}
    if whole:
        rest = f"{within} ORDER BY InstanceNumber, SOPInstanceUID"
        for row in _rows(cursor, "instance", rest, [keys], more=_UIDS):
            held.setdefault((row["StudyInstanceUID"], row["SeriesInstanceUID"]), []).append(row)
    of_study: dict[Value, list[SeriesRecord]] = {}
    for row in series:
        study = row["StudyInstanceUID"]
        instances = tuple(held.get((study, row["SeriesInstanceUID"]), ()))
        of_study.setdefault(study, []).append(SeriesRecord(row, instances))
    return [
        StudyRecord(row, tuple(of_study.get(uid, ())), newest.get(uid))
        for uid, row in zip(uids, studies, strict=True)
    ]


def _rows(
    cursor: duckdb.DuckDBPyConnection, table: str, rest: str, values: Sequence[Any], more: str = ""
) -> list[Row]:
    """Read rows of a table; `more` names columns beside those that are always wanted."""
    there = {column.name for column in COLUMNS[table]}
    names = [name for name in (*_WANTED[table], *more.split()) if name in there]
    words = f"SELECT {', '.join(names)} FROM {table}{rest}"  # noqa: S608  (our own words)
    found = cursor.execute(words, list(values)).fetchall()
    return [dict(zip(names, row, strict=True)) for row in found]
