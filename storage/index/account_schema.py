"""The index's tables of what the node did, from associations to inferences.

Fed from the ledger (storage/index/account.py). Times are UTC. docs/sql.md explains each column.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pyarrow import lib as arrow

ARROW: Final[Mapping[str, Any]] = {
    "VARCHAR": arrow.string(),
    "BIGINT": arrow.int64(),
    "DOUBLE": arrow.float64(),
    "BOOLEAN": arrow.bool_(),
    "TIMESTAMP": arrow.timestamp("us"),
}
_WHOSE: Final = (("StudyInstanceUID", "VARCHAR"), ("SeriesInstanceUID", "VARCHAR"))
_REVISION: Final = (
    ("revision", "BIGINT"),
    ("reason", "VARCHAR"),
    ("words", "VARCHAR"),
    ("expected", "BIGINT"),
    ("missing", "BIGINT"),
    ("instances", "BIGINT"),
    ("jobs", "BIGINT"),
    ("settled_at", "TIMESTAMP"),
    ("node", "VARCHAR"),
)

TABLES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "association": (
        ("id", "BIGINT"),
        ("association", "VARCHAR"),
        ("began_at", "TIMESTAMP"),
        ("ended_at", "TIMESTAMP"),
        ("seconds", "DOUBLE"),
        ("calling_ae", "VARCHAR"),
        ("called_ae", "VARCHAR"),
        ("address", "VARCHAR"),
        ("tls_name", "VARCHAR"),
        ("verdict", "VARCHAR"),
        ("cause", "VARCHAR"),
        ("outcome", "VARCHAR"),
        ("words", "VARCHAR"),
        ("accepted_contexts", "BIGINT"),
        ("refused_contexts", "BIGINT"),
        ("objects", "BIGINT"),
        ("refused_objects", "BIGINT"),
        ("statuses", "VARCHAR"),
        ("length_bytes", "BIGINT"),
        ("node", "VARCHAR"),
    ),
    "series_revision": (
        ("id", "BIGINT"),
        *_WHOSE,
        *_REVISION,
        ("first_received_at", "TIMESTAMP"),
        ("last_received_at", "TIMESTAMP"),
        ("filed_at", "TIMESTAMP"),
    ),
    "study_revision": (("id", "BIGINT"), _WHOSE[0], *_REVISION),
    "job": (
        ("id", "BIGINT"),
        ("kind", "VARCHAR"),
        *_WHOSE,
        ("revision", "BIGINT"),
        ("rule", "VARCHAR"),
        ("target", "VARCHAR"),
        ("profile", "VARCHAR"),
        ("state", "VARCHAR"),
        ("attempts", "BIGINT"),
        ("losses", "BIGINT"),
        ("priority", "BIGINT"),
        ("fault", "VARCHAR"),
        ("words", "VARCHAR"),
        ("created_at", "TIMESTAMP"),
        ("begun_at", "TIMESTAMP"),
        ("changed_at", "TIMESTAMP"),
        ("ended_at", "TIMESTAMP"),
        ("node", "VARCHAR"),
    ),
    "delivery": (
        ("id", "BIGINT"),
        ("job", "BIGINT"),
        ("destination", "VARCHAR"),
        ("rule", "VARCHAR"),
        ("profile", "VARCHAR"),
        ("source_uid", "VARCHAR"),
        ("source_digest", "VARCHAR"),
        ("SOPInstanceUID", "VARCHAR"),
        ("SeriesInstanceUID", "VARCHAR"),
        ("StudyInstanceUID", "VARCHAR"),
        ("SOPClassUID", "VARCHAR"),
        ("location", "VARCHAR"),
        ("digest_sent", "VARCHAR"),
        ("digest_read_back", "VARCHAR"),
        ("proof", "VARCHAR"),
        ("etag", "VARCHAR"),
        ("length_bytes", "BIGINT"),
        ("attempt", "BIGINT"),
        ("delivered_at", "TIMESTAMP"),
    ),
    "event": (
        ("id", "BIGINT"),
        ("type", "VARCHAR"),
        ("subject", "VARCHAR"),
        ("data", "VARCHAR"),
        ("happened_at", "TIMESTAMP"),
    ),
    "inference": (
        ("id", "BIGINT"),
        ("beside", "BIGINT"),
        ("job", "BIGINT"),
        ("model", "VARCHAR"),
        ("served_model", "VARCHAR"),
        ("version", "VARCHAR"),
        ("digest", "VARCHAR"),
        ("stage", "VARCHAR"),
        ("server", "VARCHAR"),
        ("endpoint", "VARCHAR"),
        *_WHOSE,
        ("revision", "BIGINT"),
        ("rule", "VARCHAR"),
        ("outcome", "VARCHAR"),
        ("words", "VARCHAR"),
        ("images", "BIGINT"),
        ("is_cached", "BOOLEAN"),
        ("input_digest", "VARCHAR"),
        ("scanner", "VARCHAR"),
        ("protocol", "VARCHAR"),
        ("began_at", "TIMESTAMP"),
        ("read_s", "DOUBLE"),
        ("model_s", "DOUBLE"),
        ("report_s", "DOUBLE"),
        ("outputs", "VARCHAR"),
        ("features", "VARCHAR"),
        ("results", "VARCHAR"),
        ("node", "VARCHAR"),
    ),
}
"""Columns and SQL types of each table, in order."""

POSITION: Final = "account_position"
_KEYED: Final = {"job": " PRIMARY KEY"}
"""Rows that change are found by it; the others come once, in order, and need none."""


def statements() -> list[str]:
    """List the statements that make the tables where they are not."""
    made = [
        f"CREATE TABLE IF NOT EXISTS {POSITION} (source VARCHAR PRIMARY KEY, id BIGINT NOT NULL)",
        f"CREATE TABLE IF NOT EXISTS pseudonym AS SELECT {_SALT} AS salt",
    ]
    for table, columns in TABLES.items():
        (key, kind), *rest = columns
        lines = [f"{key} {kind}{_KEYED.get(table, '')}", *(f"{name} {one}" for name, one in rest)]
        made.append(f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(lines)})")
    return made


_SALT: Final = "sha256(uuid()::VARCHAR || uuid()::VARCHAR)"
"""What the keys of `storage/index/offered.py` are made with: 244 random bits of this file's own."""


def arrow_table(table: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Make an Arrow table of rows."""
    columns = TABLES[table]
    schema = arrow.schema([(name, ARROW[kind]) for name, kind in columns])
    return arrow.table({name: [row[name] for row in rows] for name, _ in columns}, schema=schema)
