"""Named points of the ways in and out at which a test can kill the process, to prove recovery.

For tests only: without the environment variable PENUMBRA_CRASH_AT nothing happens here.
"""

import os
import signal
from typing import Final

VARIABLE: Final = "PENUMBRA_CRASH_AT"
"""Holds "name", or "name:n" to die when the point is passed for the n-th time."""
POINTS: Final = (
    "before-write",
    "after-write",
    "after-prefix",
    "after-sync",
    "before-rename",
    "after-rename",
)
LEAVING_POINTS: Final = (
    "released",
    "copying",
    "copied",
    "noted",
    "moved",
    "given-up",
    "before-unlink",
    "after-unlink",
    "forgotten",
)
"""Those on the way out (storage/retention.py)."""


def _planned(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    return name, int(count or 1)


_name, _passes_left = _planned(os.environ.get(VARIABLE, ""))


def crash_point(name: str) -> None:
    """Kill this process at once, as a power cut would, if it was started to die here."""
    global _passes_left  # noqa: PLW0603  (a countdown for the life of the process)
    if name != _name:
        return
    _passes_left -= 1
    if _passes_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
