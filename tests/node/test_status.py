"""The node says that it is alive for as long as each of its loops comes around."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from node.metrics import Metrics
from node.status import HUNG_AFTER_S, Status
from storage.ledger.database import Away


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


def test_a_ledger_that_is_away_hides_nothing_else():
    """The node says what it knows without its ledger, and what is wrong with that."""

    def away() -> None:
        raise Away("ledger: connection failed")

    here = replace(
        status(),
        settings=SimpleNamespace(node=SimpleNamespace(ae_title="PENUMBRA")),
        spool=SimpleNamespace(usage=lambda: (5, 1)),
        ledger=SimpleNamespace(summary=away),
        index=SimpleNamespace(count=lambda: 7),
        watermarks=SimpleNamespace(free_bytes=9, facts=dict),
        clock=lambda: 3.0,
    )
    vars(here.filing)["lag_records"] = lambda: 2
    vars(here.supervisor)["pids"] = list
    vars(here.listener).update(port=104, tls_port=None, open_associations=0, credentials=None)
    facts = here.facts()
    assert facts["node"]["trouble"] == "ledger-away: ledger: connection failed"
    assert facts["index"] == {"instances": 7, "lag_records": 2}
    metrics = Metrics([])
    metrics.read_from(lambda: facts)
    assert b"penumbra_facts_readable 0.0" in metrics.render()
