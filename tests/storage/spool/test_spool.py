"""The spool's own life: commit, follow, abandon, seal, reopen, refuse."""

import dataclasses
import errno
import os
import threading
from pathlib import Path

import pytest

from dicom.entity import Origin
from dicom.errors import SpoolFull, StorageFault
from examples.peers.process import wait_until
from storage.spool.reader import SpoolReader
from storage.spool.segment import BUFFER_BYTES, write_all
from storage.spool.spool import Spool

SIZES = [
    0, 1, 7, 8, 9, 4096, 64 << 10, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1,
    3 * BUFFER_BYTES + 5,
]  # fmt: skip


@pytest.mark.p1
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk", [1000, 16 << 10, 64 << 10, 4 * BUFFER_BYTES])
def test_any_size_in_any_chunks(spool, objects, size, chunk):
    """What was written in chunks of any size is read back byte for byte."""
    before = objects.store(spool, b"first", "2.25.2")
    instance = objects.store(spool, objects.body(size), chunk=chunk)
    assert objects.read(spool.root, instance) == objects.body(size)
    assert instance.location.length == size
    assert objects.read(spool.root, before) == b"first"


def test_a_chunk_may_change_after_write(spool, objects):
    """The caller may reuse its buffer as soon as write returned, whatever its shape."""
    buffer = bytearray(b"a" * (2 * BUFFER_BYTES))
    words = memoryview(buffer).cast("H")
    with spool.begin(objects.arrival()) as recording:
        for part in (words[:10], words, words[:10]):
            buffer[:] = b"a" * len(buffer)
            recording.write(part)
            buffer[:] = b"b" * len(buffer)
        record = recording.commit()
    content = b"a" * (len(buffer) + 40)
    assert objects.read(spool.root, objects.identified(record, content)) == content


@pytest.mark.p1
def test_a_location_stays_true(open_spool, root, objects):
    """An Instance is found at its Location while its segment is open, sealed, and after reopen."""
    spool = open_spool()
    instance = objects.store(spool, b"object")
    assert [file.suffix for file in root.glob("*-*")] == [".open"]
    assert objects.read(root, instance) == b"object"
    spool.close()
    assert [file.suffix for file in root.glob("*-*")] == [".seg"]
    assert objects.read(root, instance) == b"object"
    with open_spool() as again:
        assert again.recovered.segments == 0
        assert objects.of(again) == [instance]


def test_facts_survive(open_spool, objects):
    """Every fact of an arrival is in the log, a result's rule and origin too."""
    told = dataclasses.replace(
        objects.arrival(),
        origin=Origin.AI,
        rule="Lunge früh",
        calling_ae='A"\\B',
        address="x" * 2000,
    )
    with open_spool() as spool, spool.begin(told) as recording:
        recording.write(b"x")
        record = recording.commit()
        assert record.arrival == told
        assert list(spool.records({})) == [record]


def test_a_segment_is_sealed_at_its_size(open_spool, root, objects):
    """Segments are sealed once they reach their size, and an object is never split."""
    with open_spool(segment_bytes=10_000) as spool:
        for number in range(5):
            objects.store(spool, objects.body(6_000, number), f"2.25.{number}")
        assert len(list(root.glob("*.seg"))) == 2
        assert [one.arrival.sop_instance_uid for one in objects.of(spool)] == [
            f"2.25.{number}" for number in range(5)
        ]
        assert spool.usage()[1] == 3
    assert sum(file.stat().st_size for file in root.glob("*.seg")) == spool.usage()[0]


@pytest.mark.parametrize("size", [10, 3 * BUFFER_BYTES])
def test_abandon_leaves_nothing(open_spool, root, objects, size):
    """An abandoned object is never visible, and its room is used again."""
    with open_spool() as spool:
        first = objects.store(spool, b"first")
        used = spool.usage()
        with spool.begin(objects.arrival("2.25.9")) as recording:
            recording.write(objects.body(size))
        recording.abandon()
        (segment,) = root.glob("*.open")
        assert objects.body(size)[:10] not in segment.read_bytes()
        assert spool.usage() == used
        with pytest.raises(ValueError, match="over"):
            recording.write(b"more")
        with pytest.raises(ValueError, match="over"):
            recording.commit()
        assert objects.of(spool) == [first]
        second = objects.store(spool, b"second", "2.25.2")
        assert second.location.segment == first.location.segment
        assert objects.of(spool) == [first, second]
    (sealed,) = root.glob("*.seg")
    assert sealed.stat().st_size < 2000


