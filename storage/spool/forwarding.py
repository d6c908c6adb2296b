"""Where the records of a segment went that was rewritten: for readers that know the old places.

A worker reads places from the ledger and opens them later; in between retention may have copied
what is still needed of a segment and removed its file. NAME.moved then says where each object is.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dicom.entity import Location
from storage.spool.segment import sync_directory, write_all

MOVED: Final = ".moved"
_HOPS: Final = 8
"""A segment is seldom rewritten twice within the life of its note."""


def note(root: Path, segment: str, moved: Mapping[Location, Location]) -> None:
    """Write down, synced, where records of a segment went. Raises OSError."""
    facts = {str(old.offset): [new.segment, new.offset] for old, new in moved.items()}
    path = root / (segment + MOVED)
    aside = path.with_name(path.name + ".part")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(fd, (json.dumps(facts).encode(),), 0)
        os.fsync(fd)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    aside.rename(path)
    sync_directory(root)


def forwarded(root: Path, location: Location) -> Location | None:
    """Say where an object went whose segment is gone; None where nobody noted it."""
    found, at = None, location
    for _ in range(_HOPS):
        try:
            facts = json.loads((root / (at.segment + MOVED)).read_bytes())
            segment, offset = facts[str(at.offset)]
        except (OSError, ValueError, KeyError, TypeError):
            return found
        found = at = Location(segment, offset, location.length)
    return found


def expire(root: Path, before: float) -> None:
    """Remove notes from before a time: whoever knew the old places has finished."""
    for path in [*root.glob(f"*{MOVED}"), *root.glob(f"*{MOVED}.part")]:
        with contextlib.suppress(OSError):  # the next look finds it again
            if path.stat().st_mtime < before:
                path.unlink()
