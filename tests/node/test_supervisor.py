"""Workers are watched for as long as the front runs, whatever the ledger says meanwhile."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom.errors import StorageFault
from examples.peers.process import wait_until
from node import supervisor
from node.supervisor import Supervisor, owner_of

PIPE_BYTES = 1 << 16
"""What a pipe holds."""


class Ledger:
    """Notes whose jobs were given back, unless it cannot be written."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.fault: Exception | None = None
        self.asked = 0

    def expire(self, owner: str) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        self.lost.append(owner)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def watched(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor of one worker that does nothing until its pipe ends."""
    monkeypatch.setattr(supervisor, "TROUBLE_S", 0.01)
    made = Supervisor(Path("node.toml"), 1, ledger.expire)
    made._command = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    made.start()
    yield made
    made.stop(10)


def kill(watched: Supervisor) -> int:
    (pid,) = watched.pids()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: watched.pids() != [pid], 20, "its successor")
    return pid


@pytest.mark.parametrize("fault", [StorageFault("the ledger is full"), ZeroDivisionError()])
def test_a_worker_is_replaced_although_the_ledger_fails(
    watched: Supervisor, ledger: Ledger, fault: Exception
):
    """A ledger that cannot be written costs no worker its successor, and gets the jobs later."""
    ledger.fault = fault
    first = kill(watched)
    wait_until(lambda: ledger.asked > 2, 10, "more than one try")
    second = kill(watched)
    assert watched.is_alive()
    assert ledger.lost == []
    ledger.fault = None
    wait_until(lambda: len(ledger.lost) == 2, 10, "both workers' jobs")
    assert ledger.lost == [owner_of(first), owner_of(second)]


def test_a_worker_that_cannot_be_started_is_started_later(
    watched: Supervisor, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    """While the machine has no room for a process the watch goes on; its jobs go back at once."""
    (pid,) = watched.pids()
    tries: list[int] = []
    with monkeypatch.context() as machine:

        def no_room(*_: object, **__: object) -> None:
            tries.append(1)
            raise BlockingIOError(11, "Resource temporarily unavailable")

        machine.setattr("node.supervisor.subprocess.Popen", no_room)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(tries) > 1, 20, "more than one try")
        assert ledger.lost == [owner_of(pid)]
    wait_until(lambda: watched.pids() != [pid], 20, "its successor")
    assert watched.is_alive()


def test_a_ledger_that_fails_at_the_end_stops_nothing(ledger: Ledger):
    """A worker that has to be killed while the ledger cannot be written ends all the same."""
    made = Supervisor(Path("node.toml"), 1, ledger.expire)
    made._command = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    made.start()
    ledger.fault = StorageFault("the ledger is full")
    made.stop(0.1)
    assert made._workers[0].process.poll() == -signal.SIGKILL


def test_a_worker_that_is_stuck_holds_up_nobody(watched: Supervisor):
    """Ringing a worker that reads no more returns at once, however often it was rung."""
    (pid,) = watched.pids()
    os.kill(pid, signal.SIGSTOP)
    for _ in range(PIPE_BYTES + 1):
        watched.ring()
    os.kill(pid, signal.SIGCONT)
    assert watched.pids() == [pid]
