"""Read a whole spool and say what is in it, and what of it is not what was received."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom.errors import StorageFault
from storage.spool.record import Record
from storage.spool.scan import Gap, is_intact, walk
from storage.spool.segment import SEALED, open_segment, segments

LOOK_BACK: Final = 1000
"""So many segments are asked for their key; a spool of terabytes has more."""


@dataclass(frozen=True, slots=True)
class SegmentSurvey:
    """What one segment holds."""

    name: str
    is_sealed: bool
    records: int
    size_bytes: int
    """Up to the end of the last record."""
    first_received_at: float | None
    last_received_at: float | None
    """Seconds since the epoch; None without records."""
    damage: tuple[str, ...]
    """A line for each record that fails its checksum and each stretch that is no record."""


def survey(
    root: Path, *, read_bodies: bool, progress: Callable[[int], object] = lambda _: None
) -> Iterator[SegmentSurvey]:
    """Look at every segment, by name; the node may run meanwhile.

    With `read_bodies` every object is read and compared with its checksum. `progress` gets the
    bytes passed since its last call. Raises StorageFault when the disk fails or a newer version
    wrote the spool.
    """
    if not root.is_dir():
        raise StorageFault(f"there is no spool at {root}")
    # A segment that is sealed while the folder is read may be listed under both names.
    for name, suffix in dict(sorted(segments(root))).items():
        try:
            fd = open_segment(root, name)
        except FileNotFoundError:
            continue  # an empty segment that its writer removed meanwhile
        try:
            walked = walk(fd, name, 0, os.fstat(fd).st_size)
            judged = ((found, _fault(fd, found, read_bodies=read_bodies)) for found in walked)
            yield _sum_up(name, judged, is_sealed=suffix == SEALED, progress=progress)
        except OSError as fault:
            raise StorageFault(f"segment {name} cannot be read: {fault.strerror}") from fault
        finally:
            os.close(fd)


def newest_key_id(root: Path) -> str:
    """Name the key that the newest sealed objects need; "" where none are found.

    Whoever writes a segment has one key, or none: the first record of each tells. Raises
    StorageFault as `survey` does.
    """
    aged = sorted(_times_of_change(root), reverse=True)
    for _, name in aged[:LOOK_BACK]:
        try:
            fd = open_segment(root, name)
        except FileNotFoundError:
            continue  # an empty segment that its writer removed meanwhile
        try:
            walked = walk(fd, name, 0, os.fstat(fd).st_size)
            first = next((found for found in walked if isinstance(found, Record)), None)
        except OSError as fault:
            raise StorageFault(f"segment {name} cannot be read: {fault.strerror}") from fault
        finally:
            os.close(fd)
        if first is not None and first.key_id:
            return first.key_id
    return ""


def _times_of_change(root: Path) -> Iterator[tuple[int, str]]:
    for name, suffix in segments(root):
        with contextlib.suppress(FileNotFoundError):  # removed, or sealed and listed again
            yield (root / (name + suffix)).stat().st_mtime_ns, name


def _sum_up(
    name: str,
    judged: Iterable[tuple[Record | Gap, str]],
    *,
    is_sealed: bool,
    progress: Callable[[int], object],
) -> SegmentSurvey:
    count, end = 0, 0
    times: list[float] = []
    damage: list[str] = []
    unsure: list[str] = []
    for found, words in judged:
        if words:
            unsure.append(words)
        if isinstance(found, Gap):
            continue
        if not words:
            damage, unsure = damage + unsure, []
        progress(found.end - end)
        count, end = count + 1, found.end
        received_at = found.arrival.received_at
        times = [min([received_at, *times]), max([received_at, *times])]
    if is_sealed:  # otherwise it is what the writer is writing, or left when it died
        damage += unsure
    first, last = times or (None, None)
    return SegmentSurvey(name, is_sealed, count, end, first, last, tuple(damage))


def _fault(fd: int, found: Record | Gap, *, read_bodies: bool) -> str:
    if isinstance(found, Gap):
        return f"{found.end - found.start} bytes at {found.start} are no record"
    if read_bodies and not is_intact(fd, found):
        uid = found.arrival.sop_instance_uid
        return f"{uid} at {found.location.offset} does not match its checksum"
    return ""
