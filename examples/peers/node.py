"""Our own node as a server: started by its command, as an administrator would."""

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.peers.process import free_port, running, wait_until
from storage.ledger.events import Event
from storage.ledger.ledger import Ledger

BASE = """
[node]
ae_title = "PENUMBRA"
host = "127.0.0.1"
port = {port}
data_dir = "var"
reserve_mb = 1
[http]
host = "127.0.0.1"
port = {http_port}
[settle]
quiet_s = 2
release_s = 0.3
incomplete_s = 1
study_quiet_s = 3
[jobs]
first_wait_s = 0.2
"""


@dataclass(frozen=True, slots=True)
class Node:
    """A running node: where it listens, where it keeps things, and its process."""

    port: int
    http_port: int
    data_dir: Path
    config: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """HOST:PORT of the DICOM door."""
        return f"127.0.0.1:{self.port}"

    def ledger(self) -> Ledger:
        """Open the node's ledger beside it; the caller closes it."""
        return Ledger.open(self.data_dir)

    def run(
        self, *arguments: str | Path, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a `penumbra` command with this node's config."""
        return penumbra(*arguments, "-c", self.config, timeout_s=timeout_s)

    def wait_for(
        self, satisfied: Callable[[list[Event]], bool], timeout_s: float, what: str
    ) -> list[Event]:
        """Wait until the events so far satisfy a condition; returns them."""
        ledger, seen = self.ledger(), list[Event]()

        def ready() -> bool:
            seen.extend(ledger.outbox.after(seen[-1].id if seen else 0, 1000))
            return satisfied(seen)

        try:
            wait_until(ready, timeout_s, what)
        finally:
            ledger.close()
        return seen


def penumbra(*arguments: str | Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a `penumbra` command and give back its output."""
    return subprocess.run(
        [sys.executable, "-m", "node.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


def write_config(directory: Path, tables: str, port: int, http_port: int) -> Path:
    """Write a node.toml for loopback: quick to settle and to retry, with these tables added."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "node.toml"
    config.write_text(BASE.format(port=port, http_port=http_port) + tables)
    return config


def new_key(directory: Path) -> Path:
    """Make a pseudonym key beside the config, as an administrator does."""
    key = directory / "research.key"
    if not key.exists():
        directory.mkdir(parents=True, exist_ok=True)
        made = penumbra("key", "new", key)
        assert made.returncode == 0, made.stderr
    return key


def is_ready(http_port: int) -> bool:
    """Whether /readyz says that every part is up."""
    url = f"http://127.0.0.1:{http_port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def running_node(
    directory: Path,
    tables: str,
    *,
    ports: tuple[int, int] | None = None,
    log_name: str = "node.log",
) -> Iterator[Node]:
    """Run `penumbra serve` with a config of these tables until the block ends."""
    port, http_port = ports or (free_port(), free_port())
    config = write_config(directory, tables, port, http_port)
    log = directory / log_name
    with running(
        [sys.executable, "-m", "node.cli", "serve", "-c", config],
        ready=lambda: is_ready(http_port),
        log=log,
        timeout_s=30,
        grace_s=10,
    ) as process:
        yield Node(port, http_port, directory / "var", config, log, process)
