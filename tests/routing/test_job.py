"""Every pair of state and move is either in the table or refused."""

import pytest

from dicom.entity import SeriesKey
from routing.job import TRANSITIONS, Kind, Move, NewJob, State, sources, target

ENDS = {State.DONE, State.DROPPED}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("move", Move)
def test_table_agrees_with_sources_and_target(state: State, move: Move):
    """What the table allows is what the ledger's queries allow."""
    assert ((state, move) in TRANSITIONS) == (state in sources(move))
    if (state, move) in TRANSITIONS:
        assert TRANSITIONS[state, move] is target(move)


@pytest.mark.p3
@pytest.mark.parametrize("state", State)
def test_every_state_can_end(state: State):
    """From every state some sequence of moves leads to an end."""
    reached, edge = {state}, [state]
    while edge:
        here = edge.pop()
        for (start, _), end in TRANSITIONS.items():
            if start is here and end not in reached:
                reached.add(end)
                edge.append(end)
    assert reached & ENDS


@pytest.mark.parametrize("end", sorted(ENDS))
def test_ended_jobs_never_move(end: State):
    """Done and dropped are final."""
    assert not [move for state, move in TRANSITIONS if state is end]


def test_dedup_key_tells_revisions_rules_and_targets_apart():
    """The same debt has the same key; any other debt has another."""
    key = SeriesKey("1.2", "1.2.3")
    base = NewJob(Kind.FORWARD, key, 1, "r", "lake")
    assert base.dedup_key == NewJob(Kind.FORWARD, key, 1, "r", "lake").dedup_key
    others = [
        NewJob(Kind.INFER, key, 1, "r", "lake"),
        NewJob(Kind.FORWARD, key, 2, "r", "lake"),
        NewJob(Kind.FORWARD, key, 1, "q", "lake"),
        NewJob(Kind.FORWARD, key, 1, "r", "pacs"),
        NewJob(Kind.FORWARD, SeriesKey("1.2", "1.2.4"), 1, "r", "lake"),
    ]
    assert len({base.dedup_key, *(other.dedup_key for other in others)}) == 6
    assert base.lane == NewJob(Kind.FORWARD, key, 2, "q", "lake").lane
