"""Keep the worker processes alive: start, wake, restart, and end them with the front."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

CALM_S = 30.0
"""A worker that lived so long is restarted at once; one that did not waits a little longer."""
LONGEST_PAUSE_S = 10.0

log = structlog.get_logger()


class Worker:
    """One child process, and its pipe: a byte is the doorbell, end of file means stop."""

    def __init__(self, command: list[str]) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)

    @property
    def owner(self) -> str:
        """The name under which this worker claims jobs."""
        return owner_of(self.process.pid)

    def ring(self) -> None:
        """Wake it; one that is already gone is found by the supervisor."""
        assert self.process.stdin is not None
        try:
            os.write(self.process.stdin.fileno(), b"\n")
        except (BrokenPipeError, ValueError):
            return

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

    def stop(self, timeout_s: float) -> None:
        """End the workers: politely, then, those that do not come to an end, by force."""
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
                self._lost(worker.owner)

    def _watch(self) -> None:
        pause_s = 0.2
        while not self._stopping.wait(0.1):
            for place, worker in enumerate(self._workers):
                if worker.process.poll() is None:
                    continue
                log.warning("worker died", pid=worker.process.pid, code=worker.process.returncode)
                worker.hang_up()
                self._lost(worker.owner)
                calm = time.monotonic() - worker.started_at > CALM_S
                pause_s = 0.2 if calm else min(pause_s * 2, LONGEST_PAUSE_S)
                if self._stopping.wait(pause_s):
                    return
                with self._lock:
                    self._workers[place] = Worker(self._command)
