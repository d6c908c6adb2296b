"""The config changes while jobs wait: what lost its destination is held, and paid in the end."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.peers import raw_scp
from examples.peers.node import running_node
from examples.peers.process import free_port, wait_until
from routing.job import State

TABLES = """
[peers.SCANNER]
may = ["store"]
[peers.RAW]
host = "127.0.0.1"
port = {port}
[destinations.{name}]
kind = "dicom"
peer = "RAW"
timeout_s = 2
[[rules]]
name = "all"
send = ["{name}"]
"""
COUNT = 3


@pytest.mark.usefixtures("one_worker")
@pytest.mark.p3
def test_a_destination_is_renamed_while_a_job_waits_for_it(
    tmp_path: Path, make_ct: Callable, store: Callable
):
    """What waited for the old name is held and named, not lost; the name back, it is paid once."""
    port, doors = free_port(), (free_port(), free_port())
    old = TABLES.format(port=port, name="pacs")
    with running_node(tmp_path, old, ports=doors) as node:
        store(node, [make_ct(number) for number in range(COUNT)])
        ledger = node.ledger()
        wait_until(lambda: len(ledger.breakers.list()) == 1, 30, "the PACS to count as dead")
        ledger.close()
    with raw_scp.running(port=port) as scp:
        new = TABLES.format(port=port, name="archive")
        with running_node(tmp_path, new, ports=doors, log_name="new.log") as node:
            ledger = node.ledger()
            wait_until(lambda: ledger.jobs.counts()[State.HELD] == 1, 30, "the held job")
            store(node, [make_ct(number, series=2) for number in range(COUNT)])
            wait_until(lambda: ledger.jobs.counts()[State.DONE] == 1, 30, "the new delivery")
            ledger.close()
            (held,) = map(json.loads, node.run("held", "--json").stdout.splitlines())
            assert (held["target"], held["fault"]) == ("pacs", "config")
            assert "destinations.pacs: is owed to but not in the config" in held["words"]
            assert len(scp.received()) == COUNT, "of the new Series alone"
        with running_node(tmp_path, old, ports=doors, log_name="back.log") as node:
            assert node.run("retry", "--target", "pacs").returncode == 0
            ledger = node.ledger()
            wait_until(lambda: ledger.jobs.counts()[State.DONE] == 2, 30, "the old delivery")
            receipts = Counter(str(one["destination"]) for one in ledger.receipts.list())
            assert ledger.held.groups() == []
            ledger.close()
        assert receipts == {"pacs": COUNT, "archive": COUNT}
        assert set(Counter(scp.received()).values()) == {1}
