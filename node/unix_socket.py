"""Name a unix socket however deep its folder lies."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Give a name for a socket that fits into the 107 bytes the kernel allows.

    The name goes by way of an open descriptor of the socket's folder, so it is valid within the
    block only (Linux). Raises FileNotFoundError when there is no such folder.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
