"""What a door asks of the place that it looks through: a folder, or a bucket prefix."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

TAKEN: Final = "taken"
REJECTED: Final = "rejected"
"""Sub-folders of the place, for what is through; nobody looks into them."""

_UNFINISHED: Final = frozenset(
    {".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp", ".lock"}
)
_OURS: Final = ".reason.txt"
_IMAGES: Final = (".jpg", ".jpeg", ".png")
_NOTHING: Final = frozenset({"dicomdir", "thumbs.db", "desktop.ini"})


class Kind(Enum):
    """What a name says that a file is; its bytes have the last word."""

    OBJECT = 1
    IMAGE = 2
    SIDECAR = 3
    NOTHING = 4
    """Not finished, hidden, or of no interest: left where it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or an object of a bucket, in one state."""

    key: str
    """Its path below the place. May tell who the patient is: for no log."""
    size_bytes: int
    mark: str
    """Changes when the object changes; at most 64 characters."""
    state: str = ""
    """More exact: changes also when anybody touches it."""
    is_complete: bool = True
    """Whether nobody writes to it any more, as far as one can tell."""


@dataclass(frozen=True, slots=True)
class Local:
    """A file of this machine with an object's bytes: read only while it is in this state."""

    path: Path
    state: str

    @classmethod
    def of(cls, path: Path) -> "Local":
        """Take a file as it is now."""
        return cls(path, state_of(path.stat()))


def state_of(facts: os.stat_result) -> str:
    """Say which file it is, and in what state: whoever writes, renames or replaces it changes it.

    The time of change is in it, which no program can set as it can the time of writing.
    """
    return (
        f"{facts.st_dev:x}-{facts.st_ino:x}-{facts.st_size:x}"
        f"-{facts.st_mtime_ns:x}-{facts.st_ctime_ns:x}"
    )


class Changed(Exception):  # noqa: N818  (an event: the next look finds the object as it is then)
    """An object is not any more what it was when it was found, or is gone."""


class Unreadable(Changed):
    """An object may not be read, or its medium fails: tried again at each look."""


class Place(Protocol):
    """Where objects come from. One thread uses it; all may raise StorageFault or DeliveryFault."""

    @property
    def where(self) -> str:
        """Which place it is, for the memory of what was taken; never told."""

    def entries(self) -> Iterator[Entry]:
        """List what is there, piece by piece, without what TAKEN and REJECTED hold."""

    def find(self, key: str) -> Entry | None:
        """Look at one object; None where it is not there (any more)."""

    def wait_for(self, entry: Entry) -> None:
        """Remember an entry that was not complete until the next time round."""

    def ahead(self, entries: Sequence[Entry]) -> None:
        """Get ready what will be fetched next."""

    def fetch(self, entry: Entry) -> AbstractContextManager[Local]:
        """Give a local file with the object's bytes. Raises Changed."""

    def remove(self, entry: Entry) -> None:
        """Delete an object if it is as it was. Raises Changed."""

    def put_aside(self, entry: Entry, folder: str, reason: str = "") -> None:
        """Move an object into TAKEN or REJECTED, with a reason beside it. Raises Changed."""

    def unseen(self) -> int:
        """Count the folders that the last listing could not look into."""

    def close(self) -> None:
        """Give back what is held. May be called twice."""


def kind_of(key: str) -> Kind:
    """Say what a name means."""
    name = key.rpartition("/")[2].lower()
    suffix = PurePosixPath(name).suffix
    hidden = not name or name[0] == "~" or name.endswith("~") or f"/{key}".find("/.") >= 0
    if hidden or suffix in _UNFINISHED or name in _NOTHING or name.endswith(_OURS):
        return Kind.NOTHING
    if suffix in _IMAGES:
        return Kind.IMAGE
    return Kind.SIDECAR if suffix == ".json" else Kind.OBJECT


def sidecar_of(image: str) -> str:
    """Name the sidecar of an image: x.json beside x.jpg."""
    return image[: image.rfind(".")] + ".json"


def images_of(sidecar: str) -> Iterator[str]:
    """Name the images that a sidecar may stand beside."""
    stem = sidecar[: sidecar.rfind(".")]
    for suffix in _IMAGES:
        yield stem + suffix
        yield stem + suffix.upper()
