"""SIGTERM drains and stops within 10 s, whatever is going on; nothing acknowledged is lost."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from examples.peers import folder_pacs
from examples.peers.node import Node, penumbra, running_node
from examples.peers.process import free_port, wait_until
from examples.peers.pynet_scu import Answer, store_all


def rules(port: int) -> str:
    return f"""
[peers.SCANNER]
may = ["store"]
[peers.PACS]
host = "127.0.0.1"
port = {port}
[destinations.pacs]
kind = "dicom"
peer = "PACS"
[[rules]]
name = "all"
send = ["pacs"]
"""


def running_jobs(node: Node) -> int:
    ledger = node.ledger()
    summary = ledger.summary()
    ledger.close()
    return summary["jobs"]["running"]


@pytest.mark.p1
@pytest.mark.timeout(120)
def test_sigterm_in_the_middle_of_everything(tmp_path: Path, make_ct: Callable[..., Dataset]):
    """With a sender that goes on sending and a peer that hangs, the node ends within 10 s."""
    sent: list[Answer] = []
    with (
        folder_pacs.running_pynetdicom(tmp_path / "pacs", aet="PACS", hang=True) as pacs,
        running_node(tmp_path, rules(pacs.port)) as node,
    ):
        store_all(node.port, [make_ct(n) for n in range(5)], calling_ae="SCANNER",
                  called_ae="PENUMBRA", after_each=sent.append)  # fmt: skip
        wait_until(lambda: running_jobs(node) == 1, 30, "the job that hangs")
        more = [make_ct(n, series=2) for n in range(2000)]
        sender = threading.Thread(
            target=store_all, args=(node.port, more),
            kwargs={"calling_ae": "SCANNER", "called_ae": "PENUMBRA", "after_each": sent.append},
        )  # fmt: skip
        sender.start()
        wait_until(lambda: len(sent) > 20, 30, "the second send")
        asked = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(10) == 0
        assert time.monotonic() - asked < 10
        sender.join(30)
    acknowledged = {answer.sop_instance_uid for answer in sent if answer.status == 0}
    with (
        folder_pacs.running_pynetdicom(tmp_path / "alive", aet="PACS", port=pacs.port) as alive,
        running_node(tmp_path, rules(pacs.port), log_name="again.log"),
    ):
        wait_until(lambda: acknowledged <= set(alive.received()), 40, "the deliveries")


def test_sigterm_at_rest_is_quick(tmp_path: Path):
    """A node with nothing to do stops at once, and says nothing strange."""
    with running_node(tmp_path, "[peers.SCANNER]\nmay = ['store']\n") as node:
        asked = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(10) == 0
        assert time.monotonic() - asked < 4
    assert [line for line in node.log.read_text().splitlines() if not line.startswith("{")] == []


def test_a_port_that_is_taken_is_a_config_fault(tmp_path: Path):
    """Where the port is not to be had, serve says which and how, and ends with 78."""
    with running_node(tmp_path / "one", "") as node:
        config = tmp_path / "two.toml"
        config.write_text(
            f'[node]\nhost = "127.0.0.1"\nport = {node.port}\ndata_dir = "two"\n'
            f"[http]\nport = {free_port()}\n"
        )
        second = penumbra("serve", "-c", config)
        assert second.returncode == 78
        assert "node.port" in second.stderr


def test_two_nodes_never_share_a_data_directory(tmp_path: Path):
    """A second front on the same data directory is refused in words."""
    with running_node(tmp_path, "") as node:
        text = node.config.read_text().replace(f"port = {node.port}", f"port = {free_port()}")
        other = tmp_path / "other.toml"
        other.write_text(text.replace(f"port = {node.http_port}", f"port = {free_port()}"))
        second = penumbra("serve", "-c", other)
        assert second.returncode == 1
        assert "spool" in second.stderr
