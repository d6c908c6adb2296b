"""Who owns the index file: told apart from a broken file before anything is set aside."""

import fcntl
from pathlib import Path


def is_held_elsewhere(path: Path) -> bool:
    """Whether another process holds the lock that DuckDB puts on its file.

    A file that cannot be opened for writing counts as held: it is not ours to set aside.
    """
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
