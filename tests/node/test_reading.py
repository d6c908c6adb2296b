"""Objects are read in a process of their own; whatever becomes of it, each is filed or held."""

import base64
import contextlib
import errno
import hashlib
import io
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from dicom.entity import Arrival
from dicom.errors import CannotUnderstand, StorageFault
from dicom.part10 import file_meta
from dicom.uid import derive
from examples.peers.process import wait_until
from node import reading
from node.reading import ReadingProcess, patience_s
from routing.job import State
from storage.index.database import Index
from storage.ledger.arriving import ReadingHere
from storage.ledger.follow import Follower
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.record import Record
from storage.spool.sealing import NoKey, SpoolKey, SpoolKeys
from storage.spool.spool import Spool

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool.open(tmp_path / "spool", segment_bytes=1 << 20, reserve_bytes=0) as opened:
        yield opened


@pytest.fixture
def process(spool: Spool) -> Iterator[ReadingProcess]:
    made = ReadingProcess(spool.root)
    yield made
    made.forget()


def store(spool: Spool, number: int, content: bytes | None = None) -> Record:
    uid = derive("reading", str(number))
    head = Dataset()
    head.SOPClassUID, head.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid
    head.StudyInstanceUID, head.SeriesInstanceUID = derive("study"), derive("series")
    head.SpecificCharacterSet, head.PatientName = "ISO_IR 192", "Müller^Jürgen"
    stream = io.BytesIO()
    dcmwrite(stream, head, implicit_vr=False, little_endian=True)
    arrival = Arrival(head.SOPClassUID, uid, EXPLICIT, "A", "B", "a1", "h", 1.0)
    with spool.begin(arrival) as recording:
        recording.write(file_meta(arrival))
        recording.write(stream.getvalue() if content is None else content)
        return recording.commit()


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, at what is no dataset
def test_both_ways_of_reading_say_the_same(spool: Spool, process: ReadingProcess):
    """The process gives what reading on the spot gives: digests, keys, texts and faults."""
    batches = [
        [store(spool, 1), store(spool, 2, b"no dataset at all, only words")],
        [store(spool, 3, b"")],
        [store(spool, number) for number in range(4, 60)],
    ]
    here = ReadingHere(SpoolReader(spool.root))
    for batch in batches:
        process.submit(batch)
        here.submit(batch)
    for batch in batches:
        found, expected = process.collect(), here.collect()
        assert [(one.instance, one.key, one.texts, str(one.fault)) for one in found] == [
            (one.instance, one.key, one.texts, str(one.fault)) for one in expected
        ]
        assert [type(one.fault) for one in found] == [type(one.fault) for one in expected]
        assert [one.instance.arrival for one in found] == [record.arrival for record in batch]
    assert found[0].texts["PatientName"] == "Müller^Jürgen"


def test_bytes_that_changed_on_disk_are_held(spool: Spool, process: ReadingProcess):
    """An object whose bytes are not those that were written is corrupt, and its neighbours not."""
    batch = [store(spool, number) for number in range(3)]
    location = batch[1].location
    file = spool.root / f"{location.segment}.open"
    with file.open("r+b") as segment:
        segment.seek(location.offset + 200)
        byte = segment.read(1)
        segment.seek(location.offset + 200)
        segment.write(bytes([byte[0] ^ 1]))
    process.submit(batch)
    found = process.collect()
    assert [one.fault and one.fault.code for one in found] == [None, "corrupt", None]
    whole = SpoolReader(spool.root).view(batch[0].location)
    assert found[0].instance.digest == hashlib.sha256(whole).hexdigest()


def test_a_process_that_was_killed_is_replaced(spool: Spool, process: ReadingProcess):
    """Killed between batches or before one is collected, the process costs nothing but time."""
    batch = [store(spool, number) for number in range(3)]
    for _ in range(2):
        process.submit(batch)
        assert process._child is not None
        os.kill(process._child.pid, signal.SIGKILL)
        assert [one.fault for one in process.collect()] == [None] * 3


