"""Following the log: every committed object once, whoever wrote it, and past any damage."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

from dicom.errors import SpoolFull, StorageFault
from storage.spool.deposit import deposit
from storage.spool.publication import LOOK_EVERY_S
from storage.spool.reader import SpoolReader
from storage.spool.segment import BUFFER_BYTES


def test_records_follow_from_a_position(spool, objects):
    """A follower that gives back each record's end never sees it again, and misses none."""
    position: dict[str, int] = {}
    stored = []
    for number in range(5):
        stored.append(objects.store(spool, b"x" * number, f"2.25.{number}"))
        (record,) = spool.records(position)
        assert SpoolReader(spool.root).identify(record) == stored[-1]
        position[record.location.segment] = record.end
    assert objects.of(spool) == stored


@pytest.mark.p1
def test_threads_and_a_follower(open_spool, objects):
    """Every object that any thread committed is followed exactly once, and nothing else is."""
    done = threading.Event()

    def associate(thread):
        return [_one_of_many(spool, objects, thread, number) for number in range(40)]

    def follow():
        position: dict[str, int] = {}
        seen = []
        while True:
            is_last = done.is_set()
            for record in spool.records(position):
                instance = SpoolReader(spool.root).identify(record)
                position[record.location.segment] = record.end
                seen.append(instance)
            if is_last:
                return seen
            spool.wait(0.1)

    with open_spool(segment_bytes=300_000) as spool, ThreadPoolExecutor(7) as threads:
        follower = threads.submit(follow)
        try:
            stored = [one for many in threads.map(associate, range(6)) for one in many]
        finally:
            done.set()
        seen = follower.result(60)
    assert len(seen) == len(stored) == 240
    assert {one.arrival.sop_instance_uid: one for one in seen} == {
        one.arrival.sop_instance_uid: one for one in stored
    }


def _one_of_many(spool, objects, thread, number):
    uid = f"2.25.{thread}{number:03d}"
    if number % 5 == 4:
        with spool.begin(objects.arrival(f"{uid}.9")) as recording:
            recording.write(objects.body(2 * BUFFER_BYTES))
    size = 1_200_000 if number % 13 == 0 else 100 * number
    return objects.store(spool, objects.body(size, number), uid)


@pytest.mark.p1
def test_wait_wakes_on_commit(spool, objects):
    """A follower wakes when something is committed, also when it was between asking and waiting."""
    assert list(spool.records({})) == []
    assert spool.wait(0) is False
    objects.store(spool, b"x")
    assert spool.wait(0) is True
    assert len(list(spool.records({}))) == 1
    assert spool.wait(0) is False
    woken = threading.Event()
    follower = threading.Thread(target=lambda: spool.wait(20) and woken.set())
    follower.start()
    objects.store(spool, b"y", "2.25.2")
    assert woken.wait(10)
    follower.join()


def test_counting_what_is_not_followed(open_spool, root, objects, monkeypatch):
    """The records behind a position are counted up to a bound; one's own without reading them."""
    with open_spool() as spool:
        for number in range(3):
            objects.store(spool, b"x", f"2.25.{number}")
    with open_spool(segment_bytes=300) as spool:
        ours = [objects.store(spool, b"y" * 300 * (number % 2), f"2.25.1{number}").location
                for number in range(6)]  # fmt: skip
        assert len({one.segment for one in ours}) > 1
        records = list(spool.records({}))
        assert [spool.count({}, most) for most in (100, 9, 8, 3, 2, 0)] == [9, 9, 8, 3, 2, 0]
        position: dict[str, int] = {}
        for number, record in enumerate(records):
            reached = {record.location.segment: record.end}
            position |= reached
            assert spool.count(position, 100) == 8 - number
            if number == 3:
                monkeypatch.setattr("storage.spool.publication.walk", lambda *_: 1 / 0)
            if number % 2:
                spool.followed(reached)
                assert spool.count(position, 100) == 8 - number
        objects.store(spool, b"z", "2.25.20")
        assert spool.count(position, 100) == 1


