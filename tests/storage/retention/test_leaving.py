"""Bytes leave when nothing needs them; what is needed moves aside, and every reader finds it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicom.attributes import Level
from dicom.errors import Corrupt, SpoolFull
from routing.retention import Policy
from storage.ledger.holdings import Released
from storage.spool import compaction
from storage.spool.forwarding import MOVED
from storage.spool.reader import SpoolReader
from storage.spool.sealing import SpoolKey, SpoolKeys
from storage.spool.spool import Spool

DAY = 86_400.0
AT_ONCE = Policy(keep_s=0)


@pytest.mark.p2
def test_what_is_proven_leaves_and_its_row_stays(world):
    """The files of a delivered Series go; who, when and where it went stays on record."""
    world.delivered(range(6))
    world.seal()
    assert world.let_go() == 6
    assert world.sweep() == 2
    assert world.segments() == []
    assert world.here() == set()
    assert len(world.rows()) == len(world.ledger.receipts.list()) == 6
    assert world.ledger.intake.positions() == {}
    with pytest.raises(Released, match="6 objects left the spool, the last on 1970-01-01, and are"):
        world.ledger.holdings.require_all(world.key())
    with pytest.raises(Released, match="held by out"):
        world.ledger.holdings.require_owed(world.key(), "elsewhere", "")
    world.ledger.holdings.require_owed(world.key(), "out", "")


def test_what_has_left_is_named_at_every_level(world):
    """Studies, Series and Instances of which something has left are told from the others."""
    world.delivered(range(2))
    world.receive([7], 2)
    first, second = world.key(1), world.key(2)
    study, gone, here = first.study_instance_uid, world.uid(0), world.uid(7)
    released = world.ledger.holdings.released
    assert released(Level.STUDY, [study]) == frozenset()
    world.seal()
    assert world.let_go() == 2
    assert released(Level.STUDY, [study, "1.9"]) == {study}
    asked = [first.series_instance_uid, second.series_instance_uid]
    assert released(Level.SERIES, asked) == {first.series_instance_uid}
    assert released(Level.SERIES, asked, [study]) == {first.series_instance_uid}
    assert released(Level.SERIES, asked, ["1.9"]) == frozenset()
    assert released(Level.IMAGE, [gone, here]) == {gone}


@pytest.mark.p2
@pytest.mark.parametrize("who", ["ledger", "index"])
def test_what_is_not_filed_stays(world, who):
    """A segment that ledger or index have not read to its end stays, and leaves once they have."""
    world.delivered(range(2))
    world.let_go()
    if who == "ledger":
        world.store(2)
    world.spool.close()
    read = dict(world.index.positions)
    if who == "index":
        world.index.positions.clear()
    world.spool = world.leaving._spool = Spool.open(
        world.root, segment_bytes=12_000, reserve_bytes=0
    )
    assert world.sweep() == 0
    assert len(world.segments()) == 1
    world.index.positions.update(read)
    world.reopen()
    assert world.sweep() == 1
    assert world.here() == ({2} if who == "ledger" else set())


@pytest.mark.p2
def test_an_open_segment_stays(world):
    """A segment that is still being written to does not leave, whatever is in it."""
    world.delivered(range(2))
    assert world.let_go() == 2
    assert world.sweep() == 0
    world.reader.verify(next(iter(world.rows().values()))[0])
    world.receive([7])
    assert 7 in world.here()


@pytest.mark.p2
@pytest.mark.parametrize("kind", ["plain", "sealed", "becomes sealed", "new key"])
def test_what_is_needed_is_copied_out(tmp_path, world, kind):
    """Of a segment with few objects still owed those are copied, encrypted as today's key asks."""
    old, new = SpoolKey(b"k" * 32), SpoolKey(b"n" * 32)
    if kind in {"sealed", "new key"}:
        world.keys = SpoolKeys(old)
        world.reopen()
    world.receive(range(3), 1, size=1_500)
    world.settle(1)
    world.deliver(1)
    world.receive([9], 2, size=1_000)
    world.settle(2)
    world.keys = {
        "plain": SpoolKeys(),
        "sealed": SpoolKeys(None, [old]),
        "becomes sealed": SpoolKeys(new),
        "new key": SpoolKeys(new, [old]),
    }[kind]
    world.seal()
    (before,) = world.segments()
    known = {where: row for where, (row, _) in world.rows().items()}
    assert world.let_go() == 3
    assert world.sweep() == 1
    assert world.here() == {9}
    (after,) = world.segments()
    assert after.startswith(before.removesuffix(".seg") + ".c")
    assert world.spool.wait(20), "the log has a new segment"
    (record,) = [one for one in world.spool.records({}) if one.location.segment == after[:-4]]
    assert bool(record.key_id) == (kind != "plain")
    assert record.key_id in {"", (old if kind == "sealed" else new).id}
    world.follow()
    assert len(world.rows()) == 4, "a copy is no object more"
    (instance,) = [row for (uid, _), row in known.items() if uid == world.uid(9)]
    assert instance.location.segment == before[:-4]
    SpoolReader(world.root, world.keys).verify(instance)
    assert len(bytes(SpoolReader(world.root, world.keys).view(instance.location))) == (
        instance.location.length
    )
    world.deliver(2)
    assert world.let_go() == 1
    assert world.sweep() == 1
    assert world.segments() == []


