"""What a worker hears: bytes ring, the end stops, and before it can work the end ends it."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, threading
from node.workers.doorbell import Doorbell

doorbell, stopped = Doorbell(), threading.Event()
doorbell.start()
print("listening", flush=True)
if sys.argv[1] == "loads":
    threading.Event().wait(60)
    sys.exit(3)
doorbell.attach(lambda: print("rung", flush=True), stopped.set)
print("attached", flush=True)
sys.exit(0 if stopped.wait(60) else 4)
"""


def start(tmp_path: Path, how: str) -> subprocess.Popen[str]:
    file = tmp_path / "worker.py"
    file.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, file, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )


def test_while_it_loads_the_end_ends_it(tmp_path: Path):
    """A worker that cannot work yet has nothing to give back: it ends at once, as asked."""
    with start(tmp_path, "loads") as worker:
        assert worker.stdout.readline() == "listening\n"
        worker.stdin.write("\n")  # rings nobody
        worker.stdin.close()
        assert worker.wait(20) == 0


def test_bytes_ring_and_the_end_stops(tmp_path: Path):
    """Once attached, each ring is heard, and the end is the loop's own business."""
    with start(tmp_path, "works") as worker:
        assert worker.stdout.readline() == "listening\n"
        assert worker.stdout.readline() == "attached\n"
        worker.stdin.write("\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "rung\n"
        worker.stdin.close()
        assert worker.wait(20) == 0
