"""From the last slice to the report at the PACS: one Series after another, and a burst of them."""

import math
import time
from contextlib import ExitStack, closing
from pathlib import Path

from ai import phantom
from bench.forward.through import send
from bench.laps import Results
from dicom.entity import SeriesKey
from dicom.result_kinds import kind_of
from examples.peers import pacs
from examples.peers import triton as peer
from examples.peers.node import Node, running_node
from examples.peers.process import debian, wait_until
from examples.pipelines.specialty import repository
from storage.ledger.ledger import Ledger

TABLES = """
[peers.STORESCU]
may = ["store"]
[peers.{pacs.aet}]
host = "{pacs.host}"
port = {pacs.port}
[destinations.pacs]
kind = "dicom"
peer = "{pacs.aet}"
[models.emphysema]
endpoints = ["{endpoint}"]
model = "ct_emphysema"
results = ["sr"]
[[rules]]
name = "chest CT"
when = {{ Modality = ["CT"] }}
send = ["pacs"]
infer = ["emphysema"]
results_to = ["pacs"]
"""
SIZE = 128
"""Rows and columns: a light model, so that what is measured is the node."""


def measure(results: Results, folder: Path, *, alone: int, burst: int, slices: int) -> None:
    """Send Series alone, then many at once, to a node, a real Triton and the best PACS there is."""
    if debian("storescu") is None:
        results.missing.append("last slice to report (Debian: apt-get install dcmtk)")
        return
    with ExitStack() as stack:
        served = repository(folder / "models", (), "ct_emphysema")
        models = stack.enter_context(peer.running(folder / "triton", repository=served))
        where = stack.enter_context(pacs.running(folder / "pacs"))
        tables = TABLES.format(pacs=where, endpoint=models.endpoint)
        node = stack.enter_context(running_node(folder / "node", tables))
        ledger = stack.enter_context(closing(node.ledger()))
        waits = [_sent(node, ledger, folder, number, slices) for number in range(alone)]
        waits.sort()
        results.findings |= {
            "result, studies": alone,
            "result, slices": slices,
            "result, p50 s": waits[len(waits) // 2],
            "result, p95 s": waits[math.ceil(0.95 * len(waits)) - 1],
            "burst, studies": burst,
            "burst, per minute": _burst(node, ledger, folder, range(alone, alone + burst), slices),
        }


def _phantom(folder: Path, number: int, slices: int) -> phantom.Truth:
    return phantom.write(
        folder / f"study{number}", slices=slices, size=SIZE, label=f"through{number}"
    )


def _sent(node: Node, ledger: Ledger, folder: Path, number: int, slices: int) -> float:
    """Send one Series; give the seconds from its last slice to its report, less the model's."""
    truth = _phantom(folder, number, slices)
    send(list(truth.files), node.port)
    wait_until(lambda: _delivered(ledger, truth) is not None, 120, "a report at the PACS")
    said = next(
        one.said
        for one in ledger.inferences.newest("emphysema")
        if one.said.series_instance_uid == truth.series_instance_uid
    )
    at = _delivered(ledger, truth)
    assert at is not None
    return at - _last_received(ledger, truth) - said.model_s


def _burst(node: Node, ledger: Ledger, folder: Path, numbers: range, slices: int) -> float:
    """Send Series as quickly as one sender can; give how many a minute are reported."""
    truths = [_phantom(folder, number, slices) for number in numbers]
    began = time.time()
    for truth in truths:
        send(list(truth.files), node.port)

    def all_there() -> bool:
        return all(_delivered(ledger, truth) is not None for truth in truths)

    wait_until(all_there, 600, "the reports of a burst")
    last = max(_delivered(ledger, truth) or 0.0 for truth in truths)
    return 60 * len(truths) / (last - began)


def _delivered(ledger: Ledger, truth: phantom.Truth) -> float | None:
    """Say when the report about a Study was delivered; None while it was not."""
    times = [
        float(str(one["delivered_at"]))
        for one in ledger.receipts.list("pacs")
        if one["study_instance_uid"] == truth.study_instance_uid
        and kind_of(str(one["sop_class_uid"])) == "sr"
    ]
    return max(times, default=None)


def _last_received(ledger: Ledger, truth: phantom.Truth) -> float:
    key = SeriesKey(truth.study_instance_uid, truth.series_instance_uid)
    return max(one.arrival.received_at for one in ledger.receipts.of_series(key))
