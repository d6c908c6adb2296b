"""The index file through restarts, kills and damage: in step with its position, or empty."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom.errors import StorageFault
from storage.index.database import Entry, Index

Make = Callable[..., Entry]


def counted(index: Index) -> list[int]:
    """How many Instances each Study has, by its own count and by its rows."""
    text = """SELECT NumberOfStudyRelatedInstances, count(*) FROM study
        JOIN instance USING (StudyInstanceUID) GROUP BY StudyInstanceUID, 1"""
    rows = index.sql(text, timeout_s=5, max_rows=100).rows
    assert all(said == real for said, real in rows)
    return [said for said, _ in rows]


@pytest.mark.p5
def test_an_index_survives_being_closed(tmp_path: Path, entry: Make) -> None:
    """Rows and positions are there after a restart, and go on growing."""
    path = tmp_path / "deep" / "index.duckdb"
    index = Index.open(path)
    assert index.position() == {}
    index.add([entry(1)], {"a": 10})
    index.close()
    index.close()
    again = Index.open(path)
    assert again.position() == {"a": 10}
    again.add([entry(2)], {"a": 20, "b": 5})
    assert counted(again) == [2]
    assert again.position() == {"a": 20, "b": 5}
    again.close()


@pytest.mark.p5
def test_the_oldest_duckdb_that_may_run_reads_the_file(index: Index) -> None:
    """Who goes back from DuckDB 2 to 1.5 keeps the rows of objects that left the spool."""
    with index.reading() as cursor:
        ((tags,),) = cursor.execute(
            "SELECT tags FROM duckdb_databases() WHERE NOT internal"
        ).fetchall()
    assert tags["storage_version"].startswith("v1.5.")


@pytest.mark.p5
@pytest.mark.parametrize("damage", ["garbage", "header", "empty", "version", "wal"])
def test_an_unusable_file_is_rebuilt_from_nothing(tmp_path: Path, entry: Make, damage: str) -> None:
    """A broken file or one of another version is set aside, and the index starts at zero."""
    path = tmp_path / "index.duckdb"
    index = Index.open(path)
    index.add([entry(1)], {"a": 10})
    if damage == "version":
        with index._cursor() as cursor:
            cursor.execute("UPDATE about SET version = 99")
    index.close()
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif damage == "header":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "wal":
        path.with_name("index.duckdb.wal").write_bytes(os.urandom(4096))
    again = Index.open(path)
    rebuilt = {"a": 10} if damage == "wal" and again.position() else {}
    assert again.position() == rebuilt
    again.add([entry(1)], {"a": 10})
    assert counted(again) == [1]
    again.close()


HOLD = """
import sys, time
from pathlib import Path
from storage.index.database import Index
index = Index.open(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.p5
def test_a_file_in_use_is_left_alone(tmp_path: Path) -> None:
    """A second owner is refused with the reason, and the first one's file stays where it is."""
    path = tmp_path / "index.duckdb"
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"open\n"
    with pytest.raises(StorageFault, match="one process only"):
        Index.open(path)
    assert sorted(one.name for one in tmp_path.iterdir() if "unusable" in one.name) == []
    owner.communicate(b"", timeout=20)
    Index.open(path).close()


FILL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import make_entry
from storage.index.database import Index
index = Index.open(Path(sys.argv[1]))
number = 0
while True:
    batch = [make_entry(number + one, StudyInstanceUID=f"1.{number}") for one in range(20)]
    number += 20
    index.add(batch, {"seg": number})
    print(number, flush=True)
"""


@pytest.mark.p5
def test_kill_leaves_rows_and_positions_in_step(tmp_path: Path) -> None:
    """After SIGKILL in the middle of writing, the position says exactly which rows are there."""
    path = tmp_path / "index.duckdb"
    writer = subprocess.Popen(
        [sys.executable, "-c", FILL, str(path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert writer.stdout is not None
    said = 0
    while said < 200:
        said = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=20)
    index = Index.open(path)
    reached = index.position()["seg"]
    counts = index.sql(
        "SELECT (SELECT count(*) FROM instance), (SELECT count(*) FROM study),"
        " (SELECT sum(NumberOfStudyRelatedInstances) FROM study)::BIGINT",
        timeout_s=5,
        max_rows=1,
    ).rows
    index.close()
    assert reached >= said
    assert counts == ((reached, reached // 20, reached),)


def test_a_failed_batch_leaves_nothing_behind(
    index: Index, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and positions of a batch that fails half-way are all rolled back."""
    index.add([entry(1)], {"seg": 1})

    def fail(*_: object) -> None:
        raise StorageFault("half-way")

    monkeypatch.setattr("storage.index.filing._file_studies", fail)
    with pytest.raises(StorageFault):
        index.add([entry(2, StudyInstanceUID="2.2")], {"seg": 2})
    monkeypatch.undo()
    assert index.position() == {"seg": 1}
    assert counted(index) == [1]
    index.add([entry(2, StudyInstanceUID="2.2")], {"seg": 2})
    assert counted(index) == [1, 1]