@pytest.fixture
def dies_on(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Record], ReadingProcess]]:
    """Make a process that one object kills, however often it is asked for."""
    made: list[ReadingProcess] = []

    def make(victim: Record) -> ReadingProcess:
        script = tmp_path / "dies.py"
        uid = victim.arrival.sop_instance_uid
        script.write_text(
            "import os, sys\n"
            "from node import reading\n"
            "read = reading._read\n"
            "def dies(reader, asked):\n"
            f"    return os._exit(1) if asked[1] == {uid!r} else read(reader, asked)\n"
            "reading._read = dies\n"
            "reading.main()\n"
        )
        process = ReadingProcess(spool.root)
        monkeypatch.setattr(process, "_command", [reading.sys.executable, script, str(spool.root)])
        process.forget()
        made.append(process)
        return process

    yield make
    for process in made:
        process.forget()


def test_an_object_that_kills_its_reader_is_held(
    spool: Spool, dies_on: Callable[[Record], ReadingProcess]
):
    """The one object on which the process dies is held; the others of its batch are read."""
    batch = [store(spool, number) for number in range(4)]
    process = dies_on(batch[2])
    process.submit(batch)
    process.submit(batch[:1])
    found = process.collect()
    assert [one.fault and one.fault.code for one in found] == [
        None,
        None,
        "cannot-understand",
        None,
    ]
    assert [one.fault for one in process.collect()] == [None]


def test_an_object_that_kills_its_reader_never_comes_near_the_front(
    spool: Spool, tmp_path: Path, dies_on: Callable[[Record], ReadingProcess]
):
    """Trying it again kills another such process, not the one that tries; it is held again."""
    batch = [store(spool, number) for number in range(3)]
    process = dies_on(batch[1])
    ledger, index = Ledger.open(tmp_path), Index.open(tmp_path / "index.duckdb")
    with contextlib.closing(ledger), contextlib.closing(index):
        reader = SpoolReader(spool.root)
        follower = Follower(spool, reader, ledger.intake, index, process)
        while follower.step() is not None:
            pass
        (job,) = ledger.jobs.list([State.HELD])
        assert job.spec.target == batch[1].arrival.sop_instance_uid
        with pytest.raises(CannotUnderstand, match="kills or hangs"):
            follower.file_again(job.spec.target, job.spec.digest)
        assert store(spool, 9)
        assert follower.step() is not None, "what comes next is filed as ever"


def test_what_is_encrypted_is_read_by_a_key_that_nobody_sees(tmp_path: Path):
    """The process reads encrypted objects; their key is in no argument and no variable of it."""
    key = SpoolKey(bytes(range(32)))
    with Spool.open(tmp_path, segment_bytes=1 << 20, reserve_bytes=0, key=key) as spool:
        batch = [store(spool, number) for number in range(3)]
        process, stranger = ReadingProcess(tmp_path, SpoolKeys(key)), ReadingProcess(tmp_path)
        for reading_process in (process, stranger, process):
            reading_process.submit(batch)
        found, unread = process.collect(), stranger.collect()
        assert [one.texts["PatientName"] for one in found] == ["Müller^Jürgen"] * 3
        assert {type(one.fault) for one in unread} == {NoKey}
        assert key.id in str(unread[0].fault)
        assert process._child is not None
        told = Path(f"/proc/{process._child.pid}")
        seen = (told / "cmdline").read_bytes() + (told / "environ").read_bytes()
        for form in (key.secret, key.secret.hex().encode(), base64.b64encode(key.secret)):
            assert form not in seen
        os.kill(process._child.pid, signal.SIGKILL)  # the next one is given the key too
        assert [one.fault for one in process.collect()] == [None] * 3
        process.forget()
        stranger.forget()


