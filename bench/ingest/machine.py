"""What a run was made on and with: machine, disk, versions. A rate means nothing without them."""

import os
import platform
import re
import statistics
import subprocess
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.ingest.native import compiler
from bench.ingest.peers import PEERS
from examples.peers.process import debian

SYNCS = 200
SYNCED_BYTES = 4096


def facts(folder: Path, file_system: str, command: str) -> dict[str, Any]:
    """Gather what the table's reader has to know; the disk is the one that `folder` is on."""
    return {
        "kind": "machine",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(Path("/proc/cpuinfo").read_text()),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "system": _system(),
        "file_system": file_system,
        "sync_ms": sync_cost_ms(folder),
        "commit": _commit(),
        "versions": versions(),
        "missing": {peer.name: why for peer in PEERS.values() if (why := peer.missing())},
        "command": command,
    }


def versions() -> dict[str, str]:
    """Name the version of everything that takes part."""
    found = {
        "Penumbra": metadata.version("penumbra-node"),
        "Python": platform.python_version(),
        "pynetdicom": metadata.version("pynetdicom"),
        "pydicom": metadata.version("pydicom"),
    }
    for name, program in (("DCMTK", "storescp"), ("Orthanc", "Orthanc")):
        if path := debian(program):
            found[name] = version_in(_said(path, "--version"))
    if cc := compiler():
        found[Path(cc).name] = version_in(_said(cc, "--version"))
    return found


def version_in(text: str) -> str:
    """Find the first thing that looks like a version."""
    found = re.search(r"\d+\.\d+(?:\.\d+)*", text)
    return found[0] if found else "unknown"


def processor(cpuinfo: str) -> str:
    """Find the processor's name in /proc/cpuinfo."""
    found = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    return found[1] if found else platform.machine()


def sync_cost_ms(folder: Path) -> float:
    """Measure what fdatasync takes after 4 KB were appended to a file: the median."""
    took, file = [], folder / "sync"
    with file.open("wb", buffering=0) as sink:
        for _ in range(SYNCS):
            sink.write(bytes(SYNCED_BYTES))
            began = time.perf_counter()
            os.fdatasync(sink.fileno())
            took.append(time.perf_counter() - began)
    file.unlink()
    return 1e3 * statistics.median(took)


def free_bytes(folder: Path) -> int:
    """Tell how much room the folder's disk has for us."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def available_memory_bytes() -> int:
    """Tell how much memory programs can have without swapping."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _commit() -> str:
    commit = _said("git", "rev-parse", "--short", "HEAD").strip()
    changed = _said("git", "status", "--porcelain", "--untracked-files=no").strip()
    return f"{commit or 'unknown'}{', with changes' if changed else ''}"


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr if done.returncode == 0 else ""