@pytest.mark.p1
def test_a_deposit_is_noticed(spool, root, objects):
    """What a worker deposits is followed by a running front, once, and wakes it."""
    mine = objects.store(spool, b"mine")
    position = {record.location.segment: record.end for record in spool.records({})}
    for number in range(3):
        result = deposit(
            root, objects.arrival(f"2.25.{number}"), (b"re", memoryview(b"sult")), writer="job1-99"
        )
        assert spool.wait(20)
        (record,) = spool.records(position)
        assert record == result
        assert objects.read(root, objects.identified(result, b"result")) == b"result"
        position[result.location.segment] = record.end
    assert len({file.name for file in root.glob("job1-99-*.seg")}) == 3
    assert len({mine.location.segment, *position}) == 4


def test_a_deposit_within_a_tick(spool, root, objects):
    """A deposit is noticed even if the folder's time of change shows nothing new."""
    spool.wait(2 * LOOK_EVERY_S)
    stamp = 1_700_000_000_000_000_000
    os.utime(root, ns=(stamp, stamp))
    assert list(spool.records({})) == []
    spool.wait(LOOK_EVERY_S)
    deposit(root, objects.arrival(), (b"x",), writer="job")
    os.utime(root, ns=(stamp, stamp))
    assert spool.wait(LOOK_EVERY_S * 3)
    assert len(list(spool.records({}))) == 1


def test_a_deposit_needs_a_spool(root, objects):
    """Without a spool a worker's result is a fault with words, not a new folder."""
    with pytest.raises(StorageFault, match="no spool"):
        deposit(root, objects.arrival(), (b"x",), writer="job")
    with pytest.raises(ValueError, match="letters"):
        deposit(root, objects.arrival(), (b"x",), writer="../job")
    assert not root.exists()


def test_a_failed_deposit_leaves_nothing(spool, root, objects):
    """A worker whose result breaks off half-way leaves no file behind."""

    def broken():
        yield b"x" * (3 * BUFFER_BYTES)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        deposit(root, objects.arrival(), broken(), writer="job")
    with pytest.raises(SpoolFull, match="reserve"):
        deposit(root, objects.arrival(), (b"x",), writer="job", reserve_bytes=1 << 62)
    assert list(root.glob("job*")) == []


def test_damage_is_passed_over(open_spool, root, objects):
    """Damage in a sealed segment hides neither what is before nor what is after it, told once."""
    with open_spool() as spool:
        stored = [objects.store(spool, b"x" * 300, f"2.25.{number}") for number in range(3)]
    (sealed,) = root.glob("*.seg")
    _flip(sealed, stored[1].location.offset - 20)
    _flip(sealed, stored[2].location.offset - 20)
    with open_spool() as spool, structlog.testing.capture_logs() as logs:
        for _ in range(2):
            assert objects.of(spool) == stored[:1]
        last = objects.store(spool, b"new", "2.25.9")
        assert objects.of(spool) == [stored[0], last]
    assert [line["event"] for line in logs] == ["segment damaged"]
    _flip(sealed, stored[2].location.offset - 20)
    with open_spool() as spool:
        assert objects.of(spool) == [stored[0], stored[2], last]


def test_a_missing_segment_is_passed_over(open_spool, root, objects):
    """A segment that vanished is told once and does not stop the follower."""
    with open_spool(segment_bytes=1) as spool, structlog.testing.capture_logs() as logs:
        lost, kept = objects.store(spool, b"a"), objects.store(spool, b"b", "2.25.2")
        (root / f"{lost.location.segment}.seg").unlink()
        for _ in range(2):
            assert objects.of(spool) == [kept]
    assert [(line["event"], line["segment"]) for line in logs] == [
        ("segment missing", lost.location.segment)
    ]


def _flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)
