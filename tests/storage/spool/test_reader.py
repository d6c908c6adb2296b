"""Reading Instances back: streams, views, digests."""

import dataclasses
import io
import mmap
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.entity import Location
from dicom.errors import Corrupt
from storage.spool import reader as reader_module
from storage.spool.proving import WHOLE_BYTES
from storage.spool.reader import SpoolReader
from storage.spool.window import Window


@given(
    content=st.binary(max_size=200),
    before=st.integers(0, 50),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.integers(-1, 300)),
            st.tuples(st.just("set"), st.integers(0, 300)),
            st.tuples(st.just("end"), st.integers(-200, 50)),
            st.tuples(st.just("here"), st.integers(-50, 50)),
        ),
        max_size=20,
    ),
)
def test_a_stream_is_like_a_file(content, before, steps):
    """The window onto an object answers read, seek and tell as a file of its bytes would."""
    fd = os.memfd_create("segment")
    os.write(fd, b"<" * before + content + b">" * 60)
    like = io.BytesIO(content)
    with io.BufferedReader(Window(fd, Location("s", before, len(content))), 16) as stream:
        for step, number in steps:
            if step == "read":
                assert stream.read(number) == like.read(number)
                continue
            whence = {"set": os.SEEK_SET, "end": os.SEEK_END, "here": os.SEEK_CUR}[step]
            base = {"set": 0, "end": len(content), "here": like.tell()}[step]
            if base + number < 0:
                continue
            assert stream.seek(number, whence) == like.seek(number, whence)
            assert stream.tell() == like.tell()


def test_streams_are_independent(spool, root, objects):
    """Two streams onto one object have positions of their own."""
    instance = objects.store(spool, objects.body(5000))
    reader = SpoolReader(root)
    with reader.open(instance.location) as one, reader.open(instance.location) as other:
        one.seek(4000)
        assert other.read(10) == objects.body(5000)[:10]
        assert one.read() == objects.body(5000)[4000:]
        with pytest.raises(ValueError, match="negative"):
            one.seek(-1)


def test_a_view_is_the_object(spool, root, objects):
    """A view holds the object's bytes, read-only, while the segment grows, and after sealing."""
    reader = SpoolReader(root)
    first = objects.store(spool, objects.body(3000, 1))
    view = reader.view(first.location)
    second = objects.store(spool, objects.body(20 << 20, 2), "2.25.2")
    assert reader.view(second.location) == objects.body(20 << 20, 2)
    assert reader.view(objects.store(spool, b"").location) == b""
    spool.close()
    assert view == objects.body(3000, 1)
    assert view.readonly


def mappings(root: Path) -> int:
    """Count the mappings of segments that this process holds."""
    return Path("/proc/self/maps").read_text().count(f"{root}/")


def test_a_run_of_small_objects_shares_a_mapping(spool, root, objects, monkeypatch):
    """What follows one another is mapped once, and no more of a segment than a stretch is held."""
    monkeypatch.setattr(reader_module, "STRETCH_BYTES", 1 << 20)
    stored = [objects.store(spool, objects.body(90_000, n), f"2.25.{n}") for n in range(30)]
    made = []
    mapped = mmap.mmap
    monkeypatch.setattr(
        mmap, "mmap", lambda *those, **more: made.append(1) or mapped(*those, **more)
    )
    reader = SpoolReader(root)
    assert [reader.identify(record) for record in spool.records({})] == stored
    assert len(made) == len({one.location.offset >> 20 for one in stored}) == 3
    views = [reader.view(one.location) for one in stored]
    assert mappings(root) == 3
    del views[:24]
    assert mappings(root) == 1
    del views, reader
    assert mappings(root) == 0


def test_a_restored_segment_is_read(open_spool, root, objects):
    """What was spoilt is read again once its segment was replaced, however often it was tried."""
    with open_spool() as spool:
        stored = objects.store(spool, objects.body(5000))
    (segment,) = root.glob("*.seg")
    whole = segment.read_bytes()
    spoilt = bytearray(whole)
    spoilt[stored.location.offset] ^= 1
    segment.write_bytes(spoilt)
    with open_spool() as spool:
        (record,) = spool.records({})
    reader = SpoolReader(root)
    for _ in range(2):
        with pytest.raises(Corrupt, match="checksum"):
            reader.identify(record)
    backup = segment.with_suffix(".backup")
    backup.write_bytes(whole)
    backup.replace(segment)
    assert reader.identify(record) == stored


