"""What is charged to a server: its whole tree's time and memory."""

import socket
import subprocess
import sys

import pytest

from bench.ingest import procfs
from bench.ingest.machine import processor, version_in
from bench.ingest.measure import read_gauges
from bench.ingest.scratch import InUse, Scratch, file_system
from examples.peers.process import wait_until

PARENT = """
import subprocess, sys
spin = "import sys, time\\nwhile time.process_time() < 0.3: pass\\n"
subprocess.run([sys.executable, "-c", spin])
child = subprocess.Popen([sys.executable, "-c", spin + "sys.stdin.read()"], stdin=subprocess.PIPE)
held = bytearray(50_000_000)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def parent():
    """A process with a child that ended and a child that lives, each 0.3 s of work."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_children_are_charged_to_their_parent(parent):
    """Work of children counts, of those that ended too, and apart from the parent's own."""
    wait_until(lambda: procfs.cpu_time(parent.pid).tree_s >= 0.6, 20, "work of two children")
    used = procfs.cpu_time(parent.pid)
    assert used.main_s < 0.3
    assert len(procfs.tree(parent.pid)) == 2
    assert procfs.wait_for_rest(parent.pid, 10)


def test_memory_is_watched_at_its_highest(parent):
    """What was held at the peak is told, and can be forgotten."""
    with procfs.MemoryWatch(parent.pid) as memory:
        pass
    assert memory.peak_mb > procfs.resident_mb(parent.pid) > 50
    assert procfs.highest_resident_mb(parent.pid) >= procfs.resident_mb(parent.pid)


def test_a_process_that_ended_has_nothing():
    """A server that died in the middle is no reason to stop the run."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert procfs.cpu_time(gone.pid) == procfs.CpuTime(0, 0)
    assert procfs.resident_mb(gone.pid) == 0
    assert procfs.tree(gone.pid) == [gone.pid]


def test_the_name_of_a_process_does_not_confuse():
    """A name with spaces and brackets shifts no field."""
    stat = "7 (a ) b) S " + " ".join(str(number) for number in range(4, 53))
    assert procfs.ticks(stat) == (14 + 15, 16 + 17)


def test_a_listening_port_is_seen_without_a_connection():
    """Whether a server listens is read, so that no peer sees an odd first connection."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
        assert not procfs.listens(port)
        door.listen()
        assert procfs.listens(port)
    assert not procfs.listens(port)


def test_metrics_are_read_by_name_and_labels():
    """The node's own numbers say how far filing is."""
    text = '# HELP a b\npenumbra_instances 20.0\npenumbra_jobs{state="running"} 2.0\n# EOF\n'
    assert read_gauges(text) == {"penumbra_instances": 20, 'penumbra_jobs{state="running"}': 2}


def test_versions_and_processors_are_found_in_what_programs_say():
    """Of a page of words the version is told."""
    assert version_in("$dcmtk: storescp v3.6.7 2022-04-22 $") == "3.6.7"
    assert version_in("nothing") == "unknown"
    assert processor("processor\t: 0\nmodel name\t: Model T\n") == "Model T"


def test_stores_are_emptied_and_moved_but_not_removed_until_the_end(tmp_path):
    """Between measurements files lose their bytes but keep their inodes; at the end all goes."""
    scratch = Scratch(tmp_path)
    store = scratch.empty("storescp")
    (store / "deep").mkdir()
    (store / "deep" / "object").write_bytes(b"x" * 1000)
    (store / "server.log").write_text("words")
    inode = (store / "deep" / "object").stat().st_ino
    scratch.retire(store)
    assert not store.exists()
    (moved,) = (tmp_path / "aside").rglob("object")
    assert (moved.stat().st_ino, moved.stat().st_size) == (inode, 0)
    assert (moved.parents[1] / "server.log").read_text() == "words"
    scratch.remove()
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]
    assert file_system(tmp_path) not in {"", "unknown"}


def test_two_runs_do_not_share_a_folder(tmp_path):
    """A second run neither removes the stores of the first nor measures beside it."""
    first = Scratch(tmp_path)
    store = first.empty("node")
    with pytest.raises(InUse, match="another run"):
        Scratch(tmp_path)
    assert store.exists()
    first.remove()
    Scratch(tmp_path).remove()
