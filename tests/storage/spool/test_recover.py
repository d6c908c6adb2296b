"""Recovery: what was acknowledged is there, what was not whole is gone, whatever happened."""

import contextlib
import errno
import os
import tempfile
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.entity import Instance
from dicom.errors import Corrupt, StorageFault
from storage.spool import record as record_form
from storage.spool import recover as recover_module
from storage.spool.crash import POINTS, VARIABLE
from storage.spool.reader import SpoolReader
from storage.spool.recording import Recording
from storage.spool.recover import Recovered, recover
from storage.spool.segment import BUFFER_BYTES, Room, Segment
from storage.spool.spool import Spool

NAME = "000000000001-000001"
SIZES = (300, 0, 77, 5000)
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Damage is in the bytes; hundreds of files need no real disk."""

FRONT = """
import sys
from pathlib import Path
from storage.spool.spool import Spool
sys.path.insert(0, "tests/storage/spool")
from conftest import Objects
objects = Objects()
with Spool.open(Path(sys.argv[1]), segment_bytes=6_000_000, reserve_bytes=0) as spool:
    for number in range(14):
        size = 2_500_000 if number % 2 else 36_000
        with spool.begin(objects.arrival(f"2.25.{number}")) as recording:
            body = objects.body(size, number)
            for start in range(0, size, 100_000):
                recording.write(body[start : start + 100_000])
            recording.commit()
        print(number, flush=True)
"""

WORKER = """
import sys
from pathlib import Path
from storage.spool.deposit import deposit
sys.path.insert(0, "tests/storage/spool")
from conftest import Objects
objects = Objects()
chunks = (objects.body(int(sys.argv[2])),)
deposit(Path(sys.argv[1]), objects.arrival("2.25.0"), chunks, writer="job1-1")
print(0, flush=True)
"""

SLOW_WORKER = """
import sys
from pathlib import Path
from storage.spool.deposit import deposit
sys.path.insert(0, "tests/storage/spool")
from conftest import Objects
objects = Objects()
def chunks():
    yield b"a" * 3_000_000
    print("half", flush=True)
    sys.stdin.readline()
    yield b"b"
