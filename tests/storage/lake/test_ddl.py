"""The SQL that makes a lake's tables known parses where it is meant for, and finds the rows."""

import re

import duckdb
import pytest
import sqlglot

from storage.lake.ddl import COMMON, Whereabouts, statement
from storage.lake.parts import Placed, files_of
from storage.lake.paths import UNDATED, part_name
from storage.lake.tables import TABLES

PLACES = [
    pytest.param("athena", "s3://bucket/it's/lake", id="athena"),
    pytest.param("bigquery", "gs://bucket/lake", id="bigquery"),
]


@pytest.mark.parametrize(("engine", "url"), PLACES)
@pytest.mark.parametrize("table", TABLES)
def test_a_statement_parses_in_its_dialect(engine, url, table):
    """An external table with each column, the partitions, and the place: no word is left over."""
    where = Whereabouts("x", table, f"{url}/{table}", ["2026-01-02"], ["CT", "C_20T"])
    text = statement(where, engine)
    clause = re.search(r"WITH PARTITION COLUMNS (\(.*\))\n", text)
    if clause:  # which sqlglot does not know: its columns are parsed by themselves
        assert sqlglot.parse_one(f"CREATE TABLE t {clause[1]}", read=engine).key == "create"
        text = text.replace(clause[0], "")
    (parsed,) = sqlglot.parse(text, read=engine)
    assert parsed.key == "create", "sqlglot did not understand it and took it for a command"
    text += str(clause and clause[0])
    named = {column.name for column in parsed.find_all(sqlglot.exp.ColumnDef)}
    wanted = {column.name for column in TABLES[table]}
    parts = {"date"} if table == "events" else {"date", "modality"}
    assert named in (wanted, wanted | parts)
    assert not {name.lower() for name in wanted} & parts
    assert len({name.lower() for name in wanted}) == len(wanted)
    assert all(f"`{part}`" in text for part in parts)


def test_athena_knows_the_partitions():
    """The range begins with the first day there is, and strange modalities are listed."""
    where = Whereabouts("x", "metadata", "s3://b/m", ["2026-03-04", "2026-01-02"], ["C_20T"])
    text = statement(where, "athena")
    assert "'projection.date.range' = '2026-01-02,NOW'" in text
    assert f"'{','.join(sorted({*COMMON, 'C_20T'}))}'" in text
    assert "'s3://b/m/date=${date}/modality=${modality}'" in text
    undated = statement(Whereabouts("x", "metadata", "s3://b/m", [UNDATED]), "athena")
    assert f"'{UNDATED},{UNDATED}'" in undated


def write(root, table, rows, step=(0, 9)):
    for file in files_of(table, rows):
        name = part_name("x", table, (file.date, file.modality), step, file.number)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)


def test_duckdb_reads_what_the_view_names(tmp_path):
    """Views over a folder give the rows, and date and modality from the path in their types."""
    tmp_path = tmp_path / "it's here"
    write(tmp_path, "metadata", [
        Placed("2026-01-02", "CT", {"SOPInstanceUID": "1.2"}),
        Placed("2026-01-03", "0123", {"SOPInstanceUID": "1.3"}),
    ])  # fmt: skip
    event = {"id": 1, "type": "t", "subject": "s", "happened_at": "2026-01-02T03:04:05.000000Z"}
    write(tmp_path, "events", [Placed("2026-01-02", "", {**event, "data": {"a": 1}})])
    with duckdb.connect() as db:
        for table in ("metadata", "events"):
            where = Whereabouts("x", table, f"{tmp_path}/lake/x/{table}")
            db.execute(statement(where, "duckdb"))
        rows = db.execute(
            "SELECT SOPInstanceUID, date + 1 > '2026-01-02', modality FROM penumbra_x_metadata"
            " ORDER BY 1"
        ).fetchall()
        assert rows == [("1.2", True, "CT"), ("1.3", True, "0123")]
        ((kind, year, fact),) = db.execute(
            "SELECT type, year(happened_at), data->>'a' FROM penumbra_x_events"
        ).fetchall()
        assert (kind, year, fact) == ("t", 2026, "1")


def test_new_columns_do_not_hide_old_rows(tmp_path, monkeypatch):
    """What an older release wrote, with fewer columns, is read together with what this one does."""
    whole = TABLES["metadata"]
    older = tuple(one for one in whole if one.name not in {"head_state", "PatientSex"})
    monkeypatch.setattr("storage.lake.parts.TABLES", {**TABLES, "metadata": older})
    write(tmp_path, "metadata", [Placed("2026-01-02", "CT", {"SOPInstanceUID": "1.2"})], (0, 1))
    monkeypatch.undo()
    new = {"SOPInstanceUID": "1.3", "head_state": "whole"}
    write(tmp_path, "metadata", [Placed("2026-01-02", "CT", new)], (1, 2))
    with duckdb.connect() as db:
        where = Whereabouts("x", "metadata", f"{tmp_path}/lake/x/metadata")
        db.execute(statement(where, "duckdb"))
        found = db.execute("SELECT SOPInstanceUID, head_state FROM penumbra_x_metadata ORDER BY 1")
        assert found.fetchall() == [("1.2", None), ("1.3", "whole")]
