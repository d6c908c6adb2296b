"""`penumbra triton`: run a Triton inference server from a wheel, without GPU or container."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ai import server

_GRACE_S = 10


@click.group
def command() -> None:
    """Run a Triton inference server on this machine, for trying out and for tests.

    In production point `[models.NAME] endpoints` at the servers you have: a stock Triton
    container reads the same model repository.
    """


@command.command
@click.option(
    "--repository",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder of Triton models; the reference models by default.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--grpc-port", default=8001, show_default=True, type=click.IntRange(1, 65535))
@click.option("--http-port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve /metrics there.")
@click.option(
    "--env",
    "environment",
    type=click.Path(file_okay=False, path_type=Path),
    help="Virtual environment with nvidia-pytriton. [default: $PENUMBRA_TRITON_ENV, .venv-triton]",
)
def up(
    *,
    repository: Path | None,
    host: str,
    grpc_port: int,
    http_port: int,
    metrics_port: int | None,
    environment: Path | None,
) -> None:
    """Serve a model repository in the foreground until Ctrl-C or SIGTERM.

    Needs the environment that deploy/setup-triton.sh makes (about 25 s, once). Prints a line with
    the endpoint when the models are loaded.

    Example: penumbra triton up --repository /srv/models --grpc-port 8001
    """
    from ai import server

    ports = server.Ports(grpc_port, http_port, metrics_port)
    chosen = server.environment(environment)
    with tempfile.TemporaryDirectory(prefix="penumbra-triton-") as scratch:
        launch = server.prepare(
            chosen, repository or server.REFERENCE_REPOSITORY, Path(scratch), ports, host=host
        )
        try:
            code = _serve(launch, ports, host)
        finally:
            server.remove_shared_memory(ports)
    sys.exit(code)


def _serve(launch: "server.Launch", ports: "server.Ports", host: str) -> int:
    from ai import server

    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    child = subprocess.Popen(launch.command, env={**os.environ, **launch.env})
    ready = False
    while child.poll() is None and not stopping.wait(0.1):
        if not ready and (models := server.models(ports.http, host)) is not None:
            ready = True
            _say_ready(models, f"{host}:{ports.grpc}")
    return _end(child) if stopping.is_set() else child.returncode


def _say_ready(models: "tuple[server.Loaded, ...]", endpoint: str) -> None:
    for model in models:
        if model.state != "READY":
            click.echo(f"model {model.name} is not served: {model.reason}", err=True)
    names = ", ".join(sorted(model.name for model in models if model.state == "READY"))
    click.echo(f"ready: endpoint {endpoint} serves {names or 'no model'}")


def _end(child: "subprocess.Popen[bytes]") -> int:
    child.terminate()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return 0