def test_readers_that_hold_a_place_read_on(world):
    """A stream, a view, and a place that was looked up before its segment left all still work."""
    world.delivered(range(3))
    world.receive([9], 2, size=500)
    world.settle(2)
    world.seal()
    (mine,) = [row for (uid, _), (row, _) in world.rows().items() if uid == world.uid(9)]
    (gone,) = [row for (uid, _), (row, _) in world.rows().items() if uid == world.uid(0)]
    reader, other = SpoolReader(world.root), SpoolReader(world.root)
    with reader.open(gone.location) as stream:
        view = bytes(other.view(gone.location)), other.view(gone.location)
        world.let_go()
        assert world.sweep() == 1
        assert stream.read() == view[0] == bytes(view[1])
    late = SpoolReader(world.root)
    late.verify(mine)
    assert late.record_at(mine.location).arrival == mine.arrival
    first, second = late.view(mine.location), late.view(mine.location)
    assert first.obj is second.obj
    with pytest.raises(Corrupt, match="cannot be opened"):
        late.view(gone.location)
    world.leaving.go_on(2e12)
    assert not list(world.root.glob(f"*{MOVED}"))
    with pytest.raises(Corrupt, match="cannot be opened"):
        SpoolReader(world.root).view(mine.location)
    assert world.here() == {9}


@pytest.mark.p2
def test_workers_read_while_segments_leave(world):
    """Who reads what is owed, by places of now or of long ago, never fails while files leave."""
    for number in range(8):
        world.receive(range(10 * number, 10 * number + 3), 1)
        world.receive([10 * number + 9], 2, size=500)
    world.settle(1)
    world.settle(2)
    world.deliver(1)
    world.seal()
    owed = world.ledger.receipts.owed(world.key(2), "out", "")
    reader, done, passes = SpoolReader(world.root), threading.Event(), []

    def read() -> None:
        while not done.is_set() or len(passes) < 2:
            for one in [*owed, *world.ledger.receipts.owed(world.key(2), "out", "")]:
                reader.verify(one)
                assert len(bytes(reader.view(one.location))) == one.location.length
            passes.append(len(world.segments()))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        world.let_go()
        assert world.sweep() >= 4
        done.set()
        reading.result(timeout=60)
    assert passes[-1] <= 8


