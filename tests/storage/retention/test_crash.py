"""Killed at any point of letting go, a node has lost nothing that is needed, and goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.spool.crash import LEAVING_POINTS, VARIABLE
from storage.spool.survey import survey

HOUSE = Path(__file__).parents[3]
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, "tests/storage/retention")
from conftest import World
world = World(Path(sys.argv[1]))
world.let_go()
world.sweep()
world.follow()
"""


def letting_go(data_dir: Path, point: str) -> int:
    """Let go in another process that dies at a point; returns its exit status."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(data_dir)],
        cwd=HOUSE,
        env={**os.environ, VARIABLE: point},
        check=False,
        timeout=60,
    )
    return done.returncode


@pytest.mark.p2
@pytest.mark.p5
@pytest.mark.parametrize(
    "point", [f"{name}:1" for name in LEAVING_POINTS] + ["copying:2", "given-up:2", "forgotten:2"]
)
def test_kill_it_anywhere(world, point):
    """What is owed is read back whole after a kill at any point, and the next passes end alike."""
    world.receive(range(3), 1)  # a segment with a few objects that are owed
    world.receive([9, 10], 2, size=700)
    world.settle(1)
    world.settle(2)
    world.deliver(1)
    world.seal()
    world.receive(range(20, 24), 3)  # one that is proven as a whole
    world.receive([9], 2, size=700)  # and a duplicate
    world.settle(3)
    world.deliver(3)
    world.seal()
    world.close()
    died = letting_go(world.data_dir, point)
    assert died == -9
    world.open()
    assert world.here() >= {9, 10}
    owed = world.ledger.receipts.owed(world.key(2), "out", "")
    assert len(owed) == 2
    for one in owed:
        world.reader.verify(one)
    world.let_go()
    world.sweep()
    world.seal()
    world.sweep()  # a copy that the dead process left is one more duplicate
    assert world.here() == {9, 10}
    assert len(world.rows()) == 9
    (left,) = survey(world.root, read_bodies=True)
    assert (left.records, left.damage) == (2, ())
    assert set(world.ledger.intake.positions()) == {left.name}
    assert not list(world.root.glob("*.open"))
    world.deliver(2)
    assert world.let_go() == 2
    assert world.sweep() == 1
    assert world.segments() == []
