"""Objects are proven together as each alone would be, and quicker."""

import contextlib
import dataclasses
import mmap
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.entity import Arrival, Location
from dicom.errors import Corrupt
from storage.spool import proving, record
from storage.spool.forwarding import note
from storage.spool.proving import WHOLE_BYTES, proven
from storage.spool.reader import SpoolReader


@pytest.fixture
def given_of(root):
    """Prove Instances of the spool, in one go."""
    return lambda *instances: list(proven(SpoolReader(root), instances))


def spoil(root, at):
    """Flip a bit in the only segment."""
    (segment,) = [*root.glob("*.open"), *root.glob("*.seg")]
    with segment.open("r+b") as stream:
        stream.seek(at)
        (was,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([was ^ 1]))


@pytest.mark.parametrize("size", [0, 1, 5000, WHOLE_BYTES, WHOLE_BYTES + 1])
def test_each_is_given_as_it_was_written(spool, objects, given_of, size):
    """Every object comes whole, read-only and in its own bytes, in the order that was asked for."""
    stored = [objects.store(spool, objects.body(size, n), f"2.25.{n}") for n in range(3)]
    for order in ((0, 1, 2), (2, 1, 0), (0, 2), (1, 1)):
        found = given_of(*(stored[number] for number in order))
        assert found == [objects.body(size, number) for number in order]
        assert all(one.readonly for one in found)


def test_what_lies_side_by_side_is_mapped_together(spool, objects, given_of, monkeypatch):
    """Four objects of a Series take one map, and another where the next is too large for it."""
    sizes = [9000, 0, 1, 30_000, WHOLE_BYTES + 1, 9000]
    stored = [objects.store(spool, objects.body(n, n), f"2.25.{n}") for n in sizes[:5]]
    stored.append(objects.store(spool, objects.body(9000, 5), "2.25.5"))
    made, real = [], proving._window
    monkeypatch.setattr(proving, "_window", lambda *of: made.append(of[1:]) or real(*of))
    given_of(*stored)
    places = [one.location for one in stored]
    assert made == [(places[0], places[3]), (places[4], places[4]), (places[5], places[5])]


@pytest.mark.parametrize("of", ["body", "facts", "prefix"])
def test_damage_is_found_in_a_run(spool, root, objects, given_of, of):
    """A flipped bit in body, facts or prefix makes that object a fault, and no other."""
    first, second, third = (
        objects.store(spool, objects.body(9000, n), f"2.25.{n}") for n in (1, 2, 3)
    )
    offset = second.location.offset
    found = SpoolReader(root).record_at(second.location)
    start = offset - len(record.encode_facts(found.arrival)) - record.PREFIX_BYTES
    spoil(root, {"body": offset + 8999, "facts": offset - 9, "prefix": start + 13}[of])
    before, found, behind = given_of(first, second, third)
    assert (before, behind) == (objects.body(9000, 1), objects.body(9000, 3))
    assert isinstance(found, Corrupt)
    assert re.search(r"2\.25\.2:.*checksum", str(found))


def test_another_objects_place_is_not_given(spool, objects, given_of):
    """An Instance that names the place of another is a fault, though nothing is damaged there."""
    instance = objects.store(spool, b"x" * 100, "2.25.7")
    for uid in ("2.25.8", "2.25", "5.7"):
        other = dataclasses.replace(instance, arrival=objects.arrival(uid))
        (found,) = given_of(other)
        assert isinstance(found, Corrupt)
        assert "checksum" in str(found)


def test_a_moved_object_is_found(spool, root, objects, given_of):
    """What was copied into another segment is read there once its own is gone."""
    instance = objects.store(spool, objects.body(500), "2.25.7")
    there = objects.store(spool, objects.body(500), "2.25.7")
    old = Location("gone", 64, 500)
    note(root, "gone", {old: there.location})
    moved, gone = (
        dataclasses.replace(instance, location=place) for place in (old, Location("none", 64, 500))
    )
    first, missing, last = given_of(moved, gone, instance)
    assert first == last == objects.body(500)
    assert isinstance(missing, Corrupt)
    assert "cannot be opened" in str(missing)


def test_nothing_is_left_open(spool, root, objects, given_of):
    """Of a segment that is removed nothing is kept once no object of it is held."""
    views = given_of(*(objects.store(spool, objects.body(500), f"2.25.{n}") for n in range(3)))
    assert len(views) == 3
    del views
    held = Path("/proc/self/maps").read_text().count(str(root))
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            held += str(descriptor.readlink()).startswith(str(root))
    assert held == 2  # the writer's own: the folder and the segment


def test_where_nothing_can_be_mapped_it_is_read(spool, objects, given_of, monkeypatch):
    """A kernel that knows no MADV_POPULATE_READ, or a disk that fails, costs a copy at most."""
    instance = objects.store(spool, objects.body(9000), "2.25.7")

    refused = []

    class Poor(mmap.mmap):
        def madvise(self, *arguments):
            refused.append(arguments)
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(proving.mmap, "mmap", Poor)
    assert given_of(instance) == [objects.body(9000)]
    assert refused == [(proving._MADV_POPULATE_READ,)]


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
