"""The tables of the index: one row per Patient, Study, Series and Instance, in plain columns.

Columns are named by DICOM keyword; what the node adds of its own is in snake case. A Study holds
its Patient's attributes as its own first object gave them, so that Study Root needs no join.
Counts are kept, not counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pyarrow import lib as arrow

from dicom.attributes import DERIVED, Attribute, Level, of_level, sequences_of
from storage.index import account_schema, head_schema
from storage.index.keys import hash_column

VERSION: Final = 3
"""Another version in a file means: set it aside and rebuild it from the spool."""

TABLES: Final[Mapping[Level, str]] = {
    Level.PATIENT: "patient",
    Level.STUDY: "study",
    Level.SERIES: "series",
    Level.IMAGE: "instance",
}

_SQL_TYPES: Final = {"DA": "DATE", "TM": "TIME", "DT": "TIMESTAMP", "IS": "BIGINT", "US": "BIGINT"}
_ARROW_TYPES: Final[Mapping[str, Any]] = {
    "VARCHAR": arrow.string(),
    "BIGINT": arrow.int64(),
    "DATE": arrow.date32(),
    "TIME": arrow.time64("us"),
    "TIMESTAMP": arrow.timestamp("us"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its SQL type, and what stands behind the type."""

    name: str
    type: str = "VARCHAR"
    suffix: str = ""


def folded(attribute: Attribute) -> str:
    """Name the column that a person name is matched in: folded, its spellings side by side."""
    return f"{attribute.keyword}_folded"


def stored(level: Level) -> tuple[Attribute, ...]:
    """List the attributes of one level that come from an object's own head, sequences last."""
    plain = (one for one in of_level(level) if one.keyword not in DERIVED)
    return (*plain, *sequences_of(level))


def _columns(level: Level) -> list[Column]:
    columns: list[Column] = []
    for attribute in stored(level):
        columns.append(Column(attribute.keyword, _SQL_TYPES.get(attribute.vr, "VARCHAR")))
        if attribute.vr == "PN":
            columns.append(Column(folded(attribute)))
    return columns


def _keyed(columns: list[Column], *names: str, suffix: str = "NOT NULL") -> list[Column]:
    return [Column(c.name, c.type, suffix) if c.name in names else c for c in columns]


def _hash(keyword: str) -> Column:
    return Column(hash_column(keyword), "BIGINT", "NOT NULL")


_COUNT: Final = "NOT NULL DEFAULT 0"
_PATIENT: Final = _keyed(_columns(Level.PATIENT), "PatientID", "IssuerOfPatientID")
_PROVENANCE: Final = (
    Column("received_at", "TIMESTAMP"),
    Column("calling_ae"),
    Column("called_ae"),
    Column("address"),
    Column("association"),
    Column("origin"),
    Column("rule"),
    Column("transfer_syntax_uid"),
    Column("digest"),
    Column("segment"),
    Column("segment_offset", "BIGINT"),
    Column("length_bytes", "BIGINT"),
)

COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "patient": tuple(_PATIENT),
    "study": (
        *_keyed(_columns(Level.STUDY), "StudyInstanceUID"),
        _hash("StudyInstanceUID"),
        *_PATIENT,
        Column("ModalitiesInStudy"),
        Column("SOPClassesInStudy"),
        Column("NumberOfStudyRelatedSeries", "BIGINT", _COUNT),
        Column("NumberOfStudyRelatedInstances", "BIGINT", _COUNT),
    ),
    "series": (
        Column("StudyInstanceUID", suffix="NOT NULL"),
        *_keyed(_columns(Level.SERIES), "SeriesInstanceUID"),
        _hash("StudyInstanceUID"),
        _hash("SeriesInstanceUID"),
        Column("NumberOfSeriesRelatedInstances", "BIGINT", _COUNT),
    ),
    "instance": (
        Column("StudyInstanceUID", suffix="NOT NULL"),
        Column("SeriesInstanceUID", suffix="NOT NULL"),
        *_keyed(_columns(Level.IMAGE), "SOPInstanceUID"),
        _hash("StudyInstanceUID"),
        _hash("SeriesInstanceUID"),
        _hash("SOPInstanceUID"),
        *_PROVENANCE,
    ),
}

_CONSTRAINTS: Final = {"patient": "PRIMARY KEY (PatientID, IssuerOfPatientID)"}
# That a UID has one row is seen to by whoever inserts: a constraint on text takes much memory.
_INDEXES: Final = (
    ("study", "PatientID"),
    ("study", "AccessionNumber"),
    ("study", hash_column("StudyInstanceUID")),
    ("series", hash_column("StudyInstanceUID")),
    ("series", hash_column("SeriesInstanceUID")),
    ("instance", hash_column("StudyInstanceUID")),
    ("instance", hash_column("SeriesInstanceUID")),
    ("instance", hash_column("SOPInstanceUID")),
)


def indexed(table: str) -> set[str]:
    """Name the columns of a table that have an index: to change one costs as much as its row."""
    return {column for owner, column in _INDEXES if owner == table}


def _table(name: str) -> str:
    lines = [f"{c.name} {c.type} {c.suffix}".rstrip() for c in COLUMNS[name]]
    if name in _CONSTRAINTS:
        lines.append(_CONSTRAINTS[name])
    return f"CREATE TABLE {name} ({', '.join(lines)})"


def _objects_view() -> str:
    """Everything about every Instance in one row, for questions in SQL."""
    picked: dict[str, str] = {}
    for table in ("instance", "series", "study"):
        for column in COLUMNS[table]:
            if not column.name.endswith(("_folded", "_hash")):
                picked.setdefault(column.name, f"{table}.{column.name}")
    return (
        f"CREATE VIEW objects AS SELECT {', '.join(picked.values())} FROM instance"  # noqa: S608  (our own names)
        " JOIN series USING (StudyInstanceUID, SeriesInstanceUID)"
        " JOIN study USING (StudyInstanceUID)"
    )


def statements() -> list[str]:
    """List the statements that make an empty index."""
    return [
        "CREATE TABLE about (version BIGINT NOT NULL)",
        f"INSERT INTO about VALUES ({VERSION})",  # noqa: S608  (our own number)
        "CREATE TABLE position (segment VARCHAR PRIMARY KEY, position BIGINT NOT NULL)",
        *(_table(name) for name in COLUMNS),
        *(f"CREATE INDEX {table}_{column} ON {table} ({column})" for table, column in _INDEXES),
        _objects_view(),
        *head_schema.statements(),
        "CREATE TABLE renewing (began_at TIMESTAMP NOT NULL, records BIGINT NOT NULL)",
        "CREATE TABLE renewed (segment VARCHAR PRIMARY KEY, position BIGINT NOT NULL)",
        *account_schema.statements(),
    ]


def arrow_schema(table: str) -> Any:
    """Give the Arrow schema of a table, its columns in the order of the table."""
    return arrow.schema([(column.name, _ARROW_TYPES[column.type]) for column in COLUMNS[table]])
