"""`penumbra prove` on a Study in a real bucket, and the list that lies beside it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.peers import seaweed
from examples.peers.node import new_key, running_node
from examples.peers.process import wait_until

TABLES = """
[peers.SCANNER]
may = ["store"]
{lake}manifest = true
[profiles.research]
base = "research"
key = {{ file = "research.key" }}
[[rules]]
name = "to the lake"
profile = "research"
send = ["lake"]
"""


@pytest.mark.p2
def test_the_chain_from_association_to_the_digest_read_back(
    tmp_path: Path, make_ct: Callable, store: Callable, bucket: seaweed.Seaweed, lake: str
):
    """Each link of the chain is printed, and each is what the bucket itself says."""
    new_key(tmp_path)
    images = [make_ct(number) for number in (1, 2)]
    prefix, client = tmp_path.name, bucket.store()

    def names() -> list[str]:
        return [one["path"] for some in client.list(prefix) for one in some]

    with running_node(tmp_path, TABLES.format(lake=lake)) as node:
        assert {answer.status for answer in store(node, images)} == {0}
        wait_until(
            lambda: any(one.endswith("/manifest.json") for one in names()), 40, "the manifest"
        )
        done = node.run("prove", images[0].StudyInstanceUID, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        told = node.run("prove", images[0].StudyInstanceUID, "--each").stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 2
    for line in lines:
        key = line["location"].removeprefix(f"s3://{bucket.bucket}/")
        got = client.get(key)
        etag, held = got.meta["e_tag"], bytes(got.bytes())
        digest = hashlib.sha256(held).hexdigest()
        assert line["sha256_sent"] == line["sha256_read_back"] == line["sha256_now"] == digest
        assert (line["etag"], line["size_bytes"]) == (etag, len(held))
        assert (line["rule"], line["attempt"], line["calling_ae"]) == ("to the lake", 1, "SCANNER")
        assert line["profile"]
        assert line["association"]
        for link in ("sha256_received", "sha256_sent", "association", "profile", "location"):
            assert str(line[link]) in told
    assert "attempt 1" in told
    assert "DOKTORSAN" not in told
    (newest,) = (one for one in names() if one.endswith("/manifest.json"))
    listed = json.loads(bytes(client.get(newest).bytes()))
    assert {one["sha256"] for one in listed["instances"]} == {one["sha256_sent"] for one in lines}
    assert "SCANNER" not in json.dumps(listed)
