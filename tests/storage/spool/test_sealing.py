"""Encryption at rest: nothing readable on disk, nothing opened that was changed, nothing lost."""

import dataclasses
import hashlib
import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.entity import Instance
from dicom.errors import Corrupt, StorageFault
from storage.spool import record as record_form
from storage.spool.crash import POINTS, VARIABLE
from storage.spool.deposit import deposit
from storage.spool.reader import SpoolReader
from storage.spool.record import Record
from storage.spool.recording import Recording
from storage.spool.sealing import (
    FRAME_BYTES,
    HEADER_BYTES,
    TAG_BYTES,
    NoKey,
    Seal,
    SpoolKey,
    SpoolKeys,
    sealed_bytes,
)
from storage.spool.segment import BUFFER_BYTES, Room, Segment
from storage.spool.survey import newest_key_id, survey

KEY = SpoolKey(bytes(range(32)))
OTHER = SpoolKey(bytes(range(1, 33)))
KEYS = SpoolKeys(KEY)
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
EDGES = (0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES + 5)
WAYS = ("open", "view", "verify", "identify")

FRONT = """
import sys
from pathlib import Path
from storage.spool.sealing import SpoolKey
from storage.spool.spool import Spool
sys.path.insert(0, "tests/storage/spool")
from conftest import Objects
objects = Objects()
key = SpoolKey(bytes(range(32)))
with Spool.open(Path(sys.argv[1]), segment_bytes=6_000_000, reserve_bytes=0, key=key) as spool:
    for number in range(8):
        size = 2_500_000 if number % 2 else 36_000
        with spool.begin(objects.arrival(f"2.25.{number}")) as recording:
            recording.write(objects.body(size, number))
            recording.commit()
        print(number, flush=True)
"""


@pytest.fixture
def sealed(open_spool):
    with open_spool(key=KEY) as spool:
        yield spool


@pytest.fixture
def reader(root) -> SpoolReader:
    return SpoolReader(root, KEYS)


def whole(reader: SpoolReader, instance: Instance) -> bytes:
    """Read an object in every way; they must agree."""
    reader.verify(instance)
    view = bytes(reader.view(instance.location))
    with reader.open(instance.location) as stream:
        assert stream.read() == view
    return view


def attempt(reader: SpoolReader, way: str, record: Record, digest: str) -> object:
    """Read an object in one way, to the end."""
    if way == "open":
        with reader.open(record.location) as stream:
            return stream.read()
    if way == "view":
        return bytes(reader.view(record.location))
    if way == "identify":
        return reader.identify(record)
    return reader.verify(Instance(record.arrival, record.location, digest))


@pytest.mark.parametrize("length", [*EDGES, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES])
def test_what_was_sealed_comes_back(sealed, reader, objects, length):
    """Objects of every size around the edges of frames and buffer are read as they were sent."""
    body = objects.body(length)
    instances = [objects.store(sealed, body, f"2.25.{number}") for number in range(3)]
    found = [reader.identify(record) for record in sealed.records({})]
    assert found == instances
    assert [whole(reader, one) for one in found] == [body] * 3
    assert {one.location.length for one in found} == {length}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_size_in_any_chunks(objects, data):
    """However the bytes of several objects come in, each is read back whole and in pieces."""
    lengths = data.draw(st.lists(st.integers(0, 3 * FRAME_BYTES), min_size=1, max_size=3))
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        root = Path(folder)
        segment = Segment.create(root, "a-1", Room(root, 0))
        reader = SpoolReader(root, KEYS)
        for number, length in enumerate(lengths):
            body = objects.body(length, number)
            chunk = data.draw(st.integers(1000, 2 * FRAME_BYTES))
            told = objects.arrival(f"2.25.{number}")
            facts = record_form.encode_facts(told)
            with Recording(segment, told, facts, lambda *_: None, KEY) as recording:
                for start in range(0, length, chunk):
                    recording.write(body[start : start + chunk])
                record = recording.commit()
            assert whole(reader, objects.identified(record, body)) == body
            like = io.BytesIO(body)
            with reader.open(record.location) as stream:
                for _ in range(4):
                    place = data.draw(st.integers(0, length + 5))
                    count = data.draw(st.integers(0, FRAME_BYTES + 5))
                    assert stream.seek(place) == like.seek(place)
                    assert stream.read(count) == like.read(count)
                assert stream.seek(-min(9, length), 2) == like.seek(-min(9, length), 2)
                assert stream.read() == like.read()
        segment.seal()


