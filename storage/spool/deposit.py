"""Put one object into the spool from a process that does not own it: how results come back."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from dicom.entity import Arrival
from dicom.errors import StorageFault
from storage.spool.record import Record, encode_facts
from storage.spool.recording import Recording
from storage.spool.sealing import SpoolKey
from storage.spool.segment import Room, Segment, full

Chunk = bytes | memoryview

_WRITER: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def deposit(
    root: Path,
    arrival: Arrival,
    chunks: Iterable[Chunk],
    *,
    writer: str,
    reserve_bytes: int = 0,
    key: SpoolKey | None = None,
) -> Record:
    """Write one Part 10 file as a sealed segment of its own; the front finds it in the folder.

    `writer` names the depositor in the segment's name: a job and a process, say. Results may use
    the reserve that the front keeps, unless told otherwise. With a `key` the file is sealed.
    Raises SpoolFull, StorageFault when there is no spool; to deposit the same bytes again does no
    harm, they are one Instance.
    """
    if not _WRITER.fullmatch(writer):
        raise ValueError("a writer's name is letters, digits, dots, hyphens and underscores")
    facts = encode_facts(arrival)
    room = Room(root, reserve_bytes)
    try:
        segment = _create(root, writer, room)
    except FileNotFoundError as fault:
        raise StorageFault(f"there is no spool at {root}; the node makes it at start") from fault
    except OSError as fault:
        raise full(fault) from fault
    try:
        with Recording(segment, arrival, facts, lambda *_: None, key) as recording:
            for chunk in chunks:
                recording.write(chunk)
            record = recording.commit()
    except BaseException:
        _discard(segment)
        raise
    try:
        segment.seal()
    except OSError as fault:
        raise full(fault) from fault
    return record


def _create(root: Path, writer: str, room: Room) -> Segment:
    while True:
        try:
            # No name is ever used twice: who followed a segment that has left since would take
            # the next one of that name for known.
            return Segment.create(root, f"{writer}-{os.urandom(6).hex()}", room)
        except FileExistsError:
            continue


def _discard(segment: Segment) -> None:
    try:
        segment.seal()
    except OSError:
        return  # the next start of the front finds it, unlocked and empty, and removes it