def test_a_segment_that_shrank_is_corrupt(open_spool, root, objects):
    """A segment that was cut after it was mapped is a fault; to touch it would kill the process."""
    with open_spool() as spool:
        stored = objects.store(spool, objects.body(50_000))
    reader = SpoolReader(root)
    assert reader.view(stored.location) == objects.body(50_000)
    (segment,) = root.glob("*.seg")
    os.truncate(segment, 10_000)
    with pytest.raises(Corrupt, match="ends before"):
        reader.view(stored.location)


def test_verify_finds_every_flipped_bit(spool, root, objects):
    """One flipped bit anywhere in an object is found, and the words name it."""
    instance = objects.store(spool, objects.body(64), "2.25.77")
    reader = SpoolReader(root)
    reader.verify(instance)
    (segment,) = root.glob("*.open")
    fd = os.open(segment, os.O_RDWR)
    for place in range(64):
        at = instance.location.offset + place
        (byte,) = os.pread(fd, 1, at)
        os.pwrite(fd, bytes([byte ^ (1 << place % 8)]), at)
        with pytest.raises(Corrupt, match=r"2\.25\.77.*digest"):
            reader.verify(instance)
        os.pwrite(fd, bytes([byte]), at)
    reader.verify(instance)
    os.close(fd)


@pytest.mark.parametrize("way", ["open", "view", "verify", "proven"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"segment": "gone-000001"}, "cannot be opened.*backup"),
        ({"length": 1 << 40}, "ends before"),
    ],
)
def test_what_is_not_there_is_corrupt(spool, objects, way, changes, words):
    """A missing segment, or one that is too short, is a fault with words, never a crash."""
    stored = objects.store(spool, b"x" * 100)
    elsewhere = dataclasses.replace(stored.location, **changes)
    instance = dataclasses.replace(stored, location=elsewhere)
    act = getattr(SpoolReader(spool.root), way)
    with pytest.raises(Corrupt, match=words):
        act(instance if way in {"verify", "proven"} else instance.location)


@pytest.mark.parametrize("size", [64, WHOLE_BYTES + 1])
@pytest.mark.parametrize("at", [0, 31, -1])
def test_what_is_proven_is_what_was_written(spool, root, objects, size, at):
    """A flipped bit is found in small objects and in large ones; none is given unproven."""
    content = objects.body(size)
    objects.store(spool, content, "2.25.6")
    instance = objects.store(spool, content, "2.25.7")
    reader = SpoolReader(root)
    given = reader.proven(instance)
    assert given == content
    assert given.readonly
    (segment,) = root.glob("*.open")
    with segment.open("r+b") as stream:
        stream.seek(instance.location.offset + at % size)
        stream.write(bytes([content[at] ^ 1]))
    with pytest.raises(Corrupt, match=r"2\.25\.7:.*checksum"):
        reader.proven(instance)


def test_a_small_object_is_proven_without_a_mapping(spool, root, objects):
    """A Series of small objects that goes by does not count as the process's memory."""
    stored = [objects.store(spool, objects.body(9000, n), f"2.25.{n}") for n in range(5)]
    reader = SpoolReader(root)
    assert [reader.proven(one) for one in stored] == [objects.body(9000, n) for n in range(5)]
    assert mappings(root) == 0


@pytest.mark.parametrize("name", ["short", "x" * 3000])
def test_an_object_is_proven_as_its_own(spool, root, objects, name):
    """An Instance that names another's place is none, however long its record is."""
    arrival = dataclasses.replace(objects.arrival("2.25.7"), address=name)
    with spool.begin(arrival) as recording:
        recording.write(b"x" * 100)
        instance = objects.identified(recording.commit(), b"x" * 100)
    reader = SpoolReader(root)
    assert reader.proven(instance) == b"x" * 100
    other = dataclasses.replace(instance, arrival=objects.arrival("2.25.8"))
    with pytest.raises(Corrupt, match="checksum"):
        reader.proven(other)


def test_a_wrong_digest_is_corrupt(spool, root, objects):
    """An Instance whose digest is another's does not pass."""
    instance = objects.store(spool, b"x" * 100)
    with pytest.raises(Corrupt):
        SpoolReader(root).verify(dataclasses.replace(instance, digest="0" * 64))
