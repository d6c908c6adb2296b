"""The running node and `penumbra deid` are one engine: the same objects give the same bytes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from examples.peers.node import Node, new_key, penumbra, running_node

TABLES = """
[peers.SCANNER]
may = ["store"]
[destinations.out]
kind = "folder"
path = "out"
[profiles.research]
base = "research"
key = { file = "research.key" }
project = "heart"
[[rules]]
name = "all"
profile = "research"
send = ["out"]
"""
REAL = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtplan.dcm", "test-SR.dcm")


def contents(folder: Path) -> dict[str, bytes]:
    """Give the files of a folder by their names in it."""
    return {
        str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.dcm"))
    }


def delivered(node: Node, series: int) -> Callable[[list], bool]:
    """Say when so many Series have reached the folder."""
    return lambda seen: sum(one.type == "penumbra.series.delivered" for one in seen) >= series


@pytest.mark.p6
def test_the_node_and_the_command_give_the_same_bytes(
    tmp_path: Path, make_ct: Callable, store: Callable
):
    """Synthetic and real objects: through the door and as files they leave byte for byte equal.

    A second run of the command changes nothing; under another key the pseudonyms are others.
    """
    new_key(tmp_path)
    objects: list[Dataset] = [make_ct(1), make_ct(2)]
    objects += [dcmread(get_testdata_file(name)) for name in REAL]
    files = tmp_path / "files"
    files.mkdir()
    for number, each in enumerate(objects):
        each.save_as(files / f"{number}.dcm", enforce_file_format=True)
    with running_node(tmp_path, TABLES) as node:
        assert {answer.status for answer in store(node, objects)} == {0}
        series = len({each.SeriesInstanceUID for each in objects})
        node.wait_for(delivered(node, series), 60, "all series")
        config = node.config

    def command(out: str, held: str) -> dict[str, bytes]:
        done = penumbra("deid", "--profile", "research", files, "-o", tmp_path / out,
                        "--quarantine", tmp_path / held, "-c", config)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return contents(tmp_path / out)

    through_the_door = contents(tmp_path / "out")
    assert len(through_the_door) == len(objects)
    assert command("twin", "held") == through_the_door
    assert command("twin", "held") == through_the_door
    (tmp_path / "research.key").unlink()
    new_key(tmp_path)
    other = command("other", "held")
    assert len(other) == len(objects)
    assert not other.keys() & through_the_door.keys()
