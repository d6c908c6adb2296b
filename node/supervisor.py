"""Keep the worker processes alive: start, wake, restart, and end them with the front."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from dicom.errors import Fault

CALM_S = 30.0
"""A worker that lived so long is restarted at once; one that did not waits a little longer."""
LONGEST_PAUSE_S = 10.0
LOOK_EVERY_S = 0.1
TROUBLE_S = 1.0
"""So long the watch waits when it could not do what is due, before it tries again."""

log = structlog.get_logger()


class Worker:
    """One child process, and its pipe: a byte is the doorbell, end of file means stop."""

    def __init__(self, command: list[str]) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)
        self.is_mourned = False
        """Whether its death was noted."""

    @property
    def owner(self) -> str:
        """The name under which this worker claims jobs."""
        return owner_of(self.process.pid)

    def ring(self) -> None:
        """Wake it; one that is already gone is found by the supervisor."""
        assert self.process.stdin is not None
        # One that is stuck holds up nobody: a full pipe was rung often enough.
        with contextlib.suppress(BrokenPipeError, BlockingIOError, ValueError):
            os.write(self.process.stdin.fileno(), b"\n")

    def hang_up(self) -> None:
        """Close the pipe: the worker gives its job back and ends."""
        assert self.process.stdin is not None
        self.process.stdin.close()


def owner_of(pid: int) -> str:
    """Name a worker process in the ledger."""
    return f"{os.uname().nodename}:{pid}"


class Supervisor:
    """Holds `count` workers until stopped."""

    def __init__(self, config_file: Path, count: int, lost: Callable[[str], object]) -> None:
        self._command = [
            sys.executable, "-m", "node.cli", "work", "-c", str(config_file), "--until-eof",
        ]  # fmt: skip
        self._count = count
        self._lost = lost
        self._owed: list[str] = []
        """Workers that are gone, and whose jobs the ledger has not taken back yet."""
        self._pause_s = 0.2
        self._workers: list[Worker] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the workers and the thread that watches them."""
        with self._lock:
            self._workers = [Worker(self._command) for _ in range(self._count)]
        self._thread.start()

    def ring(self) -> None:
        """Tell the workers that there is work."""
        with self._lock:
            for worker in self._workers:
                worker.ring()

    def pids(self) -> list[int]:
        """List the workers' process ids."""
        with self._lock:
            return [worker.process.pid for worker in self._workers]

    def is_alive(self) -> bool:
        """Whether the thread runs that watches the workers."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """End the workers: politely, then, those that do not come to an end, by force.

        Jobs that could not be given back are when their leases end.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        deadline = time.monotonic() + timeout_s
        for worker in self._workers:
            worker.hang_up()
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker killed", pid=worker.process.pid)
                worker.process.kill()
                worker.process.wait()
                self._owed.append(worker.owner)
        self._attempt(self._give_back)

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            # Each by itself: a ledger that cannot be written costs no worker its successor.
            steps = (self._mourn, self._give_back, self._replace)
            done = [self._attempt(step) for step in steps]
            if not all(done):
                self._stopping.wait(TROUBLE_S)

    def _attempt(self, step: Callable[[], None]) -> bool:
        """Take a step; returns whether it succeeded. What it left undone is tried again."""
        try:
            step()
        except Fault as fault:
            log.error("workers not looked after", fault=fault.code, words=str(fault))
        except Exception as bug:  # no worker is restarted any more if the watch ends
            log.error("workers not looked after", exc_info=bug)
        else:
            return True
        return False

    def _mourn(self) -> None:
        """Note each that died."""
        for worker in self._workers:
            if worker.is_mourned or worker.process.poll() is None:
                continue
            worker.is_mourned = True
            log.warning("worker died", pid=worker.process.pid, code=worker.process.returncode)
            worker.hang_up()
            self._owed.append(worker.owner)
            calm = time.monotonic() - worker.started_at > CALM_S
            self._pause_s = 0.2 if calm else min(self._pause_s * 2, LONGEST_PAUSE_S)

    def _give_back(self) -> None:
        """Have the ledger take back what they had claimed."""
        while self._owed:
            self._lost(self._owed[0])
            del self._owed[0]

    def _replace(self) -> None:
        """Put a new worker in the place of each that is mourned."""
        for place, worker in enumerate(self._workers):
            if not worker.is_mourned:
                continue
            if self._stopping.wait(self._pause_s):
                return
            with self._lock:
                self._workers[place] = Worker(self._command)