def test_the_process_ends_with_whoever_started_it(spool: Spool, process: ReadingProcess):
    """End of file on its standard input ends it: a front that was killed leaves no reader."""
    process.submit([store(spool, 1)])
    process.collect()
    child = process._child
    assert child is not None
    assert child.stdin is not None
    child.stdin.close()
    wait_until(lambda: child.poll() is not None, 10, "its end")
    assert child.returncode == 0


def test_a_process_that_cannot_be_started_is_a_fault_that_passes(
    spool: Spool, process: ReadingProcess, monkeypatch: pytest.MonkeyPatch
):
    """While the machine has no room for a process, whoever collects hears so; then all is read."""
    batch = [store(spool, number) for number in range(3)]
    process.forget()  # as if the machine had killed it

    def no_room(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as machine:
        machine.setattr("node.reading.subprocess.Popen", no_room)
        for _ in range(2):
            process.submit(batch)
            with pytest.raises(StorageFault, match="no process can be started"):
                process.collect()
        with pytest.raises(StorageFault):
            ReadingProcess(spool.root)
    process.submit(batch[:2])  # what came before it is forgotten
    assert [one.fault for one in process.collect()] == [None] * 2


def test_whoever_waits_for_the_process_shows_life(
    spool: Spool, process: ReadingProcess, monkeypatch: pytest.MonkeyPatch
):
    """While the process takes long, who waits for it beats, so that nobody restarts the node."""
    monkeypatch.setattr("node.line_pipe.BEAT_S", 0.02)
    child = process._child
    assert child is not None
    batch = [store(spool, 1)]
    os.kill(child.pid, signal.SIGSTOP)
    beats = []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 3:
            os.kill(child.pid, signal.SIGCONT)

    process.beat = beat
    process.submit(batch)
    assert [one.fault for one in process.collect()] == [None]
    assert len(beats) >= 3
    assert process._child is child


@pytest.mark.parametrize("count", [1, 600])
def test_a_process_that_hangs_is_replaced(
    spool: Spool, process: ReadingProcess, monkeypatch: pytest.MonkeyPatch, count: int
):
    """A process that neither answers nor takes in what it is asked is ended, and nobody hangs."""
    monkeypatch.setattr("node.line_pipe.BEAT_S", 0.02)
    monkeypatch.setattr("node.reading.TIMEOUT_S", 0.1)
    batch = [store(spool, 1)] * count  # 600 are asked for by more than a pipe holds
    assert process._child is not None
    os.kill(process._child.pid, signal.SIGSTOP)
    process.submit(batch)
    monkeypatch.setattr("node.reading.TIMEOUT_S", 30)
    if count > 1:
        assert process._child is None
    else:
        process._pipe._beat = lambda: os.kill(process._child.pid, signal.SIGKILL)
    assert [one.fault for one in process.collect()] == [None] * count


def test_a_large_object_has_its_time(spool: Spool):
    """An object of 25 GB may take minutes on a slow disk, and is not held for that."""
    record = store(spool, 1)
    large = replace(record, location=replace(record.location, length=25 * 10**9))
    assert patience_s([record]) == pytest.approx(reading.TIMEOUT_S, 1e-3)
    assert patience_s([large]) > 25e9 / 100e6


def test_an_answer_that_makes_no_sense_is_no_bug_of_the_front(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A process that answers too much, or no JSON, has its objects held like one that dies."""
    batch = [store(spool, 1)]
    for answer in ("[1, 2, 3]", "no JSON"):
        script = tmp_path / "babbles.py"
        script.write_text(f"import sys\nfor _ in sys.stdin: print({answer!r}, flush=True)\n")
        process = ReadingProcess(spool.root)
        monkeypatch.setattr(process, "_command", [reading.sys.executable, script])
        process.forget()
        process.submit(batch)
        assert [one.fault and one.fault.code for one in process.collect()] == ["cannot-understand"]
        process.forget()