@pytest.mark.p6
def test_nothing_of_an_object_is_readable_on_disk(sealed, root, objects):
    """Neither a name nor a pixel of a committed, a half sent or an abandoned object is on disk."""
    name, pixels = b"KANARIENVOGEL^HANS", objects.body(64, 7)
    body = (name + pixels) * (3 * BUFFER_BYTES // 82)
    objects.store(sealed, body)
    objects.store(sealed, body[:5000], "2.25.2")
    abandoned = sealed.begin(objects.arrival("2.25.3"))
    abandoned.write(body)
    abandoned.abandon()
    halfway = sealed.begin(objects.arrival("2.25.4"))
    halfway.write(body)
    content = b"".join(file.read_bytes() for file in root.iterdir())
    assert len(content) > 2 * len(body)
    assert name not in content
    assert pixels[:16] not in content
    assert b"2.25.2" in content  # the facts are not sealed, and say so
    halfway.abandon()


def test_the_same_object_is_never_sealed_the_same(sealed, root, objects):
    """Two copies of one object have nothing in common on disk: each record has its own key."""
    body = bytes(FRAME_BYTES * 2)
    places = [objects.store(sealed, body, f"2.25.{number}").location for number in range(2)]
    content = next(root.glob("*.open")).read_bytes()
    salts = {content[one.offset - HEADER_BYTES + 8 : one.offset - 8] for one in places}
    assert len(salts) == 2
    cut = [content[one.offset : one.offset + sealed_bytes(one.length)] for one in places]
    frames = [
        each[start : start + 4096]
        for each in cut
        for start in range(0, len(each), FRAME_BYTES + TAG_BYTES)
    ]
    assert len(set(frames)) == len(frames) == 6


@given(pieces=st.lists(st.integers(0, 3), max_size=4), rest=st.integers(0, FRAME_BYTES - 1))
@settings(max_examples=50, deadline=None)
def test_no_nonce_repeats_under_a_key(pieces, rest):
    """However a body is cut into pieces, every frame has an index of its own; one is the last."""
    used = []

    class Spy:
        def seal(self, index, frame, *, is_last):
            used.append((index, is_last, len(frame)))
            return b""

    seal = Seal(b"", Spy())
    for count in pieces:
        seal.frames(memoryview(bytes(count * FRAME_BYTES)), is_last=False)
    seal.frames(memoryview(bytes(rest)), is_last=True)
    assert [index for index, _, _ in used] == list(range(sum(pieces) + 1))
    assert [is_last for _, is_last, _ in used] == [False] * sum(pieces) + [True]
    assert used[-1][2] == rest
    with pytest.raises(ValueError, match="within a frame"):
        seal.frames(memoryview(bytes(5)), is_last=False)


def test_a_frame_knows_whether_it_is_the_last(objects):
    """A frame from the middle does not open as the last one, nor the last as one of the middle."""
    cipher = KEY.opener(bytes(HEADER_BYTES), "a-1", 0)
    for is_last in (False, True):
        sealed = cipher.seal(3, memoryview(objects.body(100)), is_last=is_last)
        assert cipher.open(3, sealed, is_last=is_last) == objects.body(100)
        with pytest.raises(Corrupt):
            cipher.open(3, sealed, is_last=not is_last)
        with pytest.raises(Corrupt):
            cipher.open(4, sealed, is_last=is_last)


@pytest.mark.parametrize("way", WAYS)
def test_every_changed_byte_is_found(sealed, reader, root, objects, way):
    """One changed bit anywhere in a sealed object or its header is found before a byte is used."""
    instance = objects.store(sealed, objects.body(100))
    (record,) = sealed.records({})
    attempt(reader, way, record, instance.digest)
    start = instance.location.offset - HEADER_BYTES
    fd = os.open(next(root.glob("*.open")), os.O_RDWR)
    for at in range(start, instance.location.offset + sealed_bytes(100)):
        (byte,) = os.pread(fd, 1, at)
        os.pwrite(fd, bytes([byte ^ (1 << at % 8)]), at)
        with pytest.raises(Corrupt):
            attempt(reader, way, record, instance.digest)
        os.pwrite(fd, bytes([byte]), at)
    os.close(fd)
    attempt(reader, way, record, instance.digest)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trick", ["swap", "shorter", "longer", "moved", "other segment", "torn"])
def test_frames_stay_where_they_were_sealed(sealed, root, objects, way, trick):
    """Frames swapped, left out, moved within the log, or brought from elsewhere do not open."""
    instance = objects.store(sealed, objects.body(3 * FRAME_BYTES + 5))
    (record,) = sealed.records({})
    place = record.location
    step = FRAME_BYTES + TAG_BYTES
    file = next(root.glob("*.open"))
    fd = os.open(file, os.O_RDWR)
    body = os.pread(fd, HEADER_BYTES + sealed_bytes(place.length), place.offset - HEADER_BYTES)
    if trick == "swap":
        os.pwrite(fd, os.pread(fd, step, place.offset + step), place.offset)
        os.pwrite(fd, body[HEADER_BYTES : HEADER_BYTES + step], place.offset + step)
    elif trick == "shorter":
        place = dataclasses.replace(place, length=place.length - FRAME_BYTES)
    elif trick == "longer":
        place = dataclasses.replace(place, length=place.length + FRAME_BYTES)
    elif trick == "moved":
        place = dataclasses.replace(place, offset=place.offset + 4096)
        os.pwrite(fd, body, place.offset - HEADER_BYTES)
    elif trick == "other segment":
        (root / "b-1.seg").write_bytes(file.read_bytes())
        place = dataclasses.replace(place, segment="b-1")
    else:
        os.ftruncate(fd, place.offset + 2 * step)
    os.close(fd)
    changed = dataclasses.replace(record, location=place)
    with pytest.raises(Corrupt):
        attempt(SpoolReader(root, KEYS), way, changed, instance.digest)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("keys", [SpoolKeys(), SpoolKeys(OTHER)])
def test_without_the_key_a_fault_names_it(sealed, root, objects, way, keys):
    """A reader without the right key raises a fault that names the key, and the setting."""
    instance = objects.store(sealed, objects.body(1000))
    (record,) = sealed.records({})
    with pytest.raises(NoKey, match=f"{KEY.id}.*spool_old_keys"):
        attempt(SpoolReader(root, keys), way, record, instance.digest)


def test_a_key_never_shows_itself():
    """What is printed of a key is its id, which is no part of the key or of its digest."""
    assert repr(KEY) == f"SpoolKey({KEY.id})"
    assert KEY.id != OTHER.id
    assert KEY.id not in KEY.secret.hex()
    assert not hashlib.sha256(KEY.secret).hexdigest().startswith(KEY.id)
    with pytest.raises(ValueError, match="32 random bytes"):
        SpoolKey(b"short")


@pytest.mark.p1
def test_a_key_may_come_change_and_go(open_spool, root, objects):
    """Plain and sealed objects of several keys live side by side in one spool."""
    stored = []
    newest = ["", KEY.id, OTHER.id, OTHER.id]
    for number, key in enumerate([None, KEY, OTHER, None]):
        with open_spool(key=key) as spool:
            stored.append(objects.store(spool, objects.body(200_000, number), f"2.25.{number}"))
            assert newest_key_id(root) == newest[number]
    result = deposit(root, objects.arrival("2.25.9"), (b"ab", b"cd"), writer="job1", key=KEY)
    reader = SpoolReader(root, SpoolKeys(OTHER, [KEY]))
    with open_spool() as spool:
        found = {one.arrival.sop_instance_uid: reader.identify(one) for one in spool.records({})}
    assert [found[one.arrival.sop_instance_uid] for one in stored] == stored
    for number, one in enumerate(stored):
        assert whole(reader, one) == objects.body(200_000, number)
    assert whole(reader, objects.identified(result, b"abcd")) == b"abcd"


def test_the_newest_key_of_a_plain_spool(spool, root, objects):
    """A spool without encrypted objects, or without any, needs no key."""
    assert newest_key_id(root / "nowhere") == ""
    objects.store(spool, b"x")
    assert newest_key_id(root) == ""


def test_a_spool_is_verified_without_its_key(sealed, root, objects):
    """Listing and verifying a sealed spool needs no key, and finds a changed bit."""
    objects.store(sealed, objects.body(1000))
    place = objects.store(sealed, objects.body(2 * FRAME_BYTES), "2.25.77").location
    sealed.close()
    (found,) = survey(root, read_bodies=True)
    assert (found.records, found.damage) == (2, ())
    file = next(root.glob("*.seg"))
    content = bytearray(file.read_bytes())
    content[place.offset + sealed_bytes(place.length) - 1] ^= 1
    file.write_bytes(content)
    (found,) = survey(root, read_bodies=True)
    assert found.damage == (f"2.25.77 at {place.offset} does not match its checksum",)


@pytest.mark.p1
@pytest.mark.parametrize("point", [f"{name}:{n}" for name in POINTS for n in (1, 2)])
def test_kill_a_sealing_front_anywhere(child, open_spool, root, objects, point):
    """Killed at any point, a front that seals has every acknowledged object, and no half one."""
    dying = child(FRONT, root, **{VARIABLE: point})
    acknowledged = [int(line) for line in dying.communicate(timeout=60)[0].split()]
    assert dying.returncode == -9
    reader = SpoolReader(root, KEYS)
    with open_spool() as spool:  # recovery needs no key
        found = [reader.identify(record) for record in spool.records({})]
        assert spool.recovered.damaged == 0
    numbers = [int(one.arrival.sop_instance_uid.removeprefix("2.25.")) for one in found]
    assert numbers in (acknowledged, [*acknowledged, len(acknowledged)])
    for number, one in zip(numbers, found, strict=True):
        assert whole(reader, one) == objects.body(2_500_000 if number % 2 else 36_000, number)


@pytest.mark.parametrize("flags", [2, 3, 128])
def test_a_flag_of_tomorrow_is_not_damage(open_spool, root, objects, monkeypatch, flags):
    """A record with a flag that only a newer version knows stops the start; nothing is cut."""
    with open_spool(key=KEY) as spool, monkeypatch.context() as newer:
        newer.setattr(record_form, "SEALED", flags)
        objects.store(spool, b"x")
    (file,) = root.glob("*.seg")
    content = file.read_bytes()
    file.rename(file.with_suffix(".open"))
    with pytest.raises(StorageFault, match="newer Penumbra"):
        open_spool()
    assert file.with_suffix(".open").read_bytes() == content
