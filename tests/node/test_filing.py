"""The front's own loop goes on, whatever goes wrong in it, and says what."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from dicom.errors import StorageFault
from examples.peers.process import wait_until
from node import filing
from node.associations import AssociationBook
from node.filing import Filing
from storage.spool.spool import Spool


class Follower:
    """Follows nothing; `faults` come out of its steps, one each."""

    def __init__(self) -> None:
        self.faults: list[BaseException] = []
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.faults:
            raise self.faults[0]

    def index_is_behind(self) -> bool:
        return False

    def fill_heads(self) -> int:
        return 0

    def renew_index(self) -> None:
        return None

    def file_again(self, *_: object) -> None:
        raise ZeroDivisionError


class Jobs:
    """A ledger's jobs, with the one that is due."""

    def __init__(self) -> None:
        self.due: list[Any] = []
        self.held: list[tuple[Any, ...]] = []

    def claim(self, *_: object) -> Any:
        return self.due.pop() if self.due else None

    def hold(self, *facts: Any) -> None:
        self.held.append(facts)

    def expire(self, *_: object) -> int:
        return 0


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """A loop that runs between parts that do nothing, and these parts."""
    monkeypatch.setattr(filing, "TROUBLE_S", 0.01)
    follower, jobs = Follower(), Jobs()
    ledger = SimpleNamespace(
        jobs=jobs,
        outbox=SimpleNamespace(notify=lambda: None),
        database=SimpleNamespace(now=time.time),
    )
    settler = SimpleNamespace(step=lambda *_: 0)
    with Spool.open(tmp_path, segment_bytes=1 << 20, reserve_bytes=0) as spool:
        loop = Filing(
            spool, follower, settler, ledger, AssociationBook(),  # type: ignore[arg-type]
            attempts=3, pid=1, ring=lambda: None,
        )  # fmt: skip
        yield SimpleNamespace(loop=loop, follower=follower, jobs=jobs, spool=spool)
        loop.stop(10)
        assert not loop.is_alive()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (StorageFault("the disk is gone"), "storage: the disk is gone"),
        (ZeroDivisionError("DOE^JANE"), "bug: ZeroDivisionError, see the node's log"),
        (BlockingIOError(11, "no process"), "bug: BlockingIOError, see the node's log"),
    ],
)
def test_filing_outlives_what_goes_wrong(running: Any, fault: BaseException, told: str):
    """After a fault or a bug the loop says what stands in its way, and tries until it goes."""
    with structlog.testing.capture_logs() as lines:
        running.follower.faults = [fault]
        running.loop.start()
        wait_until(lambda: running.follower.steps > 3, 10, "more than one try")
        assert running.loop.is_alive()
        assert running.loop.trouble == told
        running.follower.faults = []
        wait_until(lambda: not running.loop.trouble, 10, "the end of its trouble")
    assert {line["event"] for line in lines} == {"filing stands"}


def test_a_spool_that_cannot_be_watched_does_not_end_filing(running: Any, monkeypatch):
    """A fault while the loop waits for news is one like any other."""
    calls: list[float] = []

    def wait(timeout_s: float) -> bool:
        calls.append(timeout_s)
        raise StorageFault("the spool cannot be read")

    monkeypatch.setattr(running.spool, "wait", wait)
    running.loop.start()
    wait_until(lambda: len(calls) > 3, 10, "more than one try")
    assert running.loop.trouble == "storage: the spool cannot be read"


@pytest.mark.p3
def test_a_bug_about_one_object_holds_this_one(running: Any):
    """An object whose filing breaks the node's own code is held, and the loop goes on."""
    spec = SimpleNamespace(target="1.2.3", digest="x")
    running.jobs.due = [SimpleNamespace(id=7, spec=spec)]
    running.loop.start()
    wait_until(lambda: running.jobs.held, 10, "the job")
    assert running.jobs.held[0][1:3] == ("bug", "ZeroDivisionError, see the node's log")
    assert not running.loop.trouble
