"""The clock of the node's machine jumps by days, forward and back, while a study is under way."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.peers import raw_scp
from examples.peers.node import running_node
from examples.peers.process import free_port, wait_until
from routing.job import State

DAY_S = 86_400
JUMPING = """
import pathlib, time
real, ahead = time.time, pathlib.Path({file!r})
time.time = lambda: real() + float(ahead.read_text())
"""
"""Python loads a module of this name first, in the front and in each worker."""
TABLES = """
[peers.SCANNER]
may = ["store"]
[peers.RAW]
host = "127.0.0.1"
port = {port}
[destinations.pacs]
kind = "dicom"
peer = "RAW"
timeout_s = 2
[destinations.shelf]
kind = "folder"
path = "shelf"
[[rules]]
name = "all"
send = ["pacs", "shelf"]
"""


@pytest.mark.usefixtures("one_worker")
@pytest.mark.p1
@pytest.mark.p3
def test_the_clock_jumps_by_days(
    tmp_path: Path, make_ct: Callable, store: Callable, monkeypatch: pytest.MonkeyPatch
):
    """Whatever the clock does, what was acknowledged is settled, waits, and is delivered once."""
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(JUMPING.format(file=str(ahead)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    port, sent = free_port(), []

    def jump(by_s: float) -> None:
        aside = tmp_path / "aside"
        aside.write_text(str(by_s))
        aside.rename(ahead)

    def told() -> Counter[str]:
        return Counter(str(one["destination"]) for one in ledger.receipts.list())

    def is_told(destination: str) -> bool:
        return told()[destination] == len(sent)

    with running_node(tmp_path, TABLES.format(port=port)) as node:
        ledger = node.ledger()
        for series, to_s in enumerate((DAY_S, -DAY_S, 0), 1):
            images = [make_ct(number, series=series) for number in range(5)]
            assert {answer.status for answer in store(node, images)} == {0}
            sent += [str(one.SOPInstanceUID) for one in images]
            jump(to_s)  # while the Series waits for more of it
            # A Series of which a part is filed behind the jump has two revisions, and more jobs.
            wait_until(lambda: is_told("shelf"), 30, "the shelf")
        wait_until(lambda: len(ledger.breakers.list()) == 1, 30, "the PACS to be missed")
        with raw_scp.running(port=port) as scp:
            jump(DAY_S)  # while its jobs wait for the PACS to be asked again
            wait_until(lambda: is_told("pacs"), 60, "the PACS")
            wait_until(lambda: not ledger.jobs.list((State.WAITING, State.RUNNING)), 30, "peace")
            assert Counter(scp.received()) == dict.fromkeys(sent, 1)
        assert ledger.held.groups() == []
        receipts = told()
        ledger.close()
    assert receipts == {"pacs": len(sent), "shelf": len(sent)}
