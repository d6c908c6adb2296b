"""PostgreSQL as a real server, from Debian's package; it never runs as root."""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from examples.peers.process import free_port
from examples.peers.process import running as process

USER = "penumbra"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster on disk: what a server is started on, and started on again after a crash."""

    folder: Path
    port: int
    settings: tuple[str, ...]

    def url(self, database: str = "postgres") -> str:
        """Name a database of it, as [ledger] url does."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Connect with a client of our own, beside the node's."""
        return psycopg.connect(self.url(), autocommit=True, connect_timeout=5)

    def new_database(self) -> str:
        """Make an empty database; gives its url."""
        name = f"penumbra_{next(_numbers)}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database that `new_database` made, whoever is still connected to it."""
        name = url.rpartition("/")[2]
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

    def is_ready(self) -> bool:
        """Whether the server lets us in."""
        try:
            self.connect().close()
        except psycopg.Error:
            return False
        return True

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server until the block ends, if nobody kills it before; gives its process."""
        listen = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        settings = [part for setting in self.settings for part in ("-c", setting)]
        with process(
            [*_unprivileged(), binary("postgres"), "-D", self.folder / "data",
             "-p", str(self.port), *listen, *settings],
            ready=self.is_ready,
            log=self.folder / "postgres.log",
            cwd=Path("/"),
        ) as child:  # fmt: skip
            try:
                yield child
            finally:
                child.send_signal(signal.SIGINT)  # at once, whoever is connected
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(5)


def binary(name: str) -> Path | None:
    """Find a program of the newest PostgreSQL; Debian keeps them off the PATH."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4])
    )
    on_path = shutil.which(name)
    return found[-1] if found else Path(on_path) if on_path else None


def is_installed() -> bool:
    """Whether there is a server to run, and a user that may run it."""
    if binary("postgres") is None or binary("initdb") is None:
        return False
    return os.getuid() != 0 or _account() is not None


@contextlib.contextmanager
def cluster(*, durable: bool = False) -> Iterator[Cluster]:
    """Make a cluster in a folder of its own, and remove it when the block ends.

    Without `durable` nothing is synced: what was committed outlives the server, not the machine.
    """
    folder = Path(tempfile.mkdtemp(prefix="penumbra-postgres-"))
    try:
        if os.getuid() == 0 and (account := _account()):
            os.chown(folder, account.pw_uid, account.pw_gid)
        initdb = [*_unprivileged(), binary("initdb"), "-D", folder / "data", "-U", USER, "-A"]
        subprocess.run(
            [*map(str, initdb), "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        quick = () if durable else ("fsync=off", "full_page_writes=off")
        yield Cluster(folder, free_port(), (*quick, "max_connections=200", "shared_buffers=32MB"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(*, durable: bool = False) -> Iterator[Cluster]:
    """Run a server on a cluster of its own until the block ends."""
    with cluster(durable=durable) as made, made.running():
        yield made


def _account() -> pwd.struct_passwd | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return None


def _unprivileged() -> list[str]:
    """Run what follows as the user postgres where we are root, which PostgreSQL refuses."""
    if os.getuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