def test_abandon_alone_leaves_no_file(open_spool, root, objects):
    """A segment in which nothing was committed does not outlive its writer."""
    with open_spool() as spool, spool.begin(objects.arrival()) as recording:
        recording.write(b"never")
    assert [file.name for file in root.iterdir()] == ["lock"]


def test_one_owner(open_spool, root):
    """Two nodes cannot own one spool, and the second is told what to do; then it can."""
    with open_spool(), pytest.raises(StorageFault, match="data_dir"):
        open_spool()
    open_spool().close()


def test_a_closed_spool_takes_nothing(open_spool, objects):
    """After close nothing begins; what was in flight may end, and its segment is sealed."""
    spool = open_spool()
    recording = spool.begin(objects.arrival())
    recording.write(b"in flight")
    spool.close()
    spool.close()
    with pytest.raises(StorageFault, match="closed"):
        spool.begin(objects.arrival())
    instance = objects.identified(recording.commit(), b"in flight")
    assert [file.suffix for file in spool.root.glob("*-*")] == [".seg"]
    assert objects.read(spool.root, instance) == b"in flight"


def test_a_run_started_at_the_same_moment(root, objects):
    """Two starts at the same millisecond do not write under the same names."""
    for uid in ("2.25.1", "2.25.2"):
        with Spool.open(root, segment_bytes=1, reserve_bytes=0, clock=lambda: 7.0) as spool:
            objects.store(spool, b"x", uid)
    assert len(list(root.glob("*.seg"))) == 2


@pytest.mark.p1
@pytest.mark.parametrize(
    ("call", "size"),
    [("pwritev", 40_000), ("pwritev", 3 * BUFFER_BYTES), ("fdatasync", 3 * BUFFER_BYTES)],
)
def test_a_failed_write_or_sync_is_final(spool, objects, monkeypatch, call, size):
    """After a failed write or sync the sender hears SpoolFull, and that segment is used no more."""
    before = objects.store(spool, b"before")

    def fails(*_):
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fails)
        with pytest.raises(SpoolFull, match="EIO"):
            objects.store(spool, objects.body(size), "2.25.2")
    after = objects.store(spool, objects.body(size), "2.25.3")
    assert after.location.segment != before.location.segment
    assert objects.of(spool) == [before, after]
    assert objects.read(spool.root, before) == b"before"
    assert (spool.root / f"{before.location.segment}.seg").exists()


@pytest.mark.p1
@pytest.mark.parametrize("size", [40_000, 3 * BUFFER_BYTES])
def test_one_sync_and_nothing_after_it(open_spool, objects, monkeypatch, size):
    """Commit returns after one sync that follows every write, in a file whose name is synced."""
    calls = []

    def spied(name):
        real = getattr(os, name)

        def spy(fd, *arguments):
            synced = "+sync" if os.RWF_DSYNC in arguments[2:] else ""
            calls.append((name + synced, Path(f"/proc/self/fd/{fd}").readlink().suffix))
            return real(fd, *arguments)

        return spy

    with open_spool() as spool:
        for name in ("pwritev", "fdatasync", "fsync"):
            monkeypatch.setattr(os, name, spied(name))
        objects.store(spool, objects.body(size), "2.25.1")
        first = list(calls)
        calls.clear()
        objects.store(spool, objects.body(size), "2.25.2")
        monkeypatch.undo()
    assert first[0] == ("fsync", "")  # the folder
    assert first[1:] == calls
    *writes, sync = calls
    assert sync == ("fdatasync" if size > BUFFER_BYTES else "pwritev+sync", ".open")
    assert set(writes) <= {("pwritev", ".open")}


@pytest.mark.p7
def test_another_object_under_the_same_uid(spool, objects):
    """Two objects under one UID are both kept, each with its own bytes."""
    one, other = objects.store(spool, b"one"), objects.store(spool, b"other")
    assert objects.of(spool) == [one, other]
    assert objects.read(spool.root, one) == b"one"
    assert objects.read(spool.root, other) == b"other"


def test_the_reserve_is_kept(open_spool, objects):
    """Below the reserve an object is refused before its first byte, with the setting's name."""
    with open_spool(reserve_bytes=1 << 62) as spool:
        assert spool.free_bytes() < 1 << 62
        with pytest.raises(SpoolFull, match="reserve_mb"):
            spool.begin(objects.arrival())


