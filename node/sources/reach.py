"""Reach what lies below a folder without following a link: others write there, and may swap parts.

A path that is looked up anew at each step can lead elsewhere each time: a sub-folder becomes a link
to another one while it is looked through. So each part is opened from the one before it, and what
is done to a file is done from its folder's descriptor.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
LONGEST_NAME: Final = 200
"""Bytes; file systems take 255, and what is put before or behind a name must fit too."""


@contextlib.contextmanager
def opened(root: Path, folder: str = "", *, make: bool = False) -> Iterator[int]:
    """Open a folder below another one, "" for that itself; gives its descriptor.

    `root` may be a link; what lies below it may be none. Raises NotADirectoryError for a link,
    and OSError.
    """
    descriptor = os.open(root, _FOLDER)
    try:
        for part in folder.split("/") if folder else ():
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def look(folder: int, name: str) -> os.stat_result:
    """Look at what is there of a name, be it a link. Raises OSError."""
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def unused(folder: int, name: str) -> str:
    """Find a name that no file has: the wanted one, or one with a number."""
    number, found = 1, name
    with contextlib.suppress(FileNotFoundError):
        while look(folder, found):
            number += 1
            found = f"{number}-{cut(name)}"
    return found


def cut(name: str) -> str:
    """Shorten a name so that more fits before or behind it."""
    raw = os.fsencode(name)
    return name if len(raw) <= LONGEST_NAME else os.fsdecode(raw[:LONGEST_NAME])


def write(folder: int, name: str, text: str) -> None:
    """Write a small text, over one of the same name, never through a link. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "w", encoding="utf-8") as file:
        file.write(text)
