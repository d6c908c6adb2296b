"""The network to a PACS and a bucket is cut in mid-transfer, without a word; all arrives, once."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.peers import cable, raw_scp
from examples.peers.node import running_node
from examples.peers.process import wait_until
from examples.peers.seaweed import Seaweed
from routing.job import State

CUT_S = float(os.environ.get("CUT_S", "0"))
"""The cut lasts at least so long, and until the PACS is missed; by hand: CUT_S=60."""
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
associations = 2
[[rules]]
name = "all"
send = ["lake", "pacs"]
"""
COUNT = 40


@pytest.mark.p3
@pytest.mark.timeout(300)
def test_the_network_is_cut_in_mid_transfer(
    tmp_path: Path, make_ct: Callable, store: Callable, bucket: Seaweed, lake: str
):
    """No attempt is spent on a cut, receiving goes on, and what waits goes once it is mended."""
    images = [make_ct(number) for number in range(COUNT)]
    later = [make_ct(number, series=2) for number in range(COUNT)]
    s3_port = int(bucket.endpoint.rpartition(":")[2])
    with (
        raw_scp.running() as scp,
        cable.running(scp.port, pull_after_bytes=25_000) as to_pacs,
        cable.running(s3_port, pull_after_bytes=25_000) as to_bucket,
    ):
        tables = TABLES.format(port=to_pacs.port) + lake.replace(str(s3_port), str(to_bucket.port))
        with running_node(tmp_path, tables) as node:
            assert {answer.status for answer in store(node, images)} == {0}
            cut = [to_pacs, to_bucket]
            wait_until(lambda: not any(one.plugged.is_set() for one in cut), 30, "the cut")
            begun = time.monotonic()
            assert 0 < len(scp.received()) < COUNT
            assert {answer.status for answer in store(node, later)} == {0}, "receiving goes on"
            ledger = node.ledger()
            wait_until(lambda: "pacs" in {one.breaker.target for one in ledger.breakers.list()}, 30,
                       "the PACS to be missed")  # fmt: skip
            wait_until(lambda: time.monotonic() >= begun + CUT_S, CUT_S + 1, "the cut's end")
            for one in cut:
                one.plug()
            wait_until(lambda: ledger.jobs.counts()[State.DONE] == 4, 90, "the deliveries")
            receipts = Counter(str(one["destination"]) for one in ledger.receipts.list())
            attempts = {job.attempts for job in ledger.jobs.list([State.DONE])}
            assert ledger.held.groups() == []
            ledger.close()
    assert receipts == {"lake": 2 * COUNT, "pacs": 2 * COUNT}
    assert attempts == {1}
    assert set(scp.received()) == {str(one.SOPInstanceUID) for one in [*images, *later]}
    twice = [uid for uid, times in Counter(scp.received()).items() if times > 1]
    assert len(twice) <= 2, "at most those whose answers were lost, one for each association"
    paths = [one["path"] for some in bucket.store().list(tmp_path.name) for one in some]
    assert len([path for path in paths if path.endswith(".dcm")]) == 2 * COUNT
