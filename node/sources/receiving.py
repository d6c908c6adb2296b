"""Bring one local file into the spool: facts, bytes, one sync; then it counts as taken (P1)."""

import io
import os
from pathlib import Path
from typing import Final

from dicom import part10
from dicom.entity import Arrival
from node.services.store import Receiver
from node.sources.examining import Examined, Seen
from node.sources.place import Changed, Unreadable

STEP_BYTES: Final = 1 << 20


def receive(file: Path, examined: Examined, arrival: Arrival, receiver: Receiver) -> None:
    """Store a file's dataset, byte for byte, behind a file meta of our own.

    So it is the same Instance as if it had come by C-STORE. Returns once it is on disk, synced.
    Raises Changed when the file is not what was examined; SpoolFull; and then nothing is stored.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as fault:
        raise Unreadable(fault.strerror) from fault
    with io.FileIO(descriptor) as stream:
        _require(descriptor, examined.seen)
        recording = receiver.begin(arrival)
        try:
            recording.write(part10.file_meta(arrival))
            stream.seek(examined.incoming.dataset_offset)
            left = examined.seen.size_bytes - examined.incoming.dataset_offset
            while left:
                count = _read(stream, recording.room(min(left, STEP_BYTES)))
                if not count:
                    raise Changed
                recording.advance(count)
                left -= count
            _require(descriptor, examined.seen)
            recording.commit()
        finally:
            recording.abandon()  # nothing, once it is committed


def _read(stream: io.FileIO, room: memoryview) -> int:
    try:
        return stream.readinto(room) or 0
    except OSError as fault:
        raise Unreadable(fault.strerror) from fault


def _require(descriptor: int, seen: Seen) -> None:
    if Seen.of(os.fstat(descriptor)) != seen:
        raise Changed
