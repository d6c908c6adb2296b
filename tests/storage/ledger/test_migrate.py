"""Opening a ledger that another release made."""

import multiprocessing
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect

from dicom.entity import SeriesKey
from dicom.errors import Corrupt
from routing.job import Kind, NewJob, State
from storage.ledger import jobs, schema
from storage.ledger.database import FILE_NAME, Database, Server
from storage.ledger.ledger import Ledger

VERSION_1 = Path(__file__).parent / "version_1.sql"
KEY = SeriesKey("1.2", "1.2.3")


@pytest.fixture
def old(tmp_path):
    """A data directory with the ledger that version 1 left behind."""
    made = sqlite3.connect(tmp_path / FILE_NAME)
    made.executescript(VERSION_1.read_text())
    made.close()
    return tmp_path


def test_a_ledger_of_version_1_is_kept_and_works(old):
    """Every row is still there, and what comes next is written beside them."""
    ledger = Ledger.open(old)
    assert ledger.intake.positions() == {"w-1": 256}
    assert [one.arrival.sop_instance_uid for one in ledger.receipts.of_series(KEY)] == [
        "1.2.3.1",
        "1.2.3.2",
    ]
    (receipt,) = ledger.receipts.list()
    assert (receipt["location"], receipt["delivered_at"]) == ("a/b.dcm", 16)
    assert ledger.evidence.description("p") == {"name": "x"}
    assert [event.type for event in ledger.outbox.unpublished(10)] == ["penumbra.series.settled"]
    (waiting,) = ledger.jobs.list([State.WAITING])
    claimed = ledger.jobs.claim("w", {Kind.INFER}, 20, 30)
    assert claimed
    assert (claimed.id, claimed.spec.target) == (waiting.id, "m")
    with ledger.database.write() as db:
        jobs.insert(db, [NewJob(Kind.FORWARD, KEY, 1, "r", "lake")], 20)
        jobs.insert(db, [NewJob(Kind.FORWARD, KEY, 2, "r", "lake")], 20)
    assert ledger.jobs.counts()[State.DONE] == 1
    assert ledger.jobs.counts()[State.WAITING] == 1
    ledger.close()
    Ledger.open(old).close()


def test_an_old_ledger_ends_like_a_new_one(old, tmp_path):
    """It has the tables, columns, keys and indexes of a new one; older indexes may stay."""
    new = tmp_path / "new"
    shapes = []
    for folder in (old, new):
        database = Database.open(folder)
        with database.read() as db:
            there = inspect(db)
            shapes.append(
                {
                    name: (
                        {column["name"] for column in there.get_columns(name)},
                        {index["name"] for index in there.get_indexes(name)},
                        there.get_pk_constraint(name)["constrained_columns"],
                    )
                    for name in there.get_table_names()
                }
            )
        database.close()
    migrated, fresh = shapes
    assert migrated.keys() == fresh.keys()
    for name, (columns, indexes, key) in fresh.items():
        assert (migrated[name][0], migrated[name][2]) == (columns, key), name
        assert migrated[name][1] >= indexes, name


def test_postgresql_gains_what_is_missing(new_server, tmp_path):
    """A table, a column and an index that a server's ledger lacks are made; its rows stay."""
    server = new_server()
    first = Database.open(tmp_path, server)
    with first.write() as db:
        jobs.insert(db, [NewJob(Kind.FORWARD, KEY, 1, "r", "lake")], 20)
        db.exec_driver_sql("ALTER TABLE job DROP COLUMN node")
        db.exec_driver_sql("DROP INDEX job_by_target")
        db.exec_driver_sql("DROP TABLE pause")
    first.close()
    again = Database.open(tmp_path, server)
    with again.read() as db:
        assert db.execute(schema.jobs.select()).one().node == ""
        assert {"job_due", "job_by_target"} <= {
            index["name"] for index in inspect(db).get_indexes("job")
        }
        assert not db.execute(schema.pauses.select()).all()
    again.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_newer_ledger_is_left_alone(kind, tmp_path, request):
    """What a newer release wrote is refused in words, and not touched."""
    server = request.getfixturevalue("new_server")() if kind == "postgresql" else None
    database = Database.open(tmp_path, server)
    with database.write() as db:
        db.exec_driver_sql("UPDATE version SET version = 99")
        db.exec_driver_sql("DROP TABLE pause")
    database.close()
    with pytest.raises(Corrupt, match=r"99.*newer"):
        Database.open(tmp_path, server)
    if server is None:
        looking = sqlite3.connect(tmp_path / FILE_NAME)
        tables = looking.execute("SELECT name FROM sqlite_master WHERE name = 'pause'").fetchall()
        looking.close()
        assert tables == []


def _open(folder: Path, server: Server | None) -> None:
    Ledger.open(folder, server).close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_start_at_once_do_not_collide(kind, tmp_path, request):
    """Of several that find an empty or an old ledger, each ends with it open."""
    server = request.getfixturevalue("new_server")() if kind == "postgresql" else None
    if server is None:
        made = sqlite3.connect(tmp_path / FILE_NAME)
        made.executescript(VERSION_1.read_text())
        made.close()
    context = multiprocessing.get_context("spawn")
    starters = [context.Process(target=_open, args=(tmp_path, server)) for _ in range(2)]
    for one in starters:
        one.start()
    for one in starters:
        one.join(60)
    assert [one.exitcode for one in starters] == [0, 0]


def test_threads_that_open_one_server_do_not_collide(new_server, tmp_path):
    """Ten openings of an empty database at one moment leave one ledger."""
    server, faults = new_server(), []

    def start() -> None:
        try:
            Database.open(tmp_path, server).close()
        except Exception as fault:  # noqa: BLE001  (whatever it is, it is shown below)
            faults.append(fault)

    threads = [threading.Thread(target=start) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_new_columns_have_a_value_for_old_rows():
    """Whatever was added to a table since version 1 is nullable or has a default."""
    old = sqlite3.connect(":memory:")
    old.executescript(VERSION_1.read_text())
    for table in schema.metadata.sorted_tables:
        there = {row[1] for row in old.execute(f'PRAGMA table_info("{table.name}")')}
        for column in table.columns:
            if there and column.name not in there:
                assert column.nullable or column.server_default is not None, column
    old.close()
