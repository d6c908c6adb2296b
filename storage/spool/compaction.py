"""Copy what is still needed of a segment into a new one, record by record, each one proven.

A record is bound to its place, and so is what a sealed one holds: nothing is copied as it lies.
An object is read, opened, checked against the digest that the ledger has, and recorded anew, with
the facts of its arrival. The old segment is not touched.
"""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from typing import Final

from dicom.entity import Location
from dicom.errors import Corrupt
from storage.spool.crash import crash_point
from storage.spool.reader import SpoolReader
from storage.spool.record import Record, encode_facts
from storage.spool.recording import Recording
from storage.spool.sealing import SpoolKey
from storage.spool.segment import Room, Segment, full

PIECE_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"(.+)\.c[0-9a-f]{8}")


def copy(
    reader: SpoolReader,
    segment: str,
    needed: Sequence[tuple[Record, str]],
    breathe: Callable[[int], None] = lambda _: None,
) -> dict[Location, Location]:
    """Copy records, each with the digest of its object, into a sealed segment; say where to.

    `breathe` hears of each piece's bytes, and may wait. What was encrypted stays encrypted, and
    what was not is now if there is a key. Raises Corrupt when an object is not what it was,
    SpoolFull when the disk is; nothing of the copy is left then.
    """
    root = reader.root
    try:
        target = Segment.create(root, name_after(segment), Room(root, 0))
    except OSError as fault:
        raise full(fault) from fault
    moved: dict[Location, Location] = {}
    try:
        for record, digest in needed:
            moved[record.location] = _copy(reader, target, record, digest, breathe).location
            crash_point("copying")
    except BaseException:
        _discard(target)
        raise
    try:
        target.seal()
    except OSError as fault:
        raise full(fault) from fault
    return moved


def name_after(segment: str) -> str:
    """Name a copy so that it sorts right behind its source: rebuilding keeps the order."""
    found = _NAME.fullmatch(segment)
    return f"{found[1] if found else segment}.c{os.urandom(4).hex()}"


def _copy(
    reader: SpoolReader,
    target: Segment,
    record: Record,
    digest: str,
    breathe: Callable[[int], None],
) -> Record:
    sha = hashlib.sha256()
    facts = encode_facts(record.arrival)
    with (
        reader.open(record.location) as stream,
        Recording(target, record.arrival, facts, _nothing, _key(reader, record)) as recording,
    ):
        while piece := stream.read(PIECE_BYTES):
            sha.update(piece)
            recording.write(piece)
            breathe(len(piece))
        if sha.hexdigest() != digest:
            uid = record.arrival.sop_instance_uid
            raise Corrupt(f"{uid}: segment {record.location.segment} does not match its digest")
        return recording.commit()


def _key(reader: SpoolReader, record: Record) -> SpoolKey | None:
    """Choose the key of a copy: the one of today, or the object's own where none is set."""
    if reader.keys.current is not None or not record.key_id:
        return reader.keys.current
    return reader.keys.named(record.key_id)


def _nothing(_segment: Segment, _is_sound: bool) -> None:  # noqa: FBT001  (a callback)
    """Take no segment back: it is sealed by whoever made it."""


def _discard(segment: Segment) -> None:
    """Remove a copy, as far as the disk lets us; what stays is found to be one more copy."""
    segment.end = 0
    try:
        segment.seal()
    except OSError:
        return
