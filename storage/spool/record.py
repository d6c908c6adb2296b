"""The form of a record in the log: prefix, facts, body, padding to a multiple of eight bytes.

The prefix tells the lengths of what follows and the body's checksum; one of its own covers
itself and the facts, and is seeded with the record's place. Bytes that were a record somewhere
else, or that a sender shaped like one inside its object, are therefore none here.

Where the first flag is set the body is sealed (storage/spool/sealing.py): the facts then end with
its header, the length is that of the plain bytes, and the checksum that of the sealed ones.

The body's checksum finds what a disk lost or changed, and costs a fiftieth of a SHA-256: an
Instance's digest is computed by whoever files it, away from the sender who waits.
"""

import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import add
from typing import Final, Protocol

import xxhash

from dicom.entity import Arrival, Location, Origin
from dicom.errors import StorageFault
from storage.spool.sealing import HEADER_BYTES, key_id_of, sealed_bytes

MAGIC: Final = b"PnbR"
VERSION: Final = 1
ALIGNMENT: Final = 8
FACTS_LIMIT: Final = 1 << 16
SEALED: Final = 1
"""The flag of a record whose body is sealed."""

_PREFIX: Final = struct.Struct("<4sBBHIQ16s")  # magic, version, flags, 0, facts, body, XXH3
_CHECKSUM: Final = struct.Struct("<I")
PREFIX_BYTES: Final = _PREFIX.size + _CHECKSUM.size
LIKELY_BYTES: Final = 1024
"""Prefix and facts are seldom longer, so that one read gets both."""

_quoted: Final[Callable[[str], str]] = json.encoder.encode_basestring_ascii
_NAMES: Final = tuple(field.name for field in fields(Arrival))
_KEYS: Final = tuple(f'{"," if place else "{"}"{name}":' for place, name in enumerate(_NAMES))


@dataclass(frozen=True, slots=True)
class Record:
    """A committed object: its arrival, and where its Part 10 bytes lie."""

    arrival: Arrival
    location: Location
    checksum: bytes
    """XXH3-128 of the bytes as they lie on disk."""
    end: int
    """Where the next record begins."""
    key_id: str = ""
    """Which key the body is sealed with; empty where it is plain."""

    @property
    def body_bytes(self) -> int:
        """How many bytes the body takes on disk."""
        return body_bytes(self.location.length, is_sealed=bool(self.key_id))


class Checksum(Protocol):
    """A checksum in the making."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Give the checksum of all bytes so far."""


def new_checksum() -> Checksum:
    """Begin the checksum of a body."""
    made: Checksum = xxhash.xxh3_128()
    return made


def checksum_of(body: bytes | memoryview) -> bytes:
    """Compute the checksum of a whole body."""
    return bytes(xxhash.xxh3_128_digest(body))


def encode_facts(arrival: Arrival) -> bytes:
    """Write an arrival as compact JSON."""
    # Value by value it takes a third of the time that the encoder takes for a dict.
    values = [getattr(arrival, name) for name in _NAMES]
    texts = [_quoted(value) if isinstance(value, str) else repr(value) for value in values]
    facts = "".join(map(add, _KEYS, texts)).encode("ascii") + b"}"
    if len(facts) > FACTS_LIMIT:
        raise ValueError(f"facts longer than {FACTS_LIMIT} bytes")
    return facts


def _decode_facts(facts: bytes) -> Arrival:
    """Read facts; names that a later version added are left aside."""
    found = json.loads(facts)
    known = {name: found[name] for name in _NAMES if name in found}
    return Arrival(**{**known, "origin": Origin(found["origin"])})


def body_bytes(length: int, *, is_sealed: bool) -> int:
    """Say how many bytes an object of `length` bytes takes on disk."""
    return sealed_bytes(length) if is_sealed else length


