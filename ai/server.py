"""How to start a Triton server from the environment that deploy/setup-triton.sh makes.

The nvidia-pytriton wheel carries the genuine `tritonserver`; here is its command line and its
process environment. On a GPU machine a stock Triton container serves the same repository.
"""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom.errors import ConfigFault

REFERENCE_REPOSITORY: Final = Path(__file__).parent / "serving" / "repository"
"""The models that come with Penumbra."""
OWN_BACKENDS: Final = Path(__file__).parent / "serving" / "backends"
"""Backends in Python that stand in for those in C++ that the wheel does not carry."""
ENVIRONMENT_VARIABLE: Final = "PENUMBRA_TRITON_ENV"

_ASK = """
import json, sys, sysconfig
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "packages": sysconfig.get_paths()["purelib"],
    "library": sysconfig.get_config_var("LIBDIR") or "",
}))
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line, and the variables to add to the process's environment."""

    command: tuple[str, ...]
    env: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens; without a metrics port it serves no metrics."""

    grpc: int
    http: int
    metrics: int | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model of the server's repository, and why it is not ready if it is not."""

    name: str
    version: str
    state: str
    reason: str


def environment(chosen: Path | None = None) -> Path:
    """Find the server's virtual environment: chosen, else by variable, else .venv-triton.

    Raises ConfigFault, with the command that makes it, when there is none.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    default = Path(named) if named else Path(__file__).parents[1] / ".venv-triton"
    path = (chosen or default).absolute()
    if not (path / "bin" / "python").exists():
        words = f"no Triton environment at {path}; make it with deploy/setup-triton.sh"
        raise ConfigFault([(ENVIRONMENT_VARIABLE, words)])
    return path


def prepare(
    environment: Path, repository: Path, scratch: Path, ports: Ports, *, host: str = "127.0.0.1"
) -> Launch:
    """Lay out a backend folder under `scratch` and return what to run.

    Raises ConfigFault when the repository is no directory or the environment lacks the server.
    """
    if not repository.is_dir():
        raise ConfigFault([("--repository", f"{repository} is not a directory")])
    asked = _facts(environment)
    packages = Path(asked["packages"])
    triton = packages / "pytriton" / "tritonserver"
    if not (triton / "bin" / "tritonserver").exists():
        words = f"{environment} has no nvidia-pytriton; make it with deploy/setup-triton.sh"
        raise ConfigFault([(ENVIRONMENT_VARIABLE, words)])
    backends = _lay_out_backends(triton, asked["version"], scratch)
    libraries = (asked["library"], str(packages / "nvidia_pytriton.libs"))
    return Launch(
        command=(
            str(triton / "bin" / "tritonserver"),
            f"--model-repository={repository.absolute()}",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix(ports)}",
            f"--cache-directory={triton / 'caches'}",
            *_addresses(ports, host),
            "--allow-gpu-metrics=false",
            "--exit-timeout-secs=5",
            "--exit-on-error=false",
            # All models are loaded at the start, and a client may load one anew: what the node does
            # for a model whose process died.
            "--model-control-mode=explicit",
            "--load-model=*",
        ),
        env={
            "LD_LIBRARY_PATH": ":".join(part for part in libraries if part),
            # A model's process finds its packages through the first python on PATH.
            "PATH": f"{environment / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": "",
        },
    )


def shared_memory_prefix(ports: Ports) -> str:
    """Name the server's regions under /dev/shm: a killed server leaves them behind."""
    return f"penumbra_triton_{ports.grpc}_"


def remove_shared_memory(ports: Ports) -> None:
    """Delete what a server that was killed left under /dev/shm. Call it after the server ended."""
    for region in Path("/dev/shm").glob(f"{shared_memory_prefix(ports)}*"):  # noqa: S108  (POSIX shared memory has no other place)
        region.unlink(missing_ok=True)


def models(http_port: int, host: str = "127.0.0.1") -> tuple[Loaded, ...] | None:
    """List the server's models with their states; None while it does not answer yet.

    Triton opens its ports after the first loading of all models, so an answer is final.
    """
    url = f"http://{host}:{http_port}/v2/repository/index"
    question = urllib.request.Request(url, data=b"{}", method="POST")
    try:
        with urllib.request.urlopen(question, timeout=2) as answer:  # noqa: S310  (an http URL of ours)
            rows = json.load(answer)
    except (OSError, urllib.error.URLError, ValueError):
        return None
    return tuple(
        Loaded(
            name=row["name"],
            version=row.get("version", ""),
            state=row.get("state", "UNAVAILABLE"),
            reason=row.get("reason", ""),
        )
        for row in rows
    )


def _facts(environment: Path) -> dict[str, str]:
    python = environment / "bin" / "python"
    try:
        asked = subprocess.run([python, "-c", _ASK], capture_output=True, check=True, timeout=30)
        facts: dict[str, str] = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as fault:
        words = f"{python} does not run; remove {environment}, then run deploy/setup-triton.sh"
        raise ConfigFault([(ENVIRONMENT_VARIABLE, words)]) from fault
    return facts


def _lay_out_backends(triton: Path, version: str, scratch: Path) -> Path:
    # The wheel keeps one stub per Python version apart; the server wants the right one beside
    # the backend's library.
    backends = scratch / "backends"
    python = backends / "python"
    python.mkdir(parents=True, exist_ok=True)
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        words = f"nvidia-pytriton serves no Python {version}; use 3.11, 3.12 or 3.13"
        raise ConfigFault([(ENVIRONMENT_VARIABLE, words)])
    library = triton / "backends" / "python"
    for source in (
        library / "libtriton_python.so",
        library / "triton_python_backend_utils.py",
        stub,
    ):
        shutil.copy(source, python / source.name)
    for backend in OWN_BACKENDS.glob("*/model.py"):
        (backends / backend.parent.name).mkdir(exist_ok=True)
        shutil.copy(backend, backends / backend.parent.name)
    return backends


def _addresses(ports: Ports, host: str) -> tuple[str, ...]:
    metrics = (
        ("--allow-metrics=false",)
        if ports.metrics is None
        else (f"--metrics-address={host}", f"--metrics-port={ports.metrics}")
    )
    return (
        f"--grpc-address={host}",
        f"--grpc-port={ports.grpc}",
        f"--http-address={host}",
        f"--http-port={ports.http}",
        *metrics,
    )
