"""The demo is the product's promise in one table: it runs whole, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.peers import mosquitto, orthanc
from examples.peers.process import debian, wait_until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "examples.demo"]


def processes_of(scratch: Path) -> list[str]:
    """List the command lines of processes that were started for this demo."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended meanwhile
    return [line for line in lines if str(scratch) in line]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("tools", ["all", "none"])
def test_the_demo_holds(tmp_path: Path, tools: str):
    """Every row of the table holds, with Debian's peers as well as without any of them."""
    only_pypi = {"PEERS_PATH": str(tmp_path)} if tools == "none" else {}
    done = subprocess.run(
        COMMAND, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False,
        env={**os.environ, "DEMO_DIR": str(tmp_path / "demo"), "COLUMNS": "200",
             **only_pypi},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SHORT" not in done.stdout
    if tools == "all" and debian("storescu"):
        assert "by storescu" in done.stdout
        assert "C-FIND (findscu)" in done.stdout
    if tools == "all" and orthanc.binary():
        assert "PACS (Orthanc)" in done.stdout
    if tools == "all" and mosquitto.find():
        assert "events heard over MQTT" in done.stdout
    assert processes_of(tmp_path) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process(tmp_path: Path, how: signal.Signals):
    """Ctrl-C, or a kill, in the middle ends every server that the demo started."""
    scratch = tmp_path / "demo"
    with (tmp_path / "out").open("wb") as out:
        child = subprocess.Popen(
            ["env", "--default-signal=INT", *COMMAND],  # these tests may run in the background
            cwd=ROOT, stdout=out, stderr=out, env={**os.environ, "DEMO_DIR": str(scratch)},
        )  # fmt: skip
        wait_until((scratch / "node" / "node.log").exists, 60, "the node's start")
        assert len(processes_of(tmp_path)) > 1
        child.send_signal(how)
        assert child.wait(40) != 0
    assert processes_of(tmp_path) == []
