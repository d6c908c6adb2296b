"""Write the SQL by which Athena, BigQuery and DuckDB find a lake's tables where they lie."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from storage.lake.paths import NO_MODALITY, OTHER, UNDATED
from storage.lake.tables import TABLES, Column

Engine = Literal["athena", "bigquery", "duckdb"]

_ATHENA: Final[Mapping[str, str]] = {
    "text": "string",
    "whole": "bigint",
    "fraction": "double",
    "day": "date",
    "moment": "timestamp",
    "flag": "boolean",
}
_BIGQUERY: Final[Mapping[str, str]] = {
    "text": "STRING",
    "whole": "INT64",
    "fraction": "FLOAT64",
    "day": "DATE",
    "moment": "DATETIME",
    "flag": "BOOL",
}
_DUCKDB_EVENTS: Final = (
    "{id: 'BIGINT', type: 'VARCHAR', subject: 'VARCHAR', happened_at: 'TIMESTAMP', data: 'JSON'}"
)
_USUAL: Final = "CR CT DX KO MG MR NM OT PR PT RF RTDOSE RTPLAN RTSTRUCT SC SEG SR US XA"
COMMON: Final = frozenset(_USUAL.split()) | {NO_MODALITY, OTHER}
"""Modalities that a table knows beside those that are in the lake."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A table of a lake, and what lies in it."""

    lake: str
    table: str
    url: str
    """Of the table's folder, without a slash at the end."""
    dates: Collection[str] = ()
    """The partitions there are."""
    modalities: Collection[str] = ()

    @property
    def name(self) -> str:
        """The table's name in SQL."""
        return f"penumbra_{self.lake}_{self.table}"


def statement(what: Whereabouts, engine: Engine) -> str:
    """Write the statement that makes a table, or a view, of a lake's table."""
    return {"athena": _athena, "bigquery": _bigquery, "duckdb": _duckdb}[engine](what)


def _is_events(what: Whereabouts) -> bool:
    return what.table == "events"


def _text(value: str) -> str:
    """Write a text as Hive and BigQuery read one."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _athena(what: Whereabouts) -> str:
    """Make a table whose partitions Athena works out from the path by itself."""
    columns = [
        f"  `{one.name}` {_ATHENA[one.type]}"
        + (f" COMMENT {_text(one.words)}" if one.words else "")
        for one in TABLES[what.table]
    ]
    parts = ["`date` string"] if _is_events(what) else ["`date` string", "`modality` string"]
    serde = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
    properties = {
        "projection.enabled": "true",
        "projection.date.type": "date",
        "projection.date.format": "yyyy-MM-dd",
        "projection.date.range": _range(what.dates),
    }
    template = f"{what.url}/date=${{date}}"
    if not _is_events(what):
        properties["projection.modality.type"] = "enum"
        properties["projection.modality.values"] = ",".join(sorted({*COMMON, *what.modalities}))
        template += "/modality=${modality}"
    properties["storage.location.template"] = template
    listed = [f"  {_text(key)} = {_text(value)}" for key, value in properties.items()]
    return "\n".join([
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{what.name}` (",
        ",\n".join(columns),
        ")",
        f"PARTITIONED BY ({', '.join(parts)})",
        serde if _is_events(what) else "STORED AS PARQUET",
        f"LOCATION {_text(what.url + '/')}",
        "TBLPROPERTIES (",
        ",\n".join(listed),
        ");",
    ])  # fmt: skip


def _range(dates: Collection[str]) -> str:
    """Say which days there can be: from the first that is there until today."""
    first = min(dates, default="2020-01-01")
    return f"{UNDATED},{UNDATED}" if set(dates) == {UNDATED} else f"{first},NOW"


def _bigquery(what: Whereabouts) -> str:
    columns = [f"  `{one.name}` {_bigquery_type(what, one)}" for one in TABLES[what.table]]
    parts = ["`date` DATE"] if _is_events(what) else ["`date` DATE", "`modality` STRING"]
    form = "NEWLINE_DELIMITED_JSON" if _is_events(what) else "PARQUET"
    packed = ["  compression = 'GZIP'"] if _is_events(what) else []
    options = [
        f"  format = '{form}'",
        *packed,
        f"  hive_partition_uri_prefix = {_text(what.url)}",
        f"  uris = [{_text(what.url + '/*')}]",
    ]
    return "\n".join([
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `penumbra.{what.lake}_{what.table}` (",
        ",\n".join(columns),
        ")",
        f"WITH PARTITION COLUMNS ({', '.join(parts)})",
        "OPTIONS (",
        ",\n".join(options),
        ");",
    ])  # fmt: skip


def _bigquery_type(what: Whereabouts, column: Column) -> str:
    return "JSON" if _is_events(what) and column.name == "data" else _BIGQUERY[column.type]


def _duckdb(what: Whereabouts) -> str:
    types = "{'date': DATE}" if _is_events(what) else "{'date': DATE, 'modality': VARCHAR}"
    form = "json.gz" if _is_events(what) else "parquet"
    files = "'" + f"{what.url}/**/*.{form}".replace("'", "''") + "'"
    reader: Sequence[str] = ("read_parquet", "union_by_name = true")
    if _is_events(what):
        reader = ("read_json", f"format = 'newline_delimited', columns = {_DUCKDB_EVENTS}")
    return (
        f"CREATE OR REPLACE VIEW {what.name} AS\nSELECT * FROM {reader[0]}({files},"
        f"\n  hive_partitioning = true, hive_types = {types}, {reader[1]});"
    )
