"""What stays in the spool: what a person has to decide, keeps or has to mend; who goes first."""

import dataclasses

import pytest

from routing.job import Kind, State
from routing.retention import Policy, Verdict, judge
from storage.ledger import unplanned
from storage.ledger.events import NewEvent
from storage.ledger.pins import Pin
from storage.ledger.unplanned import Unplanned
from storage.spool.reader import SpoolReader

DAY = 86_400.0
AT_ONCE = Policy(keep_s=0)


@pytest.mark.p2
def test_conflicts_and_unfiled_objects_stay(world):
    """An object that waits for a person's decision never leaves, however its Series is proven."""
    world.delivered(range(2))
    world.store(0, seed=5)
    world.follow()
    world.seal()
    policy = Policy(keep_s=0, unsent_s=0)
    assert world.let_go(policy) == 2
    world.sweep()
    rows = world.rows()
    assert [at for (uid, _), (_, at) in rows.items() if uid == world.uid(1)] == [0]
    (conflict,) = [row for row, at in rows.values() if at is None]
    assert conflict.arrival.sop_instance_uid == world.uid(0)
    SpoolReader(world.root).verify(conflict)
    (held,) = world.ledger.jobs.list([State.HELD])
    assert held.spec.kind is Kind.INTAKE
    world.ledger.jobs.drop(held.id, 1)
    assert world.let_go(Policy(keep_s=0)) == 0
    assert world.let_go(policy) == 1


@pytest.mark.p2
@pytest.mark.parametrize("legal_hold", [False, True])
def test_what_is_pinned_stays(world, legal_hold):
    """A pin on a Study or a Series keeps it until it is lifted; lifting the other kind does not."""
    world.delivered(range(2))
    world.ledger.pins.add(Pin("1.2.3", "", legal_hold, "case 7", "eva", 1.0))
    assert world.ledger.holdings.candidates(None, 10) == []
    assert world.let_go() == 0
    lift = {"by": "eva", "reason": "closed", "now": 2.0}
    assert world.ledger.pins.lift("1.2.3", "", legal_hold=not legal_hold, **lift) == 0
    assert world.ledger.pins.lift("1.2.3", "1.2.3.1", legal_hold=legal_hold, **lift) == 0
    assert world.let_go() == 0
    assert world.ledger.pins.lift("1.2.3", "", legal_hold=legal_hold, **lift) == 1
    world.ledger.pins.add(Pin("1.2.3", "1.2.3.2", legal_hold, "another series", "eva", 1.0))
    assert world.let_go() == 2
    assert world.ledger.pins.add(Pin("1.2.3", "1.2.3.1", legal_hold, "late", "eva", 3.0)) == 2
    told = [one.type for one in world.ledger.outbox.after(0, 100)]
    assert told.count("penumbra.study.pinned") == 3
    assert told.count("penumbra.study.unpinned") == 1


@pytest.mark.p2
def test_what_a_rule_failed_about_stays(world):
    """However its other deliveries are proven, a Series stays until that rule can say."""
    world.delivered(range(2))
    failed = Unplanned(world.key(), "chest", "no such overload", 1.0)
    with world.ledger.database.write() as db:
        unplanned.note(db, [failed])
    assert world.ledger.holdings.candidates(None, 10) == []
    assert world.let_go() == 0
    standing = world.ledger.holdings.standing(world.key())
    assert set(judge(standing, AT_ONCE, 5.0, for_room=True).values()) == {Verdict.UNPLANNED}
    told = NewEvent("penumbra.rules.applied", "1.2.3.1", {})
    before_it_failed_again = dataclasses.replace(failed, at=0.5)
    world.ledger.settling.add([], 2.0, told, [before_it_failed_again])
    assert world.let_go() == 0
    world.ledger.settling.add([], 2.0, told, [failed])
    assert world.let_go() == 2


@pytest.mark.p2
def test_destinations_are_asked_again(world):
    """With an old proof nothing leaves until every destination has said that it still holds it."""
    policy = Policy(keep_s=DAY, proof_s=3600)
    world.delivered(range(2))
    assert world.let_go(policy, DAY - 1) == 0
    assert world.asked == []
    world.holds = None
    assert world.let_go(policy, DAY) == 0
    assert len(world.asked) == 2
    world.holds = False
    assert world.let_go(policy, 2 * DAY) == 0
    world.holds = True
    assert world.let_go(policy, 3 * DAY) == 2
    trusted = dataclasses.replace(policy, trusted=frozenset({"out"}))
    world.receive(range(2))
    count = len(world.asked)
    assert world.let_go(trusted, 4 * DAY) == 2
    assert len(world.asked) == count


@pytest.mark.p2
def test_least_recently_asked_first(world):
    """Series come in the order in which somebody last wanted them, whatever the page."""
    for number in (1, 2, 3):
        world.receive([number], number, at=float(number))
        world.settle(number)
        world.deliver(number)
    world.ledger.holdings.asked(world.key(1), 10.0)
    holdings = world.ledger.holdings
    seen, after = [], None
    while page := holdings.candidates(after, 1):
        (after,) = page
        seen.append(after.key)
    assert seen == [world.key(2), world.key(3), world.key(1)]
    assert [one.key for one in holdings.candidates(None, 10)] == seen
