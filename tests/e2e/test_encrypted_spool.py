"""A node with a spool key does all that a node does, and leaves nothing readable in the spool."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from examples.peers.node import new_key, penumbra, running_node

TABLES = """
[peers.SCANNER]
may = ["store"]
[destinations.out]
kind = "folder"
path = "out"
[[rules]]
name = "all"
send = ["out"]
"""


@pytest.mark.p6
def test_what_is_encrypted_is_filed_and_delivered(
    tmp_path: Path, make_ct: Callable, store: Callable
):
    """Objects are received, filed and delivered as they were; the spool names no patient."""
    new_key(tmp_path)
    (tmp_path / "conf.d").mkdir()
    extra = tmp_path / "conf.d" / "spool.toml"
    extra.write_text('[node]\nspool_key = { file = "research.key" }\n')
    images = [make_ct(number) for number in range(1, 6)]
    with running_node(tmp_path, TABLES) as node:
        assert {answer.status for answer in store(node, images)} == {0}
        node.wait_for(
            lambda seen: any(event.type == "penumbra.series.delivered" for event in seen),
            30,
            "delivery",
        )
        ledger = node.ledger()
        receipts = {str(one["source_digest"]) for one in ledger.receipts.list("out")}
        ledger.close()
    files = list((tmp_path / "out").rglob("*.dcm"))
    assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} == receipts
    delivered = {one.SOPInstanceUID: one for one in map(dcmread, files)}
    assert delivered == {one.SOPInstanceUID: one for one in images}
    spool = b"".join(file.read_bytes() for file in (tmp_path / "var" / "spool").iterdir())
    assert images[0].SOPInstanceUID.encode() in spool
    assert b"KANARIENVOGEL" not in spool
    assert images[0].PixelData[:32] not in spool
    assert penumbra("spool", "verify", "-c", node.config).returncode == 0
    extra.unlink()
    refused = penumbra("serve", "-c", node.config)
    assert refused.returncode == 78
    assert "spool_old_keys" in refused.stderr