deposit(Path(sys.argv[1]), objects.arrival("2.25.5"), chunks(), writer="job2-1")
"""


@pytest.mark.p1
@pytest.mark.parametrize("point", [f"{name}:{n}" for name in POINTS for n in (1, 2, 3)])
def test_kill_the_front_anywhere(child, open_spool, root, objects, point):
    """Killed at any point, the front has every acknowledged object afterwards, and no half one."""
    dying = child(FRONT, root, **{VARIABLE: point})
    acknowledged = [int(line) for line in dying.communicate(timeout=60)[0].split()]
    assert dying.returncode == -9
    with open_spool() as spool:
        found = {
            int(one.arrival.sop_instance_uid.removeprefix("2.25.")): one
            for one in objects.of(spool)
        }
        for number, instance in found.items():
            assert objects.read(root, instance) == objects.body(
                2_500_000 if number % 2 else 36_000, number
            )
        # The object that was on its way may be whole on disk without its sender knowing.
        assert list(found) in (acknowledged, [*acknowledged, len(acknowledged)])
        assert spool.recovered.damaged == 0
        assert not list(root.glob("*.open"))


@pytest.mark.p1
@pytest.mark.parametrize(("point", "size"), list(product(POINTS, [1000, 3_000_000])))
def test_kill_a_worker_anywhere(child, root, objects, point, size):
    """A worker killed while it deposits leaves the whole result or none, and blocks nobody."""
    root.mkdir()
    dying = child(WORKER, root, size, **{VARIABLE: point})
    assert dying.communicate(timeout=60)[0] == ""
    assert dying.returncode == -9
    with Spool.open(root, segment_bytes=1, reserve_bytes=0) as spool:
        found = objects.of(spool)
    if point == "before-write":
        assert found == []
    if point in {"after-sync", "before-rename", "after-rename"}:
        assert len(found) == 1
    assert [objects.read(root, one) for one in found] == [objects.body(size)] * len(found)
    assert not list(root.glob("*.open"))


@pytest.mark.p1
def test_a_living_worker_is_left_alone(child, open_spool, root, objects):
    """A front that starts while a worker deposits neither takes its segment nor loses it."""
    open_spool().close()
    worker = child(SLOW_WORKER, root)
    assert worker.stdout.readline() == "half\n"
    with open_spool() as spool:
        assert spool.recovered.segments == 0
        assert objects.of(spool) == []
        worker.stdin.write("\n")
        worker.stdin.flush()
        assert spool.wait(20)
        (found,) = objects.of(spool)
        assert objects.read(root, found) == b"a" * 3_000_000 + b"b"
    assert worker.wait(20) == 0


def test_a_segment_taken_before_it_was_locked(root):
    """A writer whose new file recovery removed under its hands notices, and takes another name."""
    root.mkdir()
    (root / "job-000000.open").touch()
    recover(root)
    assert list(root.iterdir()) == []
    segment = Segment.create(root, "job-000000", Room(root, 0))
    recover(root)
    assert (root / "job-000000.open").exists()
    segment.close()


def test_recovery_never_replaces_a_sealed_segment(root, log):
    """Where a sealed segment has the name already, both files stay and a person is asked."""
    content, _ = log
    root.mkdir()
    (root / f"{NAME}.open").write_bytes(content)
    (root / f"{NAME}.seg").write_bytes(b"precious")
    with pytest.raises(StorageFault, match=NAME):
        recover(root)
    assert (root / f"{NAME}.seg").read_bytes() == b"precious"
    assert (root / f"{NAME}.open").exists()


@pytest.mark.parametrize("field", ["VERSION", "facts"])
def test_a_newer_version_is_not_damage(root, objects, monkeypatch, field):
    """Records that only a newer version understands stop the start; nothing of them is cut."""
    with monkeypatch.context() as newer:
        if field == "VERSION":
            newer.setattr(record_form, "VERSION", 2)
        else:
            newer.setattr(record_form, "encode_facts", lambda _: b'{"origin":"teleport"}')
        content, _ = _build(root, objects)
    (root / f"{NAME}.open").write_bytes(content)
    with pytest.raises(StorageFault, match="newer Penumbra"):
        Spool.open(root, segment_bytes=1, reserve_bytes=0)
    assert (root / f"{NAME}.open").read_bytes() == content


def test_facts_of_tomorrow_are_left_aside(root, objects, monkeypatch):
    """A fact that a later version adds does not keep this one from reading the rest."""
    encode = record_form.encode_facts
    with monkeypatch.context() as newer:
        newer.setattr(
            record_form, "encode_facts", lambda told: encode(told)[:-1] + b',"mood":"good"}'
        )
        content, instances = _build(root, objects)
    assert _recovered(content)[0] == instances


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_torn_tail_of_any_length(log, data):
    """Cut anywhere, a segment recovers to exactly the records before the cut."""
    content, instances = log
    cut = data.draw(st.integers(0, len(content)))
    ends = _ends(instances)
    whole = [one for one, end in zip(instances, ends, strict=True) if end <= cut]
    tail = data.draw(st.sampled_from([b"", bytes(100), bytes(BUFFER_BYTES * 2 + 8)]))
    found, report = _recovered(content[:cut] + tail)
    # Padding is zeros: a record that lost only that is whole if zeros follow.
    nearly = sum(one.location.offset + one.location.length <= cut for one in instances)
    assert found == (instances[:nearly] if tail else whole)
    assert report.damaged == 0
    kept = ends[len(found) - 1] if found else 0
    assert report.bytes_cut <= max(0, cut - kept)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_in_the_tail(log, data):
    """One flipped bit in the last record takes that record, and nothing else."""
    content, instances = log
    start = _ends(instances)[-2]
    end = instances[-1].location.offset + instances[-1].location.length
    place = data.draw(st.integers(start, end - 1))
    found, report = _recovered(_flipped(content, place, data.draw(st.integers(0, 7))))
    assert found == instances[:-1]
    assert (report.records, report.damaged) == (3, 0)
    assert report.bytes_cut > 0


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damage_in_the_middle_takes_one_record(log, data):
    """One flipped bit in an earlier record costs no acknowledged object behind it."""
    content, instances = log
    victim = data.draw(st.sampled_from([0, 2]))
    start = [0, *_ends(instances)][victim]
    end = instances[victim].location.offset + instances[victim].location.length
    place = data.draw(st.integers(start, end - 1))
    found, report = _recovered(_flipped(content, place, data.draw(st.integers(0, 7))))
    others = [one for number, one in enumerate(instances) if number != victim]
    assert found == others
    assert (report.records, report.damaged) == (3, 1)


@pytest.mark.p1
@pytest.mark.parametrize("tail", [b"", bytes(9000)])
@pytest.mark.parametrize("where", ["prefix", "body"])
def test_only_what_was_written_last_is_cut(log, tmp_path, where, tail):
    """A record that rotted before the torn one was acknowledged: it stays, and is reported."""
    content, instances = log
    rotten = instances[2].location.offset + (10 if where == "body" else -30)
    torn_at, torn = _ends(instances)[2], content[: instances[3].location.offset + 500]
    left = _flipped(torn, rotten, 0)
    (tmp_path / f"{NAME}.open").write_bytes(left + tail)
    report = recover(tmp_path)
    if where == "body":  # the torn record's prefix tells where the rotten one ends
        assert report == Recovered(1, 2, len(left) - torn_at, 1)
        assert (tmp_path / f"{NAME}.seg").read_bytes() == left[:torn_at]
        assert (tmp_path / f"{NAME}.torn").read_bytes() == left[torn_at:]
    else:
        kept = (tmp_path / f"{NAME}.seg").read_bytes() + (tmp_path / f"{NAME}.torn").read_bytes()
        assert kept == left


@pytest.mark.p1
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_byte_that_may_have_been_acknowledged_is_gone(log, data):
    """Whatever rots and wherever it is torn, segment and torn tail together hold all bytes."""
    content, _ = log
    left = content[: data.draw(st.integers(1, len(content)))]
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(left) - 1))
        left = _flipped(left, place, data.draw(st.integers(0, 7)))
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        root = Path(folder)
        (root / f"{NAME}.open").write_bytes(left)
        recover(root)
        halves = [root / f"{NAME}{suffix}" for suffix in (".seg", ".torn")]
        kept = b"".join(half.read_bytes() for half in halves if half.exists())
        assert kept.rstrip(b"\0") == left.rstrip(b"\0")


def test_what_nobody_heard_of_is_not_put_aside(log, tmp_path):
    """A large object that was on its way has no prefix yet: its bytes are cut and gone."""
    content, instances = log
    start = _ends(instances)[-2]
    body_at = instances[-1].location.offset
    (tmp_path / f"{NAME}.open").write_bytes(
        content[:start] + bytes(body_at - start) + content[body_at:]
    )
    assert recover(tmp_path).damaged == 0
    assert [file.name for file in tmp_path.iterdir()] == [f"{NAME}.seg"]
    assert (tmp_path / f"{NAME}.seg").read_bytes() == content[:start]


def test_a_full_disk_does_not_keep_the_node_from_starting(log, tmp_path, monkeypatch):
    """Where there is no room to put a torn tail aside it stays in its segment, as damage."""
    content, _ = log

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recover_module, "write_all", no_room)
    (tmp_path / f"{NAME}.open").write_bytes(content[:-100])
    assert recover(tmp_path) == Recovered(1, 3, 0, 1)
    assert [file.name for file in tmp_path.iterdir()] == [f"{NAME}.seg"]
    assert (tmp_path / f"{NAME}.seg").read_bytes() == content[:-100]


def test_a_record_inside_an_object_is_no_record(log, open_spool, objects):
    """A sender cannot smuggle a record in by sending one inside an object that breaks off."""
    content, _ = log
    spool = open_spool()
    recording = spool.begin(objects.arrival())
    recording.write(bytes(-recording._body_at % record_form.ALIGNMENT))
    recording.write(content * (BUFFER_BYTES // len(content) + 1))
    fd = os.open(recording._segment._root / f"{recording._segment.name}.open", os.O_RDONLY)
    assert b"PnbR" in os.pread(fd, BUFFER_BYTES, 0)
    os.close(fd)
    recording._segment.close()  # as if the process had died
    spool.close()
    with open_spool() as again:
        assert again.recovered.records == 0
        assert again.recovered.bytes_cut > BUFFER_BYTES // 2
        assert objects.of(again) == []


def test_killed_twice(child, open_spool, root, objects):
    """A front that dies while it recovers recovers at the next start."""
    first = child(FRONT, root, **{VARIABLE: "after-sync:3"})
    first.communicate(timeout=60)
    second = child(FRONT, root, **{VARIABLE: "before-rename"})
    assert second.communicate(timeout=60)[0] == ""
    assert second.returncode == -9
    with open_spool() as spool:
        assert [objects.read(root, one) for one in objects.of(spool)] == [
            objects.body(2_500_000 if number % 2 else 36_000, number) for number in range(3)
        ]


def _build(root: Path, objects) -> tuple[bytes, list[Instance]]:
    """Write a segment with a few records; returns its bytes and what they say."""
    root.mkdir(exist_ok=True)
    segment = Segment.create(root, NAME, Room(root, 0))
    instances = []
    for number, size in enumerate(SIZES):
        told = objects.arrival(f"2.25.{number}")
        facts = record_form.encode_facts(told)
        with Recording(segment, told, facts, lambda *_: None) as recording:
            body = bytes([number + 1]) * size
            recording.write(body)
            instances.append(objects.identified(recording.commit(), body))
    segment.seal()
    sealed = root / f"{NAME}.seg"
    content = sealed.read_bytes()
    sealed.unlink()
    return content, instances


@pytest.fixture(scope="module")
def log(tmp_path_factory, objects) -> tuple[bytes, list[Instance]]:
    return _build(tmp_path_factory.mktemp("log"), objects)


def _ends(instances: list[Instance]) -> list[int]:
    return [record_form.aligned(one.location.offset + one.location.length) for one in instances]


def _flipped(content: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _recovered(content: bytes) -> tuple[list[Instance], Recovered]:
    """Start a spool on a segment that a dead writer left; returns what it then has."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        root = Path(folder)
        (root / f"{NAME}.open").write_bytes(content)
        with Spool.open(root, segment_bytes=1 << 20, reserve_bytes=0) as spool:
            assert not list(root.glob("*.open"))
            reader = SpoolReader(root)
            found: list[Instance] = []
            for record in spool.records({}):
                with contextlib.suppress(Corrupt):
                    found.append(reader.identify(record))
            return found, spool.recovered
