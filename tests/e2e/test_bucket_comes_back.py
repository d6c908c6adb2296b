"""A bucket that is away while many Series are owed to it: all drain by themselves."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom.uid import derive
from examples.peers import seaweed
from examples.peers.node import Node, running_node
from examples.peers.process import free_port, wait_until
from examples.peers.pynet_scu import Answer
from routing.job import State
from storage.ledger.ledger import Ledger

SERIES = 80
BACK_S = 60.0
"""So soon after the bucket's return everything is there."""


def tables(port: int) -> str:
    return f"""
[peers.SCANNER]
may = ["store"]
[destinations.lake]
kind = "object-store"
url = "s3://penumbra/back"
endpoint = "http://127.0.0.1:{port}"
access_key = {{ env = "BACK_ACCESS_KEY" }}
secret_key = {{ env = "BACK_SECRET_KEY" }}
[[rules]]
name = "all"
send = ["lake"]
"""


def many_series(make_ct: Callable[..., Dataset]) -> list[Dataset]:
    """One object each."""
    images = [make_ct(1) for _ in range(SERIES)]
    for n, image in enumerate(images):
        image.SeriesInstanceUID = derive("back", "series", str(n))
        image.SOPInstanceUID = derive("back", "instance", str(n))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return images


def waiting(ledger: Ledger) -> int:
    return ledger.jobs.counts()[State.WAITING]


def workers(node: Node) -> list[int]:
    children = Path(f"/proc/{node.process.pid}/task").glob("*/children")
    return [int(child) for file in children for child in file.read_text().split()]


@pytest.mark.p2
@pytest.mark.p3
def test_many_series_drain_by_themselves(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_ct: Callable[..., Dataset],
    store: Callable[[Node, Sequence[Dataset]], list[Answer]],
):
    """No attempt is spent while it is away, a killed worker changes nothing, and all arrive."""
    monkeypatch.setenv("BACK_ACCESS_KEY", seaweed.ACCESS_KEY)
    monkeypatch.setenv("BACK_SECRET_KEY", seaweed.SECRET_KEY)
    port = free_port()
    with running_node(tmp_path, tables(port)) as node:
        answers = store(node, many_series(make_ct))
        assert {answer.status for answer in answers} == {0}
        ledger = node.ledger()
        wait_until(lambda: waiting(ledger) == SERIES, 60, "the jobs")
        wait_until(lambda: len(ledger.breakers.list()) == 1, 60, "the bucket to count as dead")
        (away,) = ledger.breakers.list()
        assert away.waiting >= SERIES - 2
        wait_until(lambda: ledger.breakers.of("lake").tries >= 2, 60, "questions in vain")
        for pid in workers(node):
            os.kill(pid, signal.SIGKILL)
        attempts = {job.attempts for job in ledger.jobs.list([State.WAITING])}
        assert attempts == {0}, "not one attempt is spent"
        assert ledger.held.groups() == []
        with seaweed.running(tmp_path / "bucket", port=port) as bucket:
            begun = time.monotonic()
            wait_until(lambda: ledger.jobs.counts()[State.DONE] == SERIES, BACK_S, "the drain")
            assert time.monotonic() - begun < BACK_S
            there = [entry for page in bucket.store("back").list() for entry in page]
            assert len([entry for entry in there if entry["path"].endswith(".dcm")]) == SERIES
        assert {job.attempts for job in ledger.jobs.list([State.DONE])} == {1}
        told = [event.type for event in ledger.outbox.after(0, 10_000)]
        assert told.count("penumbra.target.unreachable") == told.count("penumbra.target.back") == 1
        ledger.close()
