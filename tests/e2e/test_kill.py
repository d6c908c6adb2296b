"""kill -9 in the middle of a send: what was acknowledged is delivered and indexed, once."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from examples.peers.node import Node, new_key, running_node
from examples.peers.process import free_port, wait_until
from examples.peers.pynet_scu import Answer, store_all
from examples.peers.seaweed import Seaweed

RULES = """
[peers.SCANNER]
may = ["store", "find"]
[profiles.research]
key = { file = "research.key" }
[[rules]]
name = "all"
profile = "research"
send = ["lake"]
"""
OBJECTS = 500


def acknowledged(answers: list[Answer]) -> set[str]:
    return {answer.sop_instance_uid for answer in answers if answer.status == 0}


def worker_pids(node: Node) -> list[int]:
    pid = node.process.pid
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in children for child in file.read_text().split()]


def delivered(node: Node) -> dict[str, int]:
    """How often each sent object has a receipt for the lake, by its original UID."""
    ledger = node.ledger()
    counts: dict[str, int] = {}
    for receipt in ledger.receipts.list("lake"):
        uid = str(receipt["source_uid"])
        counts[uid] = counts.get(uid, 0) + 1
    ledger.close()
    return counts


def assert_once_everywhere(node: Node, bucket: Seaweed, prefix: str, expected: set[str]) -> None:
    """Every expected object has one receipt, one row in the index, one object in the bucket."""
    wait_until(lambda: expected <= delivered(node).keys(), 60, "the deliveries")
    assert set(delivered(node).values()) == {1}
    rows = node.run("sql", "SELECT SOPInstanceUID FROM instance", "--format", "csv",
                    "--max-rows", "10000")  # fmt: skip
    indexed = rows.stdout.split()[1:]
    assert expected <= set(indexed)
    assert len(indexed) == len(set(indexed))
    entries = [entry["path"] for page in bucket.store().list(prefix) for entry in page]
    in_bucket = [path for path in entries if path.endswith(".dcm")]
    assert len(in_bucket) == len(set(in_bucket)) == len(delivered(node))


def images(make_ct: Callable[..., Dataset]) -> list[Dataset]:
    return [make_ct(n, series=1 + n // 100) for n in range(OBJECTS)]


@pytest.mark.p1
@pytest.mark.p7
@pytest.mark.timeout(240)
def test_the_front_is_killed(
    tmp_path: Path, bucket: Seaweed, lake: str, make_ct: Callable[..., Dataset]
):
    """kill -9 of the front loses nothing that it acknowledged; a re-send makes nothing double."""
    new_key(tmp_path)
    ports = (free_port(), free_port())
    sent: list[Answer] = []
    with running_node(tmp_path, RULES + lake, ports=ports) as node:
        store_all(
            node.port,
            images(make_ct),
            calling_ae="SCANNER",
            called_ae="PENUMBRA",
            after_each=lambda answer: (
                sent.append(answer),
                node.process.kill() if len(sent) == OBJECTS // 2 else None,
            ),
        )
    before = acknowledged(sent)
    assert OBJECTS // 2 <= len(before) < OBJECTS
    with running_node(tmp_path, RULES + lake, ports=ports, log_name="again.log") as node:
        assert_once_everywhere(node, bucket, tmp_path.name, before)
        rest = store_all(node.port, images(make_ct), calling_ae="SCANNER", called_ae="PENUMBRA")
        assert len(acknowledged(rest)) == OBJECTS
        assert_once_everywhere(node, bucket, tmp_path.name, acknowledged(rest))


@pytest.mark.p2
@pytest.mark.timeout(240)
def test_workers_are_killed(
    tmp_path: Path, bucket: Seaweed, lake: str, make_ct: Callable[..., Dataset]
):
    """kill -9 of the workers while they deliver delays the deliveries and loses none."""
    new_key(tmp_path)
    with running_node(tmp_path, RULES + lake) as node:
        killed = threading.Event()

        def kill_workers() -> None:
            wait_until(lambda: len(delivered(node)) > 20, 60, "the first deliveries")
            for pid in worker_pids(node):
                os.kill(pid, signal.SIGKILL)
            killed.set()

        killer = threading.Thread(target=kill_workers)
        killer.start()
        answers: list[Answer] = []
        for series in range(1, 6):
            mine = [image for image in images(make_ct) if image.SeriesNumber == series]
            answers += store_all(node.port, mine, calling_ae="SCANNER", called_ae="PENUMBRA")
        killer.join()
        assert killed.is_set()
        assert len(acknowledged(answers)) == OBJECTS
        assert_once_everywhere(node, bucket, tmp_path.name, acknowledged(answers))
