"""Door to door: objects go in by C-STORE and out by C-STORE, through Orthanc's Lua or through us.

The time is from the start of the sender to the last object's arrival at the receiving Orthanc. Both
keep what they take on disk first. Orthanc's script sends each object on by itself as soon as it has
it; the node waits until its Series is complete, and so sends nothing on while it still receives.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.forward.to_orthanc import AET, arrived
from bench.ingest.peers import NODELAY
from bench.ingest.procfs import wait_for_rest
from bench.laps import Lap, Results, Run, Watch
from examples.peers import orthanc
from examples.peers.node import running_node
from examples.peers.process import debian, free_port, wait_until

LUA, NODE = "Orthanc, auto-forward by Lua", "penumbra serve"
RELEASE_S = 0.3
"""As examples/peers/node.py sets it: so long a Series is waited for after its sender left."""
SCRIPT = "function OnStoredInstance(instance)\n  SendToModality(instance, 'next')\nend\n"
TABLES = """
[peers.STORESCU]
may = ["store"]
[peers.{aet}]
host = "127.0.0.1"
port = {port}
[destinations.pacs]
kind = "dicom"
peer = "{aet}"
[[rules]]
name = "all"
send = ["pacs"]
"""
ARRIVES_WITHIN_S = 120.0


def case(work: str) -> str:
    """Name the table of a workload."""
    return f"through {work}"


@dataclass(frozen=True, slots=True)
class Relay:
    """What is sent through, and where it has to arrive."""

    work: str
    files: list[Path]
    folder: Path
    port: int
    """Of the receiving Orthanc."""
    rests_within_s: float
    """So long whoever is between may take to come to rest before it is measured."""

    def contenders(self) -> dict[str, Run]:
        """Give what takes turns; each starts with empty stores."""
        return {LUA: lambda turn: self._lap(LUA, turn), NODE: lambda turn: self._lap(NODE, turn)}

    def _lap(self, name: str, turn: int) -> Lap:
        between = self._lua if name == LUA else self._node
        try:
            with (
                orthanc.running(self.folder / "last", port=self.port, aet=AET) as last,
                between() as door,
                Watch() as watch,
            ):
                send(self.files, door)
                count = len(self.files)
                wait_until(lambda: arrived(last) == count, ARRIVES_WITHIN_S, "arrival of all")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        size = sum(file.stat().st_size for file in self.files)
        return Lap(case(self.work), name, turn, count, size, watch.seconds)

    @contextmanager
    def _lua(self) -> Iterator[int]:
        """Run an Orthanc that sends on; gives its port."""
        home = self.folder / "lua"
        home.mkdir(parents=True)
        script = home / "forward.lua"
        script.write_text(SCRIPT)
        more = {
            "LuaScripts": [str(script)],
            "DicomModalities": {"next": [AET, "127.0.0.1", self.port]},
            "SyncStorageArea": True,
        }
        with orthanc.running(home, more=more) as pacs:
            wait_for_rest(pacs.pids[-1], self.rests_within_s)
            yield pacs.port

    @contextmanager
    def _node(self) -> Iterator[int]:
        """Run the whole node; gives its port."""
        tables = TABLES.format(aet=AET, port=self.port)
        with running_node(self.folder / "node", tables) as node:
            wait_for_rest(node.process.pid, self.rests_within_s)
            yield node.port


def send(files: list[Path], port: int) -> None:
    """Send files by storescu over one association."""
    done = subprocess.run(
        ["storescu", "-R", "-aec", "PENUMBRA", "127.0.0.1", str(port), *map(str, files)],
        env={**os.environ, **NODELAY}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"storescu ended with {done.returncode}: {done.stderr}")


def measure(
    results: Results, folder: Path, files: list[Path], work: str, turns: int, *, rest_s: float
) -> None:
    """Send files of one workload through; without Orthanc and storescu it is left out."""
    if orthanc.binary() is None or debian("storescu") is None:
        results.missing.append("door to door (Debian: apt-get install orthanc dcmtk)")
        return
    relay = Relay(work, files, folder, free_port(), rest_s)
    results.take_turns(turns, relay.contenders())
