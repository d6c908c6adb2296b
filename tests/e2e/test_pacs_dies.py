"""A PACS that is killed, takes no contexts, or aborts at the 50th object gets everything, once."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.peers import cable, orthanc, raw_scp
from examples.peers.node import Node, running_node
from examples.peers.process import wait_until
from examples.peers.raw_scp import Behaviour
from routing.job import State

TABLES = """
[peers.SCANNER]
may = ["store"]
[peers.{aet}]
host = "127.0.0.1"
port = {port}
[destinations.pacs]
kind = "dicom"
peer = "{aet}"
timeout_s = 5
[[rules]]
name = "all"
send = ["pacs"]
"""


def receipts(node: Node) -> Counter[str]:
    """Count the receipts of each object, once the job is done."""
    ledger = node.ledger()
    wait_until(lambda: ledger.jobs.counts()[State.DONE] == 1, 60, "the delivery")
    assert ledger.held.groups() == []
    found = Counter(str(one["source_uid"]) for one in ledger.receipts.list("pacs"))
    ledger.close()
    return found


@pytest.mark.usefixtures("one_worker")
@pytest.mark.p2
@pytest.mark.p3
@pytest.mark.skipif(orthanc.binary() is None, reason="no Orthanc (apt-get install orthanc)")
def test_a_pacs_is_killed_in_mid_transfer(tmp_path: Path, make_ct: Callable, store: Callable):
    """kill -9 of Orthanc: the job waits without an attempt, and goes on when it is back."""
    images = [make_ct(number) for number in range(150)]
    uids = [str(one.SOPInstanceUID) for one in images]
    with (
        orthanc.running(tmp_path / "pacs") as pacs,
        cable.running(pacs.port) as wire,
        running_node(tmp_path, TABLES.format(aet=pacs.aet, port=wire.port)) as node,
    ):
        store(node, images)
        wait_until(lambda: wire.forwarded_bytes > 30_000, 30, "the first objects")
        pacs.kill()
        ledger = node.ledger()
        wait_until(lambda: len(ledger.breakers.list()) == 1, 30, "the PACS to be missed")
        paid = ledger.receipts.list("pacs")
        assert 0 < len(paid) < len(images)
        assert [job.attempts for job in ledger.jobs.list([State.WAITING])] == [0]
        ledger.close()
        with orthanc.running(tmp_path / "pacs", port=pacs.port) as again:
            assert receipts(node) == dict.fromkeys(uids, 1)
            assert sorted(again.received()) == sorted(uids)


@pytest.mark.usefixtures("one_worker")
@pytest.mark.p3
def test_a_pacs_takes_no_contexts_and_then_aborts_at_the_50th(
    tmp_path: Path, make_ct: Callable, store: Callable
):
    """Refused contexts are held in words until a retry; an abort at the 50th loses no object."""
    images = [make_ct(number) for number in range(60)]
    mood = Behaviour(accepts=lambda _sop_class, _syntax: False, abort_at=50)
    with (
        raw_scp.running(mood) as scp,
        running_node(tmp_path, TABLES.format(aet="RAW", port=scp.port)) as node,
    ):
        store(node, images)
        ledger = node.ledger()
        wait_until(lambda: ledger.jobs.counts()[State.HELD] == 1, 30, "the held job")
        ledger.close()
        (held,) = map(json.loads, node.run("held", "--json").stdout.splitlines())
        assert held["fault"] == "refused"
        assert "does not accept" in held["words"]
        assert scp.received() == []
        mood.accepts = lambda _sop_class, _syntax: True
        node.run("retry", "--target", "pacs")
        uids = dict.fromkeys((str(one.SOPInstanceUID) for one in images), 1)
        assert receipts(node) == uids
    assert Counter(scp.received()) == uids
