"""Regions of POSIX shared memory through which a server on the same host reads tensors.

A region is a file under /dev/shm that only this user and root may open. Whoever made it keeps it
locked while he lives, so that what a killed worker left can be told from what is in use, whatever
process ids say.
"""

import contextlib
import fcntl
import mmap
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

FOLDER: Final = Path("/dev/shm")  # noqa: S108  (POSIX shared memory has no other place)
PREFIX: Final = "penumbra_ai_"
_STEP_BYTES: Final = 1 << 20
_ALIGNED_BYTES: Final = 64
MOST_REGIONS: Final = 16
"""Of one ring: what needs more goes another way."""


class Region:
    """A piece of memory that two processes map. Raises OSError where there is no room."""

    def __init__(self, size_bytes: int) -> None:
        self.name = f"{PREFIX}{os.getpid()}_{secrets.token_hex(6)}"
        self.size_bytes = size_bytes
        # Without a name until it is locked: nobody sees it and takes it for a dead one's.
        self._descriptor = os.open(FOLDER, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Taken now: a page that cannot be had later would end this process by a signal.
            os.posix_fallocate(self._descriptor, 0, size_bytes)
            self._map = mmap.mmap(self._descriptor, size_bytes)
            _give_name(self._descriptor, self.name)
        except OSError:
            os.close(self._descriptor)
            raise

    def write(self, offset: int, array: npt.NDArray[Any]) -> None:
        """Copy an array to a place in the region, in the order of its axes."""
        view = np.frombuffer(self._map, dtype=array.dtype, count=array.size, offset=offset)
        view.reshape(array.shape)[...] = array

    def close(self) -> None:
        """Give the memory back, once the server has let go of it too."""
        self._map.close()
        (FOLDER / self.name).unlink(missing_ok=True)
        os.close(self._descriptor)


class Ring:
    """The regions for one server: taken for one request, given back when it is answered."""

    def __init__(self) -> None:
        self._free: list[Region] = []
        self._taken = 0

    def take(self, size_bytes: int) -> tuple[Region, tuple[Region, ...]] | None:
        """Give a region that is large enough, and those that were dropped to make room for it.

        None where there is no room. A region is new where its `name` was not seen before.
        """
        fitting = [one for one in self._free if one.size_bytes >= size_bytes]
        if fitting:
            region = min(fitting, key=lambda one: one.size_bytes)
            self._free.remove(region)
            self._taken += 1
            return region, ()
        dropped = tuple(self._free)  # all too small; those that are larger come in their place
        self._free.clear()
        if self._taken >= MOST_REGIONS:
            return None
        rounded = -(-size_bytes // _STEP_BYTES) * _STEP_BYTES
        try:
            region = Region(rounded)
        except OSError:
            for one in dropped:
                self._free.append(one)
            return None
        self._taken += 1
        return region, dropped

    def give_back(self, region: Region) -> None:
        """Take a region back that nobody reads any more."""
        self._taken -= 1
        self._free.append(region)

    def lose(self, region: Region) -> None:
        """Never use a region again: the server may still be reading it."""
        self._taken -= 1
        region.close()

    def empty(self) -> list[Region]:
        """Hand out all that are free, to be forgotten by the server and closed."""
        found, self._free = self._free, []
        return found


def layout(sizes: list[int]) -> tuple[list[int], int]:
    """Give each tensor its place in a region, and the size that all need."""
    offsets, at = [], 0
    for size in sizes:
        offsets.append(at)
        at += -(-size // _ALIGNED_BYTES) * _ALIGNED_BYTES
    return offsets, at


def _give_name(descriptor: int, name: str) -> None:
    folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # With a folder's descriptor the link of /proc is followed; without, it would be linked.
        os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def is_dead(name: str) -> bool:
    """Say whether whoever made a region of ours is gone, or the region is."""
    try:
        descriptor = os.open(FOLDER / name, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # another user's
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def sweep() -> int:
    """Remove what killed workers left. Gives how many regions that were."""
    return sum(_swept(one) for one in _ours())


def _ours() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from FOLDER.glob(f"{PREFIX}*")


def _swept(path: Path) -> bool:
    if not is_dead(path.name):
        return False
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    return True
