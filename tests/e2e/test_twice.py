"""The same study again, and again with one object changed: nothing is replaced, nothing doubled."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.peers.node import running_node
from examples.peers.process import wait_until
from examples.peers.seaweed import Seaweed
from routing.job import State

TABLES = """
[peers.SCANNER]
may = ["store"]
[destinations.shelf]
kind = "folder"
path = "shelf"
[[rules]]
name = "all"
send = ["lake", "shelf"]
"""


@pytest.mark.usefixtures("one_worker")
@pytest.mark.p7
def test_a_study_sent_again_and_again_with_one_object_changed(
    tmp_path: Path, make_ct: Callable, store: Callable, bucket: Seaweed, lake: str
):
    """Equal objects change nothing; the changed one is kept beside the first and held, unsent."""
    images = [make_ct(number) for number in range(3)]
    changed = make_ct(1)
    changed.PixelData = b"\x07" * len(changed.PixelData)

    def there() -> dict[str, bytes]:
        shelf = tmp_path / "shelf"
        files = {str(one.relative_to(shelf)): one.read_bytes() for one in shelf.rglob("*.dcm")}
        paths = [one["path"] for some in bucket.store().list(tmp_path.name) for one in some]
        mine = [path for path in paths if path.endswith(".dcm")]
        return files | {path: bytes(bucket.store().get(path).bytes()) for path in mine}

    with running_node(tmp_path, TABLES + lake) as node:
        assert {answer.status for answer in store(node, images)} == {0}
        ledger = node.ledger()
        wait_until(lambda: ledger.jobs.counts()[State.DONE] == 2, 30, "both deliveries")
        before = there()
        assert len(before) == 2 * len(images)
        assert {answer.status for answer in store(node, images)} == {0}
        assert {answer.status for answer in store(node, [images[0], changed, images[2]])} == {0}
        wait_until(lambda: ledger.jobs.counts()[State.HELD] == 1, 30, "the conflict")
        received = ledger.summary()["received"]
        wait_until(lambda: not ledger.summary()["received"]["open_series"], 30, "settling")
        counts, paid = ledger.jobs.counts(), ledger.receipts.list()
        ledger.close()
        (held,) = map(json.loads, node.run("held", "--json").stdout.splitlines())
        assert (held["fault"], held["target"]) == ("conflict", str(changed.SOPInstanceUID))
        told = node.run("held").stdout
        assert "both are kept, only the first is delivered" in told
        assert "KANARIENVOGEL" not in told
    assert received["instances"] == len(images) + 1, "both objects of one UID are kept"
    assert (counts[State.DONE], counts[State.WAITING], counts[State.RUNNING]) == (2, 0, 0)
    assert len(paid) == 2 * len(images)
    assert there() == before, "nothing is replaced, and nothing is beside it"
