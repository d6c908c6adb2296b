"""Killed at any point of letting go, a node has lost nothing that is needed, and goes on."""

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from storage.spool.crash import LEAVING_POINTS
from storage.spool.survey import survey

HOUSE = Path(__file__).parents[3]
POINTS = (*(f"{name}:1" for name in LEAVING_POINTS), "copying:2", "given-up:2", "forgotten:2")
# One process that forks for each point: to import everything takes longer than to let go.
CHILD = """
import os, sys
from pathlib import Path
sys.path.insert(0, "tests/storage/retention")
from conftest import World
from storage.spool import crash
for point in sys.argv[2:]:
    child = os.fork()
    if not child:
        crash._name, crash._passes_left = crash._planned(point)
        world = World(Path(sys.argv[1], point))
        world.let_go()
        world.sweep()
        world.follow()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory, make_world) -> Path:
    """A folder of data directories, each left by a process that was killed where it says."""
    folder = tmp_path_factory.mktemp("killed")
    with closing(make_world(folder / "whole")) as world:
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
    for point in POINTS:
        shutil.copytree(folder / "whole", folder / point)
    command = [sys.executable, "-c", CHILD, str(folder), *POINTS]
    done = subprocess.run(command, cwd=HOUSE, check=True, timeout=120, stdout=subprocess.PIPE)
    assert done.stdout.split() == [b"-9"] * len(POINTS)
    return folder


@pytest.mark.p2
@pytest.mark.p5
@pytest.mark.parametrize("point", POINTS)
def test_kill_it_anywhere(killed, make_world, point):
    """What is owed is read back whole after a kill at any point, and the next passes end alike."""
    with closing(make_world(killed / point)) as world:
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
