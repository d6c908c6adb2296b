"""A PACS in a bad mood: it aborts, hangs, is busy and goes away; in the end it has all, once."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from examples.peers import raw_scp
from examples.peers.node import running_node
from examples.peers.pynet_scu import store_all
from examples.peers.raw_scp import Behaviour

COUNT = 20


def tables(port: int) -> str:
    return f"""
[peers.SCANNER]
may = ["store"]
[peers.RAW]
host = "127.0.0.1"
port = {port}
[destinations.pacs]
kind = "dicom"
peer = "RAW"
timeout_s = 1
[[rules]]
name = "all"
send = ["pacs"]
"""


@pytest.mark.p3
def test_a_moody_pacs_gets_everything_once(tmp_path: Path, make_ct: Callable[..., Dataset]):
    """Receipts, retry and breaker together: each object is stored once, and nothing is held."""
    mood = Behaviour(
        abort_at=4, hang_at=9, cut_at=13, status=lambda number: 0xA700 * (number in {6, 7, 15})
    )
    images = [make_ct(number) for number in range(COUNT)]
    with raw_scp.running(mood) as scp, running_node(tmp_path, tables(scp.port)) as node:
        answers = store_all(node.port, images, calling_ae="SCANNER", called_ae="PENUMBRA")
        assert {answer.status for answer in answers} == {0}
        node.wait_for(
            lambda events: any(one.type == "penumbra.series.delivered" for one in events),
            60, "the delivery",
        )  # fmt: skip
        held = Counter(scp.received())
        assert held == {str(image.SOPInstanceUID): 1 for image in images}
        study = str(images[0].StudyInstanceUID)
        lines = node.run("prove", study, "--json").stdout.splitlines()
        proofs = [json.loads(line).get("proof") for line in lines]
        assert proofs.count("status 0x0000") == COUNT
