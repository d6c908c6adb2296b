"""All Tritons are down: what becomes of a node's jobs, and when they go on once one is ready."""

import time
from pathlib import Path

from ai import phantom
from bench.forward.through import send
from bench.laps import Results
from examples.peers import triton as peer
from examples.peers.node import Node, running_node
from examples.peers.process import debian, free_port
from storage.ledger.events import Event

MADE = "penumbra.result.made"
TABLES = """
[peers.STORESCU]
may = ["store"]
[destinations.archive]
kind = "folder"
path = "archive"
[models.emphysema]
endpoints = ["127.0.0.1:{port}"]
model = "ct_emphysema"
[[rules]]
name = "chest CT"
when = {{ Modality = ["CT"] }}
send = ["archive"]
infer = ["emphysema"]
results_to = ["archive"]
"""


def measure(results: Results, folder: Path, *, studies: int, seconds: float) -> None:
    """Send Series to a node whose model is nowhere, wait, and start a Triton."""
    if debian("storescu") is None:
        results.missing.append("all servers down (Debian: apt-get install dcmtk)")
        return
    port = free_port()
    with running_node(folder / "node", TABLES.format(port=port)) as node:
        for number in range(studies):
            truth = phantom.write(
                folder / f"study{number}", slices=24, size=64, label=f"away{number}"
            )
            send(list(truth.files), node.port)
        # So long that the node asks for the model as seldom as it ever does.
        time.sleep(seconds)
        with peer.running(folder / "triton", grpc_port=port):
            ready_at = time.monotonic()
            first_s, all_s, done = _until_done(node, studies, ready_at)
    results.findings |= {
        "away, studies": studies,
        "away, lost": studies - done,
        "away, first s": first_s,
        "away, all s": all_s,
    }


def _until_done(node: Node, studies: int, since: float) -> tuple[float, float, int]:
    """Give the seconds until the first result and until the last, and how many there were."""
    first: list[float] = []
    found: set[str] = set()

    def is_done(events: list[Event]) -> bool:
        found.update(str(each.subject) for each in events if each.type == MADE)
        if found and not first:
            first.append(time.monotonic() - since)
        return len(found) >= studies

    try:
        node.wait_for(is_done, 60, "the results")
    except TimeoutError:
        return first[0] if first else float("inf"), float("inf"), len(found)
    return first[0], time.monotonic() - since, len(found)
