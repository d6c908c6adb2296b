"""`penumbra prove` on a running node: the whole chain, and each way in which it can be broken."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from examples.peers import orthanc
from examples.peers.node import Node, new_key, penumbra, running_node
from examples.peers.process import free_port

TABLES = """
[peers.SCANNER]
may = ["store"]
[peers.PACS]
host = "127.0.0.1"
port = {pacs}
[peers.GONE]
host = "127.0.0.1"
port = {gone}
[destinations.out]
kind = "folder"
path = "out"
[destinations.pacs]
kind = "dicom"
peer = "PACS"
[destinations.gone]
kind = "dicom"
peer = "GONE"
[profiles.research]
base = "research"
key = {{ file = "research.key" }}
[[rules]]
name = "lake"
profile = "research"
send = ["out"]
[[rules]]
name = "archive"
send = ["pacs"]
[[rules]]
name = "dead end"
send = ["gone"]
"""


def facts(node: Node, study: str, status: int) -> list[dict]:
    """Run the command for programs, and read its lines."""
    done = node.run("prove", study, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not orthanc.binary(), reason="needs Orthanc (Debian: apt-get install orthanc)")
@pytest.mark.p3
def test_the_whole_chain_from_association_to_what_is_there_now(
    tmp_path: Path, make_ct: Callable, store: Callable
):
    """What is there is proven, what is gone or changed is told, what is owed is listed."""
    new_key(tmp_path)
    images = [make_ct(number) for number in (1, 2, 3)]
    study, out = images[0].StudyInstanceUID, tmp_path / "out"
    with contextlib.ExitStack() as stack:
        (tmp_path / "pacs").mkdir()
        pacs = stack.enter_context(orthanc.running(tmp_path / "pacs"))
        tables = TABLES.format(pacs=pacs.port, gone=free_port())
        tables = tables.replace("PACS", pacs.aet)
        node = stack.enter_context(running_node(tmp_path, tables))
        assert {answer.status for answer in store(node, images)} == {0}
        reached = set[str]()

        def both(seen: list) -> bool:
            reached.update(
                one.data["destination"] for one in seen if one.type == "penumbra.series.delivered"
            )
            return reached >= {"out", "pacs"}

        node.wait_for(both, 60, "both deliveries")
        lines = facts(node, study, 1)  # nothing is missing, but a debt is open
        owed = [line for line in lines if line["verdict"] == "owed"]
        assert [(line["target"], line["rule"]) for line in owed] == [("gone", "dead end")]
        held = [line for line in lines if line["verdict"] == "holds"]
        assert {(line["destination"], line["rule"]) for line in held} == {
            ("out", "lake"),
            ("pacs", "archive"),
        }
        assert len(held) == 2 * len(images)
        for line in held:
            assert line["calling_ae"] == "SCANNER"
            assert line["association"]
            if line["destination"] == "out":
                assert line["sha256_now"] == line["sha256_sent"] == line["sha256_read_back"]
                assert line["profile"]
        told = node.run("prove", study, "--each").stdout
        assert "listed by C-FIND" in told
        assert "DOKTORSAN" not in told

        first, second, third = sorted(out.rglob("*.dcm"))
        new_study = dcmread(first).StudyInstanceUID
        first.unlink()
        second.write_bytes(third.read_bytes())
        lines = facts(node, new_study, 3)  # by its new UID: only what went out under it
        words = sorted(line["words"] for line in lines if line["verdict"] == "missing")
        assert words == ["holds other bytes than were sent", "is not there"]
        shutil.rmtree(out)
        lines = facts(node, new_study, 1)
        assert {line["verdict"] for line in lines} == {"unknown"}, "a mount that is gone"
        assert penumbra("prove", "1.2.3", "-c", node.config).returncode == 1
