"""Send objects to a server: with our load generator, or with DCMTK's storescu.

Both tell the same facts, by the names of the fields of a Cell. storescu reads and decodes each file
as it goes, so on few cores a good part of what is measured is storescu itself; and it does not tell
how long an answer took.
"""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ingest.native import Programs
from bench.ingest.peers import CALLED, NODELAY
from examples.peers.process import debian

ENDS_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: which files, over how many associations, until when."""

    files: Sequence[Path]
    associations: int
    objects: int = 0
    """At most; 0 sets no bound."""
    seconds: float = 0
    """At most, but each association sends one object; 0 sets no bound."""
    calling: str = "LOAD"
    first_serial: int = 0
    """The counter in the first UID of each association."""


def send(load: Load, port: int, programs: Programs) -> dict[str, Any]:
    """Send with our own load generator: one process, next to no time of its own."""
    words = ["-a", load.associations, "-n", load.objects, "-t", load.seconds, "-s",
             load.first_serial, "-c", CALLED, "-g", load.calling, port, *load.files]  # fmt: skip
    done = subprocess.run(
        [str(programs.load), *map(str, words)],
        capture_output=True, text=True, check=False, timeout=ENDS_WITHIN_S,
    )  # fmt: skip
    if done.returncode:
        return {"failures": 1, "trouble": done.stderr.strip() or f"load: {done.returncode}"}
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def send_with_storescu(load: Load, port: int) -> dict[str, Any]:
    """Send each file once with DCMTK's storescu, a process for each association.

    The time is from the start of the first process to the end of the last one.
    """
    files = load.files[: load.objects or None]
    command = [debian("storescu") or "storescu", "-R", "-xt", "-aet", load.calling, "-aec", CALLED]
    began, cpu_s = time.monotonic(), _children_cpu_s()
    clients = [
        subprocess.Popen(
            [*command, "127.0.0.1", str(port), *files[number :: load.associations]],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, env={**os.environ, **NODELAY},
        )
        for number in range(load.associations)
    ]  # fmt: skip
    troubles = [_end(client, began + ENDS_WITHIN_S) for client in clients]
    seconds = time.monotonic() - began
    failures = sum(map(bool, troubles))
    return {
        "objects": 0 if failures else len(files),
        "failures": failures,
        "bytes": sum(file.stat().st_size for file in files),
        "seconds": seconds,
        "client_cpu_s": _children_cpu_s() - cpu_s,
        "trouble": next(filter(None, troubles), ""),
    }


def _end(client: subprocess.Popen[str], deadline: float) -> str:
    """Wait for a client; gives its trouble in words, or nothing."""
    try:
        _, words = client.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        client.kill()
        client.communicate()
        return f"storescu took longer than {ENDS_WITHIN_S:g} s"
    last = words.strip().splitlines()[-1:] or [""]
    return (last[0] or f"storescu ended with {client.returncode}") if client.returncode else ""


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system
