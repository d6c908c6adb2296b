"""`penumbra reindex` mends the index, with a node and without; the node fills heads by itself."""

import io
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from dicom.entity import Arrival
from dicom.part10 import file_meta
from examples.peers.node import running_node
from examples.peers.process import wait_until
from node.cli import penumbra
from node.control_client import SOCKET_NAME, ControlClient
from node.reading import ReadingProcess
from storage.index.database import Index
from storage.ledger.arriving import ReadingHere
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def store(data_dir: Path, count: int) -> None:
    """Fill a spool with slices of one Series."""
    with Spool.open(data_dir / "spool", segment_bytes=1 << 20, reserve_bytes=0) as spool:
        for number in range(1, count + 1):
            made = Dataset()
            made.SOPClassUID, made.SOPInstanceUID = CT, f"1.2.9.{number}"
            made.StudyInstanceUID, made.SeriesInstanceUID = "1.2", "1.3"
            made.PatientID, made.InstanceNumber = "77", str(number)
            made.ImageComments = "what all have in common " * 20
            out = io.BytesIO()
            dcmwrite(out, made, implicit_vr=False, little_endian=True)
            arrival = Arrival(CT, f"1.2.9.{number}", EXPLICIT, "", "", "", "", 1.7e9)
            with spool.begin(arrival) as recording:
                recording.write(file_meta(arrival) + out.getvalue())
                recording.commit()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(penumbra, [str(one) for one in arguments])


def state(index: Index) -> tuple[object, ...]:
    text = """SELECT count(*), sum(InstanceNumber), (SELECT count(*) FROM head),
        (SELECT min(head->>'$."00100020".Value[0]') FROM head) FROM instance"""
    return index.sql(text, timeout_s=10, max_rows=1).rows[0]


@pytest.mark.p5
def test_an_index_is_mended_without_a_node(tmp_path: Path):
    """Wrong rows are right, lost ones are there, heads are made; from nothing as well."""
    config, data_dir = tmp_path / "node.toml", tmp_path / "var"
    config.write_text('[node]\ndata_dir = "var"\n')
    store(data_dir, 5)
    done = run("reindex", "-c", config)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "done: 5 instances in the index"
    index = Index.open(data_dir / "index.duckdb")
    assert state(index) == (5, 15, 5, "77")
    index.change(lambda cursor: cursor.execute("DELETE FROM instance WHERE InstanceNumber = 2"))
    index.change(lambda cursor: cursor.execute("UPDATE instance SET InstanceNumber = 9"))
    index.close()
    for options in ((), ("--from-nothing",)):
        done = run("reindex", *options, "-c", config)
        assert done.exit_code == 0, done.output
        index = Index.open(data_dir / "index.duckdb")
        assert state(index) == (5, 15, 5, "77")
        index.close()


@pytest.mark.p5
def test_a_running_node_mends_its_index(tmp_path: Path):
    """It answers meanwhile, makes heads of what its spool holds, and says how far it is."""
    store(tmp_path / "var", 3)
    with running_node(tmp_path, "") as node:
        client = ControlClient(node.data_dir / SOCKET_NAME)
        heads = "SELECT count(*) FROM head"
        wait_until(lambda: client.sql(heads).rows == ((3,),), 20, "making heads")
        refused = run("reindex", "--from-nothing", "-c", node.config)
        assert refused.exit_code == 2
        done = run("reindex", "-c", node.config)
        assert done.exit_code == 0, done.output
        assert done.output.splitlines()[-1] == "done: 3 instances in the index"
        assert client.reindexed() == {"records": None, "of": 3}


def test_both_ways_of_reading_make_the_same_heads(tmp_path: Path):
    """A process of its own answers as reading on the spot does, whole heads and differences."""
    store(tmp_path, 120)
    reader = SpoolReader(tmp_path / "spool")
    with Spool.open(tmp_path / "spool", segment_bytes=1 << 20, reserve_bytes=0) as spool:
        records = list(spool.records({}))
        process = ReadingProcess(spool.root)
        try:
            found = [*process.heads(records[:70]), *process.heads(records[70:])]
            assert found == ReadingHere(reader).heads(records)
            assert [one.base for one in found if one] == [None] + ["1.2.9.1"] * 119
            assert process._child is not None
            process._child.kill()
            assert process.heads(records[:1]) == found[:1]
        finally:
            process.forget()
