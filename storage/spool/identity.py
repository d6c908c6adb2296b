"""Which spool this is, where several nodes share one ledger: a name nobody gives twice.

It lies in the spool itself, so that it goes wherever the bytes go. Without the file the spool has
no name, which is right for a node whose ledger is its own.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from dicom.errors import StorageFault

FILE_NAME: Final = "node.id"


def identity(root: Path) -> str:
    """Read a spool's name; "" where it has none. Raises StorageFault."""
    try:
        return (root / FILE_NAME).read_text("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as fault:
        raise StorageFault(f"{root / FILE_NAME} cannot be read: {type(fault).__name__}") from fault


def ensure_identity(root: Path, fresh: str) -> str:
    """Give a spool a name unless it has one; returns the one it has. Raises StorageFault."""
    if known := identity(root):
        return known
    written = root / f"{FILE_NAME}.{os.getpid()}"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written.open("w", encoding="ascii") as file:
            file.write(fresh + "\n")
            file.flush()
            os.fsync(file.fileno())
        # Whoever comes second keeps the first one's.
        with contextlib.suppress(FileExistsError):
            os.link(written, root / FILE_NAME)
        written.unlink()
    except OSError as fault:
        raise StorageFault(f"{root / FILE_NAME} cannot be made: {fault.strerror}") from fault
    return identity(root)
