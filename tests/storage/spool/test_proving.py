"""A run of small objects is proven as each alone would be, and quicker."""

import contextlib
import dataclasses
import mmap
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.entity import Arrival, Location
from dicom.errors import Corrupt
from storage.spool import proving, record
from storage.spool.forwarding import note
from storage.spool.proving import WHOLE_BYTES, Run
from storage.spool.reader import SpoolReader


@pytest.fixture
def run(root):
    """A run over the spool."""
    with closing(Run(SpoolReader(root))) as made:
        yield made


def spoil(root, at):
    """Flip a bit in the only segment."""
    (segment,) = [*root.glob("*.open"), *root.glob("*.seg")]
    with segment.open("r+b") as stream:
        stream.seek(at)
        (was,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([was ^ 1]))


@pytest.mark.parametrize("size", [0, 1, 5000, WHOLE_BYTES, WHOLE_BYTES + 1])
def test_a_run_gives_what_was_written(spool, objects, run, size):
    """Every object of a run comes whole, read-only and in its own bytes."""
    stored = [objects.store(spool, objects.body(size, n), f"2.25.{n}") for n in range(3)]
    for number, instance in enumerate(stored):
        found = run.proven(instance)
        assert found == objects.body(size, number)
        assert found.readonly


@pytest.mark.parametrize("of", ["body", "facts", "prefix"])
def test_damage_is_found_in_a_run(spool, root, objects, run, of):
    """A flipped bit in body, facts or prefix makes that object a fault, and no other."""
    first, second = (objects.store(spool, objects.body(9000, n), f"2.25.{n}") for n in (1, 2))
    offset = second.location.offset
    found = SpoolReader(root).record_at(second.location)
    start = offset - len(record.encode_facts(found.arrival)) - record.PREFIX_BYTES
    spoil(root, {"body": offset + 8999, "facts": offset - 9, "prefix": start + 13}[of])
    assert run.proven(first) == objects.body(9000, 1)
    with pytest.raises(Corrupt, match=r"2\.25\.2:.*checksum"):
        run.proven(second)


def test_another_objects_place_is_not_given(spool, objects, run):
    """An Instance that names the place of another is a fault, though nothing is damaged there."""
    instance = objects.store(spool, b"x" * 100, "2.25.7")
    for uid in ("2.25.8", "2.25", "5.7"):
        other = dataclasses.replace(instance, arrival=objects.arrival(uid))
        with pytest.raises(Corrupt, match="checksum"):
            run.proven(other)


def test_a_moved_object_is_found(spool, root, objects, run):
    """What was copied into another segment is read there once its own is gone."""
    instance = objects.store(spool, objects.body(500), "2.25.7")
    there = objects.store(spool, objects.body(500), "2.25.7")
    old = Location("gone", 64, 500)
    note(root, "gone", {old: there.location})
    assert run.proven(dataclasses.replace(instance, location=old)) == objects.body(500)
    with pytest.raises(Corrupt, match="cannot be opened"):
        run.proven(dataclasses.replace(instance, location=Location("none", 64, 500)))


def test_a_run_leaves_nothing_open(spool, root, objects):
    """Of a segment that is removed nothing is kept once the run and its views have ended."""
    stored = [objects.store(spool, objects.body(500), f"2.25.{n}") for n in range(3)]
    run = Run(SpoolReader(root))
    views = [run.proven(one) for one in stored]
    run.close()
    del views
    held = Path("/proc/self/maps").read_text().count(str(root))
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            held += str(descriptor.readlink()).startswith(str(root))
    assert held == 2  # the writer's own: the folder and the segment
    run.close()


def test_where_nothing_can_be_mapped_it_is_read(spool, objects, run, monkeypatch):
    """A kernel that knows no MADV_POPULATE_READ, or a disk that fails, costs a copy at most."""
    instance = objects.store(spool, objects.body(9000), "2.25.7")

    class Poor(mmap.mmap):
        def madvise(self, *_arguments):
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(proving.mmap, "mmap", Poor)
    assert run.proven(instance) == objects.body(9000)


TEXT = st.text(max_size=20) | st.just('"sop_instance_uid":"2.25.7"') | st.just("PnbR")


@given(calling=TEXT, association=TEXT, uid=st.sampled_from(["2.25.7", "2.25.8"]))
def test_what_is_not_decoded_is_judged_the_same(calling, association, uid):
    """Whatever a peer calls itself, an Instance is found by its own UID alone."""
    arrival = Arrival("1.2", uid, "1.2.1", calling, "P", association, "h", 1.0)
    facts = record.encode_facts(arrival)
    checksum = record.checksum_of(b"body")
    head = record.make_prefix("s", 8, facts, 4, checksum) + facts
    place = Location("s", 8 + len(head), 4)
    assert record.plain_checksum(b"before" + head, place, "2.25.9") is None
    assert record.plain_checksum(b"before" + head, place, uid) in {None, checksum}
    if "PnbR" not in calling + association:
        assert record.plain_checksum(b"before" + head, place, uid) == checksum
    elsewhere = dataclasses.replace(place, segment="t")
    assert record.plain_checksum(b"before" + head, elsewhere, uid) is None