@pytest.mark.p2
@pytest.mark.parametrize("fails", ["copy", "seal", "note"])
def test_a_full_disk_leaves_all_as_it_was(world, monkeypatch, fails):
    """Where a copy does not fit, ledger and spool are what they were, and a later try succeeds."""
    world.delivered(range(3))
    world.receive([9], 2, size=500)
    world.settle(2)
    world.seal()
    world.let_go()
    before = world.segments(), world.rows()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    target = {
        "copy": "storage.spool.recording.write_all",
        "seal": "storage.spool.segment.os.fsync",
        "note": "storage.spool.forwarding.write_all",
    }[fails]
    with monkeypatch.context() as patched:
        patched.setattr(target, refuse)
        with pytest.raises(SpoolFull):
            world.sweep()
    world.reopen()
    assert world.rows() == before[1]
    assert world.here() == {9}
    assert set(before[0]) <= set(world.segments())
    world.sweep()
    assert world.here() == {9}
    assert len(world.segments()) == 1


def test_a_copy_needs_room(world, monkeypatch):
    """Nothing is copied where it would take the last of the disk."""
    world.delivered(range(3))
    world.receive([9], 2, size=500)
    world.settle(2)
    world.seal()
    world.let_go()
    monkeypatch.setattr(world.spool, "free_bytes", lambda: 1000)
    assert world.sweep() == 0
    assert world.here() == {9}


@pytest.mark.p7
def test_an_object_that_is_sent_again_is_stored_again(world):
    """Success means bytes on disk, also for what was let go; and it is not delivered twice."""
    world.delivered(range(3))
    world.seal()
    world.let_go()
    world.sweep()
    world.receive(range(3))
    assert world.here() == {0, 1, 2}
    assert world.ledger.receipts.owed(world.key(), "out", "") == []
    world.seal()
    assert world.let_go() == 3
    assert world.sweep() == 1
    assert world.here() == set()


@pytest.mark.p7
def test_a_second_copy_leaves_after_the_first_was_read(world):
    """A duplicate leaves while its first copy is sound; of a damaged one it takes the place."""
    world.receive(range(3))
    world.settle()
    world.seal()
    world.receive(range(3))
    world.seal()
    first, _ = world.segments()
    assert world.sweep() == 1
    assert world.segments() == [first]
    world.receive(range(3))
    world.seal()
    path = world.root / first
    damaged = next(row for (uid, _), (row, _) in world.rows().items() if uid == world.uid(1))
    with path.open("r+b") as file:
        file.seek(damaged.location.offset + 500)
        file.write(b"\xff\x00\xff\x00")
    with pytest.raises(Corrupt):
        world.here()
    assert world.sweep() == 0
    assert world.here() == {0, 1, 2}


@pytest.mark.p2
def test_what_is_damaged_is_not_copied(world):
    """An object whose bytes are not those that came stays where it is, for a person to see."""
    world.delivered(range(3))
    world.receive([9], 2, size=500)
    world.settle(2)
    world.seal()
    world.let_go()
    (name,) = world.segments()
    (mine,) = [row for (uid, _), (row, _) in world.rows().items() if uid == world.uid(9)]
    with (world.root / name).open("r+b") as file:
        file.seek(mine.location.offset + mine.location.length - 40)
        file.write(b"\xff" * 8)
    assert world.sweep() == 0
    assert world.segments() == [name]
    assert world.rows()[world.uid(9), mine.digest][0].location == mine.location


@pytest.mark.p2
def test_what_nobody_knows_or_can_read_stays(world):
    """A segment with damage, or with an object that the ledger does not know, is left alone."""
    world.delivered(range(3))
    world.seal()
    world.let_go()
    (name,) = world.segments()
    path = world.root / name
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(8) + whole[108:])
    assert world.sweep() == 0
    path.write_bytes(whole)
    with world.ledger.database.write() as db:
        db.exec_driver_sql("DELETE FROM instance WHERE sop_instance_uid LIKE '%1001'")
    assert world.sweep(now=4000) == 0
    assert world.segments() == [name]


def test_a_name_sorts_behind_its_source():
    """Rebuilding a ledger meets a copy where its source was: the first object of a UID stays it."""
    copy = compaction.name_after("0191aa-000001")
    assert "0191aa-000001" < copy < "0191aa-000002"
    again = compaction.name_after(copy)
    assert again != copy
    assert len(again) == len(copy)
