"""`penumbra explain association` beside a real node: who came, what came of it, what mends it."""

import json
import os
import shutil
import subprocess
import time

import httpx
import pydicom
import pytest

from examples.peers.node import penumbra, running_node, write_config
from node.commands.explain import details

pytestmark = pytest.mark.skipif(
    not shutil.which("storescu"), reason="needs Debian's dcmtk (echoscu, storescu)"
)
PEERS = """
[peers.CT1]
may = ["store"]
[peers.MR1]
may = ["store"]
addresses = ["10.0.0.0/8"]
"""


def dcmtk(node, *command):
    """Call the node with a DCMTK tool as some title."""
    tool, title, *files = command
    subprocess.run(
        [tool, "-aet", title, "-aec", "PENUMBRA", "127.0.0.1", str(node.port), *files],
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node that a stranger, an impostor and a scanner have called already."""
    with running_node(tmp_path_factory.mktemp("node"), PEERS) as found:
        dcmtk(found, "echoscu", "STRANGER")
        dcmtk(found, "echoscu", "MR1")
        dcmtk(found, "storescu", "CT1", pydicom.data.get_testdata_file("CT_small.dcm"))
        yield found


def entries(node, *arguments):
    """What the command prints as JSON lines."""
    done = node.run("explain", "association", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_caller_is_explained(node):
    """Rejections name their setting, the scanner's association its object; oldest first."""
    stranger, impostor, scanner = entries(node)
    assert stranger["cause"] == "calling AE title unknown"
    assert "[peers.STRANGER]" in stranger["fix"]
    assert "[peers.MR1] addresses" in impostor["fix"]
    assert (scanner["outcome"], scanner["statuses"]) == ("released", {"0x0000": 1})
    assert scanner["size_bytes"] > 30_000
    assert abs(scanner["at"] - time.time()) < 300


def test_a_choice_of_them(node):
    """By caller, the bad ones, the last, and by the beginning of an id."""
    every = entries(node)
    assert entries(node, "--from", "CT1") == [every[2]]
    assert entries(node, "--bad") == every[:2]
    assert entries(node, "--last", "1") == [every[2]]
    assert entries(node, every[1]["id"][:12]) == [every[1]]
    assert entries(node, "nothing") == []


def test_for_people(node):
    """Off a terminal each is one whole line, with its verdict and fix; by id there are details."""
    done = node.run("explain", "association")
    lines = [line for line in done.stdout.splitlines() if "PENUMBRA" in line]
    assert [word for line in lines for word in ("rejected", "released") if word in line] == [
        "rejected", "rejected", "released",
    ]  # fmt: skip
    assert 'add [peers.STRANGER] with may = ["store"]' in lines[0]
    scanner = entries(node, "--from", "CT1")[0]
    done = node.run("explain", "association", scanner["id"][:8])
    assert "contexts" in done.stdout
    assert "1, 0.0 MB stored" in done.stdout
    assert "None is remembered" in node.run("explain", "association", "x").stdout


def test_the_log_has_the_same_id(node):
    """A rejection is found in the log by the id that the list shows."""
    stranger, *_ = entries(node)
    lines = [json.loads(line) for line in node.log.read_text().splitlines() if line[:1] == "{"]
    (line,) = (one for one in lines if one.get("association") == stranger["id"])
    assert (line["event"], line["fix"]) == ("association rejected", stranger["fix"])


def test_it_is_counted_and_shown_elsewhere(node):
    """Metrics count by cause and state of the disk; the HTTP port tells nobody who called."""
    base = f"http://127.0.0.1:{node.http_port}"
    text = httpx.get(f"{base}/metrics").text
    assert 'associations_rejected_total{reason="calling address not allowed"} 1.0' in text
    assert 'penumbra_disk_state{state="ok"} 1.0' in text
    assert "127.0.0.1" not in text
    assert "STRANGER" not in text
    assert httpx.get(f"{base}/api/associations").status_code == 404
    assert httpx.get(f"{base}/readyz").json()["checks"]["disk"] == {"ok": True, "words": ""}
    facts = json.loads(node.run("status", "--json").stdout)
    assert facts["disk"]["state"] == "ok"
    assert facts["disk"]["reserve_bytes"] == 1 << 20


def test_without_a_node(tmp_path):
    """When none runs, the command says so: what it remembers is in the node's memory."""
    config = write_config(tmp_path, PEERS, 0, 0)
    done = penumbra("explain", "association", "-c", config)
    assert done.returncode == 1
    assert "no node runs with" in done.stderr


def test_everything_about_one():
    """A refused context and a certificate's name are among the details; what is empty is not."""
    one = {
        "id": "a1", "at": 0.0, "calling_ae": "CT1", "called_ae": "P", "address": "10.0.0.1",
        "verdict": "accepted", "outcome": "lost", "tls_name": "ct1.example", "cause": "",
        "accepted_contexts": 1, "refused_contexts": 1, "size_bytes": 2_500_000, "seconds": 1.5,
        "refused": [{"abstract_syntax": "1.2", "why": "not permitted", "fix": "permit it"}],
        "statuses": {"0x0000": 5, "0xA700": 2}, "words": "", "fix": "", "is_bad": True,
    }  # fmt: skip
    told = dict(details(one))
    assert told["from"] == "10.0.0.1, as ct1.example by TLS"
    assert told["refused"] == "1.2: not permitted; permit it"
    assert told["objects"] == "5, 2 x 0xA700, 2.5 MB stored"
    assert told["verdict"] == "lost"
    assert not {"words", "fix"} & set(told)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a disk of its own (root)")
def test_a_full_disk_is_seen_from_outside(tmp_path):
    """Below the second mark /readyz fails with the setting, status says so, an event is out."""
    disk = tmp_path / "var"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=False, text=True,
        capture_output=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        with running_node(tmp_path, PEERS) as found:
            filler = disk / "filler"
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            filler.write_bytes(bytes(free - (3 << 19)))
            found.wait_for(
                lambda seen: any(
                    one.type == "penumbra.disk.changed" and one.data["state"] == "refusing"
                    for one in seen
                ),
                15,
                "the event",
            )
            answer = httpx.get(f"http://127.0.0.1:{found.http_port}/readyz")
            assert answer.status_code == 503
            assert "[node] refuse_below_mb" in answer.json()["checks"]["disk"]["words"]
            assert "asked to come back later" in found.run("status").stdout
            dcmtk(found, "storescu", "CT1", pydicom.data.get_testdata_file("CT_small.dcm"))
            (one,) = entries(found)
            assert one["cause"] == "disk short of room"
    finally:
        subprocess.run(["umount", disk], check=True)
