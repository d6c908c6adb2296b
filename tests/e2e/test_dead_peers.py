"""A dead bucket, PACS or Triton costs nobody an attempt; the node goes on; what is back is paid."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from examples.peers import pacs
from examples.peers.node import Node, new_key, running_node
from examples.peers.process import free_port
from examples.peers.pynet_scu import store_all
from routing.job import State
from storage.ledger.events import Event


def tables(port: int) -> str:
    return f"""
[peers.SCANNER]
may = ["store"]
[peers.PACS]
host = "127.0.0.1"
port = {port}
[destinations.gone]
kind = "object-store"
url = "s3://nobody/here"
endpoint = "http://127.0.0.1:{port}"
access_key = {{ env = "HOME" }}
secret_key = {{ env = "HOME" }}
[destinations.pacs]
kind = "dicom"
peer = "PACS"
[destinations.shelf]
kind = "folder"
path = "shelf"
[models.lungs]
endpoints = ["127.0.0.1:{port}"]
model = "ct_emphysema"
timeout_s = 2
[[rules]]
name = "all"
send = ["gone", "pacs", "shelf"]
infer = ["lungs"]
results_to = ["pacs"]
"""


def held(node: Node) -> dict[str, dict[str, object]]:
    """What `penumbra held` says, by target."""
    lines = node.run("held", "--json").stdout.splitlines()
    return {fact["target"]: fact for fact in map(json.loads, lines)}


def count(kind: str, number: int) -> Callable[[list[Event]], bool]:
    return lambda events: sum(event.type == kind for event in events) >= number


@pytest.mark.p3
def test_dead_peers_are_waited_for_and_paid_when_they_are_back(
    tmp_path: Path, make_ct: Callable[..., Dataset]
):
    """Each dead peer's job waits without an attempt, told and shown; one that is back is paid."""
    port = free_port()
    with running_node(tmp_path, tables(port)) as node:
        answers = store_all(node.port, [make_ct(n) for n in range(3)], calling_ae="SCANNER",
                            called_ae="PENUMBRA")  # fmt: skip
        assert [answer.status for answer in answers] == [0, 0, 0]
        node.wait_for(count("penumbra.target.unreachable", 3), 60, "three dead targets")
        facts = json.loads(node.run("status", "--json").stdout)
        assert {
            target: (fact["fault"], fact["waiting"])
            for target, fact in facts["unreachable"].items()
        } == {
            "gone": ("unreachable", 1),
            "pacs": ("unreachable", 1),
            "lungs": ("model-unavailable", 1),
        }
        assert "pacs does not answer since" in node.run("status").stdout
        assert len(list((tmp_path / "shelf").rglob("*.dcm"))) == 3, "others are not kept waiting"
        with pacs.running(tmp_path / "pacs", port=port, aet="PACS") as alive:
            node.wait_for(count("penumbra.series.delivered", 2), 40, "the delivery by itself")
            assert len(alive.received()) == 3
        assert node.run("held").stdout == "Nothing is held.\n"
        ledger = node.ledger()
        attempts = {job.spec.target: job.attempts for job in ledger.jobs.list(list(State))}
        ledger.close()
        assert attempts == {"gone": 0, "pacs": 1, "shelf": 1, "lungs": 0}


@pytest.mark.p4
def test_what_is_not_clean_is_held_and_the_rest_goes_on(
    tmp_path: Path, make_ct: Callable[..., Dataset]
):
    """An object that says that its pixels show identity stays here; its siblings are delivered."""
    new_key(tmp_path)
    rules = """
[peers.SCANNER]
may = ["store"]
[destinations.shelf]
kind = "folder"
path = "shelf"
[profiles.research]
key = { file = "research.key" }
[[rules]]
name = "all"
profile = "research"
send = ["shelf"]
"""
    images = [make_ct(n) for n in range(4)]
    images[2].BurnedInAnnotation = "YES"
    with running_node(tmp_path, rules) as node:
        store_all(node.port, images, calling_ae="SCANNER", called_ae="PENUMBRA")
        node.wait_for(count("penumbra.job.held", 1), 30, "the held job")
        fact = held(node)["shelf"]
        assert fact["fault"] == "not-clean"
        assert str(fact["words"]).startswith("1 of 4 objects may not leave")
        files = list((tmp_path / "shelf").rglob("*.dcm"))
        assert len(files) == 3
        for secret in (b"KANARIENVOGEL", b"ZZ-4711-0815", b"QQACC9911", b"DOKTORSAN"):
            assert not [file for file in files if secret in file.read_bytes()]
            assert secret.decode() not in node.log.read_text()
