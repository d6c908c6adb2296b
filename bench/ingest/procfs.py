"""What Linux tells of a process and its descendants: processor time, memory, listening ports.

A server's time is that of its whole tree, children that have ended included: a peer that forks for
each association, or hands work to workers, is charged for them.
"""

import contextlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MB = 1_000_000
LISTENING = "0A"
SAMPLE_EVERY_S = 0.1
REST_S = 0.25
REST_TICKS = 1
TO_RSS = "5"
"""Written to clear_refs it sets the highest resident set back to the present one (proc(5))."""


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Processor time so far, user and system."""

    main_s: float
    """Of the process that was started, without its children."""
    tree_s: float
    """Of that process and all its descendants."""

    def since(self, earlier: "CpuTime") -> "CpuTime":
        """Give what was used after an earlier reading."""
        return CpuTime(self.main_s - earlier.main_s, self.tree_s - earlier.tree_s)


def tree(pid: int) -> list[int]:
    """List a process and its descendants, zombies included; the process itself comes first."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                with contextlib.suppress(OSError):
                    waiting += map(int, (task / "children").read_text().split())
    return found


def cpu_time(pid: int) -> CpuTime:
    """Read the processor time of a process and of its tree."""
    main_ticks = tree_ticks = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            own, of_reaped = ticks(Path(f"/proc/{one}/stat").read_text())
            main_ticks += own if one == pid else 0
            tree_ticks += own + of_reaped
    return CpuTime(main_ticks / TICKS_PER_S, tree_ticks / TICKS_PER_S)


def ticks(stat: str) -> tuple[int, int]:
    """Read the ticks of a process and of its reaped children from its /proc stat line."""
    fields = stat.rpartition(")")[2].split()  # a name may hold spaces and brackets
    utime, stime, cutime, cstime = map(int, fields[11:15])
    return utime + stime, cutime + cstime


def wait_for_rest(pid: int, within_s: float) -> bool:
    """Wait until a tree does nothing, such as imports of children; False where it never rests."""
    deadline, before = time.monotonic() + within_s, cpu_time(pid)
    while time.monotonic() < deadline:
        time.sleep(REST_S)
        now = cpu_time(pid)
        if now.since(before).tree_s * TICKS_PER_S <= REST_TICKS:
            return True
        before = now
    return False


def busy_s() -> float:
    """Read how long all processors together were busy since the machine started."""
    first = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, first.split()[1:])
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Read the resident memory of a process, in MB of 1,000,000 bytes; 0 where it ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / MB
    except (OSError, IndexError):
        return 0.0


def highest_resident_mb(pid: int) -> float:
    """Read the most resident memory that a process had since `forget_highest`, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MB
    return 0.0


def forget_highest(pid: int) -> None:
    """Let the highest resident memory start anew at the present one."""
    Path(f"/proc/{pid}/clear_refs").write_text(TO_RSS)


def listens(port: int) -> bool:
    """Whether somebody listens on a TCP port; seen from outside, no connection is made."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            if port in listening_ports(Path(table).read_text()):
                return True
    return False


def listening_ports(table: str) -> set[int]:
    """Read the ports in state LISTEN from /proc/net/tcp or tcp6."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTENING}


class MemoryWatch:
    """Samples the resident memory of a tree until the block ends; `peak_mb` is its highest sum."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory watch", daemon=True)
        self.peak_mb = 0.0

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            self._look()

    def _look(self) -> None:
        self.peak_mb = max(self.peak_mb, sum(map(resident_mb, tree(self._pid))))
