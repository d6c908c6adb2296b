"""A running node with [retention]: bytes leave after they are proven, and stay provable."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from examples.peers.node import Node, running_node
from examples.peers.process import wait_until
from node.cli import penumbra

TABLES = """
[peers.SCANNER]
may = ["store"]
[destinations.out]
kind = "folder"
path = "out"
[destinations.late]
kind = "folder"
path = "blocked/late"
[[rules]]
name = "all"
send = ["out", "late"]
[retention]
every_s = 0.3
proof_hours = 0.0001
keep_free_mb = 1_000_000_000
"""


def wide(make_ct: Callable, number: int):
    """Make a slice of half a megabyte, so that two of them fill a segment."""
    image = make_ct(number)
    image.Rows = image.Columns = 512
    image.PixelData = number.to_bytes(2, "little") * (512 * 512)
    return image


def said(node: Node, *arguments: str) -> str:
    """Run a command in this process, which has imported everything; it ends well."""
    done = CliRunner().invoke(penumbra, [*arguments, "-c", str(node.config)])
    assert done.exit_code == 0, done.output
    return done.output


def segments(node: Node) -> int:
    return len(list((node.data_dir / "spool").glob("*.seg")))


def sum_of(seen: list, kind: str, name: str) -> int:
    return sum(one.data[name] for one in seen if one.type == kind)


@pytest.mark.p2
def test_bytes_leave_after_delivery_alone(tmp_path: Path, make_ct: Callable, store: Callable):
    """While one delivery is held everything stays; then it leaves, and is proven where it went."""
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")  # the second destination cannot be made
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "small.toml").write_text("[node]\nsegment_mb = 1\n")
    images = [wide(make_ct, number) for number in range(5)]
    study = images[0].StudyInstanceUID
    with running_node(tmp_path, TABLES) as node:
        assert {answer.status for answer in store(node, images)} == {0}
        kinds = {"penumbra.series.delivered", "penumbra.job.held", "penumbra.study.settled"}
        node.wait_for(lambda seen: kinds <= {one.type for one in seen}, 30, "one of two deliveries")
        assert "a job about it is not done" in said(node, "spool", "releasable", study)
        assert segments(node) == 2

        blocked.unlink()
        said(node, "retry", "--all")
        released = "penumbra.retention.released"
        seen = node.wait_for(
            lambda seen: (
                sum_of(seen, released, "instances") == 5 and sum_of(seen, released, "segments") == 2
            ),
            30,
            "all of it to leave",
        )
        assert not [one for one in seen if one.type == "penumbra.retention.missing"]
        assert segments(node) == 0
        said(node, "prove", study)
        said(node, "spool", "verify")

        assert {answer.status for answer in store(node, images[:1])} == {0}
        node.wait_for(
            lambda seen: sum_of(seen, released, "instances") == 6, 30, "it to leave again"
        )
    with running_node(tmp_path, TABLES) as node:
        wait_until(lambda: segments(node) == 0, 30, "what was left to leave")
        assert len(list((tmp_path / "out").rglob("*.dcm"))) == len(images)
