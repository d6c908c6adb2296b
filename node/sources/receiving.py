"""Bring one local file into the spool: facts, bytes, one sync; then it counts as taken (P1)."""

import io
import os
from typing import Final

from dicom import part10
from dicom.entity import Arrival
from dicom.incoming import Incoming
from node.services.store import Receiver
from node.sources.place import Changed, Local, Unreadable, state_of

STEP_BYTES: Final = 1 << 20


def receive(file: Local, incoming: Incoming, arrival: Arrival, receiver: Receiver) -> None:
    """Store a file's dataset, byte for byte, behind a file meta of our own.

    So it is the same Instance as if it had come by C-STORE. Returns once it is on disk, synced.
    Raises Changed when the file is in another state, SpoolFull, and then nothing is stored.
    """
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as fault:
        raise Unreadable(fault.strerror) from fault
    with io.FileIO(descriptor) as stream:
        _require(descriptor, file)
        recording = receiver.begin(arrival)
        try:
            recording.write(part10.file_meta(arrival))
            stream.seek(incoming.dataset_offset)
            left = os.fstat(descriptor).st_size - incoming.dataset_offset
            while left:
                count = _read(stream, recording.room(min(left, STEP_BYTES)))
                if not count:
                    raise Changed
                recording.advance(count)
                left -= count
            _require(descriptor, file)
            recording.commit()
        finally:
            recording.abandon()  # nothing, once it is committed


def _read(stream: io.FileIO, room: memoryview) -> int:
    try:
        return stream.readinto(room) or 0
    except OSError as fault:
        raise Unreadable(fault.strerror) from fault


def _require(descriptor: int, file: Local) -> None:
    if state_of(os.fstat(descriptor)) != file.state:
        raise Changed
