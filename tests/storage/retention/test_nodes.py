"""Where several nodes share a ledger, each lets go of what lies in its own spool."""

from contextlib import ExitStack, closing

import pytest

from routing.job import State
from storage.spool.identity import ensure_identity


@pytest.mark.p2
def test_each_node_lets_go_of_its_own(tmp_path, make_world, new_server):
    """A Series that came in over two nodes leaves each by itself; a second copy goes last."""
    server = new_server()
    with ExitStack() as stack:
        worlds = []
        for name in ("first", "second"):
            ensure_identity(tmp_path / name / "spool", name)
            worlds.append(stack.enter_context(closing(make_world(tmp_path / name, server=server))))
        first, second = worlds
        first.receive(range(3))
        second.receive(range(3, 6))
        second.receive([0], seed=0)  # what the first node has too
        first.settle()
        for world in worlds:
            for job, target, _ in first.jobs():
                world.pay(job, target)
        jobs = first.jobs()
        assert len(jobs) == 2, "one for each node's part"
        for job, _, _ in jobs:
            assert first.ledger.holdings.candidates(None, 10) == []
            first.set_state(job, State.DONE)
        for world in worlds:
            world.seal()
        assert second.let_go() == 3
        assert [one.ledger.holdings.totals()["released_instances"] for one in worlds] == [0, 3]
        assert second.sweep() == 0, "its copy of the first node's object stays"
        assert second.ledger.holdings.candidates(None, 10) == []
        assert first.let_go() == 3
        assert first.sweep() == 1
        assert second.sweep(now=4000) == 1
        assert first.segments() == second.segments() == []
        assert list(first.ledger.holdings.present()) == []