FLAT = """
import os, resource, sys
from pathlib import Path
from storage.spool.spool import Spool
sys.path.insert(0, "tests/storage/spool")
from conftest import Objects
objects = Objects()
spool = Spool.open(Path(sys.argv[1]), segment_bytes=64 << 20, reserve_bytes=0)
chunk = memoryview(bytearray(128 << 10))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with spool.begin(objects.arrival()) as recording:
    for _ in range(1600):
        recording.write(chunk)
    recording.commit()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
spool.close()
"""


def test_memory_stays_flat(child, root):
    """An object of 200 MB passes through with less than 4 MB of memory."""
    grown_kb = int(child(FLAT, root).communicate(timeout=60)[0])
    assert grown_kb < 4096
    (sealed,) = root.glob("*.seg")
    assert sealed.stat().st_size > 200 << 20


def test_many_views_of_one_segment(spool, root, objects):
    """Far more Instances can be mapped at once than a process may open files."""
    stored = [
        objects.store(spool, objects.body(2000, number), f"2.25.{number}") for number in range(100)
    ]
    reader = SpoolReader(root)
    open_files = len(_open_files())
    views = [reader.view(one.location) for one in stored]
    assert len(_open_files()) <= open_files + 1
    assert all(view == objects.body(2000, number) for number, view in enumerate(views))
    del views, reader
    assert len(_open_files()) == open_files


def test_no_descriptor_leaks(open_spool, objects):
    """After close no file of the spool is open in this process."""
    open_files = _open_files()
    with open_spool(segment_bytes=100_000) as spool:
        for number in range(20):
            objects.store(spool, objects.body(30_000), f"2.25.{number}")
            with spool.begin(objects.arrival()) as recording:
                recording.write(b"x")
            list(spool.records({}))
    wait_until(lambda: _open_files() == open_files, 5, "closing files")


def _open_files():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_small_object_costs_pages_not_the_whole_buffer(spool, objects):
    """As many small recordings at once as there are scanners hold some KB each."""
    statm = Path("/proc/self/statm")
    before_pages = int(statm.read_text().split()[1])
    recordings = [spool.begin(objects.arrival(f"2.25.{number}")) for number in range(50)]
    for recording in recordings:
        recording.write(b"x" * 30_000)
    grown_bytes = (int(statm.read_text().split()[1]) - before_pages) * os.sysconf("SC_PAGESIZE")
    for recording in recordings:
        recording.abandon()
    assert grown_bytes < 50 * 200_000


@pytest.mark.p1
def test_abandoning_during_a_commit_gives_nobody_its_place(spool, objects, monkeypatch):
    """What is being committed cannot be abandoned by another thread: no neighbour overwrites it."""
    committing, gate = threading.Event(), threading.Event()

    def slowly(fd, parts, offset, flags=0):
        write_all(fd, parts, offset, flags)
        if not committing.is_set():
            committing.set()
            assert gate.wait(20)

    monkeypatch.setattr("storage.spool.recording.write_all", slowly)
    first = spool.begin(objects.arrival("2.25.10"))
    first.write(b"a" * 500)
    thread = threading.Thread(target=first.commit)
    thread.start()
    assert committing.wait(20)
    first.abandon()
    neighbour = objects.store(spool, b"b" * 5000, "2.25.11")
    gate.set()
    thread.join(20)
    last = [objects.store(spool, b"c" * 100, f"2.25.{number}") for number in (12, 13)]
    assert {one.arrival.sop_instance_uid for one in objects.of(spool)} == {
        "2.25.10", "2.25.11", "2.25.12", "2.25.13"
    }  # fmt: skip
    for one, content in [(neighbour, b"b" * 5000), *((each, b"c" * 100) for each in last)]:
        assert objects.read(spool.root, one) == content


def test_a_bug_in_a_commit_leaves_no_segment_behind(spool, objects, monkeypatch):
    """Whatever comes out of a commit, its segment is sealed and its descriptor given back."""
    objects.store(spool, b"kept", "2.25.20")
    recording = spool.begin(objects.arrival("2.25.21"))
    recording.write(b"lost")
    with monkeypatch.context() as bug:
        bug.setattr("storage.spool.recording.write_all", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            recording.commit()
    recording.abandon()
    assert [file.suffix for file in spool.root.glob("*-*")] == [".seg"]
    assert [one.arrival.sop_instance_uid for one in objects.of(spool)] == ["2.25.20"]