def aligned(offset: int) -> int:
    """Round an offset up to where a record may begin."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _checksum(segment: str, start: int, prefix: bytes, facts: bytes) -> int:
    seed = zlib.crc32(f"{segment}:{start}".encode())
    return zlib.crc32(facts, zlib.crc32(prefix, seed))


def make_prefix(
    segment: str, start: int, facts: bytes, length: int, checksum: bytes, *, flags: int = 0
) -> bytes:
    """Make the prefix of a record that begins at `start` of a segment."""
    prefix = _PREFIX.pack(MAGIC, VERSION, flags, 0, len(facts), length, checksum)
    return prefix + _CHECKSUM.pack(_checksum(segment, start, prefix, facts))


def read_record(fd: int, segment: str, start: int, limit: int) -> Record | None:
    """Read prefix and facts at `start`, without the body; None where no whole record lies.

    `limit` is the position that the record must not pass. Raises StorageFault for a record in
    a form that only a newer Penumbra knows: it must not be taken for damage.
    """
    head = os.pread(fd, LIKELY_BYTES, start)
    if not _begins_record(head):
        return None
    facts_length = _facts_length(head)
    if facts_length > FACTS_LIMIT + HEADER_BYTES:
        return None
    if PREFIX_BYTES + facts_length > len(head):
        head = os.pread(fd, PREFIX_BYTES + facts_length, start)
    found = _record(head[: PREFIX_BYTES + facts_length], segment, start)
    return None if found is None or found.end > limit else found


def record_before(fd: int, place: Location) -> Record | None:
    """Find the record of an object by its place, reading back from there; None where none is."""
    back = min(place.offset, PREFIX_BYTES + FACTS_LIMIT + HEADER_BYTES)
    near = min(back, LIKELY_BYTES)
    for length in dict.fromkeys((near, back)):
        found = record_in(os.pread(fd, length, place.offset - length), place)
        if found is not None:
            return found
    return None


def record_in(before: bytes, place: Location) -> Record | None:
    """Find the record of an object in the bytes before its place; None where they hold none.

    Raises as `read_record` does.
    """
    at = len(before)
    while (at := before.rfind(MAGIC, 0, at)) >= 0:
        start, head = place.offset - len(before) + at, before[at:]
        is_whole = _begins_record(head) and PREFIX_BYTES + _facts_length(head) == len(head)
        if is_whole and start % ALIGNMENT == 0:
            found = _record(head, place.segment, start)
            if found is not None:
                return found
    return None


def plain_checksum(before: bytes, place: Location, sop_instance_uid: str) -> bytes | None:
    """Find the checksum of an Instance's plain body in the bytes before its place.

    Nothing is decoded: the facts must name the Instance in the very bytes that `encode_facts`
    writes. None where they do not, or where there is more to a record; `record_in` then knows.
    """
    head = before[max(0, before.rfind(MAGIC)) :]
    start = place.offset - len(head)
    if not _begins_record(head) or start % ALIGNMENT:
        return None
    _, version, flags, _, facts_length, length, checksum = _PREFIX.unpack_from(head)
    facts = head[PREFIX_BYTES:]
    if (version, flags, facts_length, length) != (VERSION, 0, len(facts), place.length):
        return None
    # A quotation mark within a value has a backslash before it: this can only be the one key.
    if f'"sop_instance_uid":{_quoted(sop_instance_uid)}'.encode("ascii") not in facts:
        return None
    (stored,) = _CHECKSUM.unpack_from(head, _PREFIX.size)
    is_whole = stored == _checksum(place.segment, start, head[: _PREFIX.size], facts)
    return bytes(checksum) if is_whole else None


def _begins_record(head: bytes) -> bool:
    return len(head) >= PREFIX_BYTES and head.startswith(MAGIC)


def _facts_length(head: bytes) -> int:
    return int(_PREFIX.unpack_from(head)[4])


def _record(head: bytes, segment: str, start: int) -> Record | None:
    """Read prefix and facts; None unless their checksum is right. Raises StorageFault if newer."""
    _, version, flags, _, _, length, checksum = _PREFIX.unpack_from(head)
    facts = head[PREFIX_BYTES:]
    (stored,) = _CHECKSUM.unpack_from(head, _PREFIX.size)
    if stored != _checksum(segment, start, head[: _PREFIX.size], facts):
        return None
    offset = start + len(head)
    key_id = ""
    if flags == SEALED:
        facts, header = facts[:-HEADER_BYTES], facts[-HEADER_BYTES:]
        key_id = key_id_of(header)
    if version != VERSION or flags != (SEALED if key_id else 0):
        raise _newer(segment, start)
    end = aligned(offset + body_bytes(length, is_sealed=bool(key_id)))
    try:
        arrival = _decode_facts(facts)
    except (KeyError, TypeError, ValueError) as fault:  # the checksum is right, so they are meant
        raise _newer(segment, start) from fault
    return Record(arrival, Location(segment, offset, length), checksum, end, key_id)


def _newer(segment: str, start: int) -> StorageFault:
    return StorageFault(
        f"segment {segment} at {start} was written by a newer Penumbra: run that one, or move"
        " the segment away"
    )
