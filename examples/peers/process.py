"""Start a real server as a child, wait until it answers, and end it with its whole group."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

_LOWEST_PORT: Final = 12_000
_PORTS: Final = 20_000
_FOUND: Final[set[int]] = set()


class PeerDied(RuntimeError):  # noqa: N818  (an event, not a mistake)
    """The server ended, or never answered; the message ends with the tail of its log."""


def debian(name: str) -> str | None:
    """Find a server from a Debian package, also in the folders that only root has on its PATH.

    PEERS_PATH in the environment takes the place of all of them.
    """
    everywhere = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which(name, path=os.environ.get("PEERS_PATH", everywhere))


def free_port() -> int:
    """Find a loopback TCP port that nobody listens on, by chance.

    It lies below those that the system gives to outgoing connections: one of these could take it
    before its server does, or while that is restarted. None is found twice in one process.
    """
    while True:
        port = _LOWEST_PORT + secrets.randbelow(_PORTS)  # tests may seed `random`
        if port in _FOUND:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _FOUND.add(port)
            return port


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts a TCP connection there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 0.5):
        return True
    return False


def wait_until(ready: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll `ready` every 20 ms until it is true; raise TimeoutError naming `what` otherwise."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took longer than {timeout_s:g} s")
        time.sleep(0.02)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block has ended, where this is the main thread.

    A child that a signal cuts off from its name while it starts would never be ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)

    before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for one in came:
            signal.raise_signal(one)


def _end(child: subprocess.Popen[bytes], grace_s: float) -> None:
    for what, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, max(grace_s, 5.0))):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, what)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience_s)
            break
    with contextlib.suppress(ProcessLookupError):  # children that outlived their parent
        os.killpg(child.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    ready: Callable[[], bool],
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 30,
    grace_s: float = 5,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a process group of its own until the block ends.

    Output goes to `log`. Raises PeerDied with the log's tail when it ends early or stays silent.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    child: subprocess.Popen[bytes] | None = None
    with log.open("wb") as sink:
        try:
            with _undisturbed():
                child = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(env or {})},
                    cwd=cwd,
                    start_new_session=True,
                )
            try:
                wait_until(lambda: child.poll() is not None or ready(), timeout_s, str(command[0]))
            except TimeoutError as late:
                raise PeerDied(f"{late}\n{tail(log)}") from None
            if child.poll() is not None:
                raise PeerDied(f"{command[0]} ended with {child.returncode}\n{tail(log)}")
            yield child
        finally:
            if child is not None:
                _end(child, grace_s)


def tail(log: Path, lines: int = 30) -> str:
    """Read the last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
