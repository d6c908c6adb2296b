"""The node says that it is alive for as long as each of its loops comes around."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from node.status import HUNG_AFTER_S, Status


def status(*, ended: str = "", beat_ago_s: float = 0.0) -> Status:
    """A front all of whose loops run but one."""
    beat_at = time.monotonic() - beat_ago_s
    parts: Any = {
        **dict.fromkeys(("settings", "spool", "ledger", "index", "watermarks")),
        "filing": SimpleNamespace(is_alive=lambda: ended != "filing", beat_at=beat_at, trouble=""),
        "supervisor": SimpleNamespace(is_alive=lambda: ended != "supervisor"),
        "listener": SimpleNamespace(is_alive=ended != "listener"),
    }
    return Status(**parts, started_at=0.0)


def test_a_node_whose_loops_come_around_is_alive():
    """Nothing is wrong with it."""
    assert status().is_alive()


@pytest.mark.parametrize("ended", ["filing", "supervisor", "listener"])
def test_a_loop_that_ended_is_told(ended: str):
    """A node without one of its loops is to be restarted, and takes no new work."""
    assert not status(ended=ended).is_alive()
    assert not status(ended=ended).checks()["filing"]().ok


def test_a_loop_that_hangs_is_told():
    """The same of filing that has not come around for long."""
    assert not status(beat_ago_s=HUNG_AFTER_S + 1).is_alive()
