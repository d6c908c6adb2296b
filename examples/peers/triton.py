"""A real Triton inference server on loopback, from the environment .venv-triton."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ai import server
from examples.peers.process import PeerDied, free_port, tail
from examples.peers.process import running as process


@dataclass(frozen=True, slots=True)
class Triton:
    """A running server: its two ports, its process id, where it logs, and what it serves."""

    grpc_port: int
    http_port: int
    pid: int
    log: Path
    models: tuple[server.Loaded, ...]

    @property
    def endpoint(self) -> str:
        """HOST:PORT of gRPC, as `[models.NAME] endpoints` wants it."""
        return f"127.0.0.1:{self.grpc_port}"


@contextlib.contextmanager
def running(
    directory: Path,
    *,
    repository: Path = server.REFERENCE_REPOSITORY,
    environment: Path | None = None,
    grpc_port: int | None = None,
    timeout_s: float = 60,
) -> Iterator[Triton]:
    """Serve a model repository until the block ends; scratch files and log lie in `directory`.

    Raises ConfigFault when .venv-triton is absent, PeerDied when a model does not load.
    """
    ports = server.Ports(grpc=grpc_port or free_port(), http=free_port())
    found = server.environment(environment)
    launch = server.prepare(found, repository, directory, ports)
    log = directory / "triton.log"
    try:
        with process(
            launch.command,
            ready=lambda: server.models(ports.http) is not None,
            log=log,
            env=launch.env,
            timeout_s=timeout_s,
            # It ends by itself after 3 to 5 s, most of which it sleeps. Killed, it leaves nothing
            # but the shared memory that is removed below.
            grace_s=0.2,
        ) as child:
            models = server.models(ports.http) or ()
            broken = [f"{model.name}: {model.reason}" for model in models if model.state != "READY"]
            if broken:
                raise PeerDied("\n".join([*broken, tail(log)]))
            yield Triton(ports.grpc, ports.http, child.pid, log, models)
    finally:
        server.remove_shared_memory(ports)
