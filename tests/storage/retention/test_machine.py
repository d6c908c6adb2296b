"""Whatever happens in whatever order, bytes that are needed are there, and what left was proven."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from routing.job import State
from routing.retention import Policy
from storage.ledger.pins import Pin

SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""What is tested is order, not the disk."""
DAY = 86_400.0
SERIES = st.integers(1, 2)
NUMBERS = st.integers(0, 11)
Object = tuple[str, str]
"""A SOP Instance UID and a digest."""


@dataclass
class Debt:
    """A job as the model remembers it: what it is about, and how it stands."""

    target: str
    about: frozenset[Object]
    state: State = State.WAITING


@dataclass
class Books:
    """What the model knows of one Series."""

    is_open: bool = False
    is_settled: bool = False
    pinned: bool = False
    members: list[Object] = field(default_factory=list)
    debts: dict[int, Debt] = field(default_factory=dict)


class Letting(RuleBasedStateMachine):
    """A node over days: objects come, are delivered, held, dropped, pinned, and leave."""

    make: Callable[[Path], Any]

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=SCRATCH)
        # Three objects fill a segment, so that what leaves and what stays lie side by side.
        self.world = type(self).make(Path(self._folder.name), segment_bytes=7_500)
        self.now = 1.0
        self.books = {number: Books() for number in (1, 2)}
        self.paid: set[tuple[str, Object]] = set()
        self.seen: dict[str, list[Object]] = {}
        self.gone: set[Object] = set()

    def teardown(self) -> None:
        self.world.close()
        self._folder.cleanup()

    @rule(number=NUMBERS, seed=st.sampled_from([0, 0, 0, 1]))
    def receive(self, number: int, seed: int) -> None:
        """An object comes: a new one, the same again, or another one under a known UID."""
        self.now += 1
        series = number % 2 + 1
        this = self.world.uid(number), self.world.store(number, series, seed=seed, at=self.now)
        self.world.follow()
        self.gone.discard(this)
        known = self.seen.setdefault(this[0], [])
        if this in known:
            return
        known.append(this)
        if len(known) == 1:  # the others are conflicts
            self.books[series].members.append(this)
            self.books[series].is_open = True

    @rule(series=SERIES, places=st.sets(st.sampled_from(["a", "b"])))
    def settle(self, series: int, places: set[str]) -> None:
        books = self.books[series]
        if not books.is_open:
            return
        self.now += 1
        self.world.settle(series, sorted(places), at=self.now)
        books.is_open, books.is_settled = False, True
        for job, target, _ in self.world.jobs(series):
            books.debts.setdefault(job, Debt(target, frozenset(books.members)))

    @rule(series=SERIES, most=st.sampled_from([1, 100, 100]), end=st.sampled_from(list(State)))
    def work(self, series: int, most: int, end: State) -> None:
        """A job is done, or says so too early, or is put back, held or given up."""
        for job, debt in self.books[series].debts.items():
            if debt.state in {State.DONE, State.DROPPED}:
                continue
            if end in {State.DONE, State.WAITING, State.RUNNING}:
                paid = self.world.pay(job, debt.target, series, self.now, most)
                self.paid |= {(debt.target, one) for one in paid}
            self.world.set_state(job, end)
            debt.state = end
            return

    @rule(series=SERIES, legal_hold=st.booleans(), whole=st.booleans())
    def pin(self, series: int, *, legal_hold: bool, whole: bool) -> None:
        key = self.world.key(series)
        uid = "" if whole else key.series_instance_uid
        pins, books = self.world.ledger.pins, self.books
        pins.add(Pin(key.study_instance_uid, uid, legal_hold, "r", "me", self.now))
        for number in books if whole else [series]:
            books[number].pinned = True

    @rule()
    def unpin(self) -> None:
        pins = self.world.ledger.pins
        for one in pins.list():
            where = one.study_instance_uid, one.series_instance_uid
            pins.lift(*where, legal_hold=one.legal_hold, by="me", reason="r", now=self.now)
        for books in self.books.values():
            books.pinned = False

    @rule(days=st.sampled_from([0.5, 2.0, 30.0]))
    def age(self, days: float) -> None:
        self.now += days * DAY

    @rule(
        keep=st.sampled_from([None, 0.0, DAY]),
        unsent=st.sampled_from([None, None, 0.0]),
        proof=st.sampled_from([None, DAY]),
        holds=st.sampled_from([True, False, None]),
        for_room=st.booleans(),
    )
    def let_go(self, keep, unsent, proof, holds, *, for_room: bool) -> None:
        """What leaves is what the model would let go of, and nothing is let go twice."""
        self.world.holds = holds
        may = set(filter(lambda one: self.may_leave(one, unsent), self.objects()))
        count = self.world.let_go(Policy(keep, unsent, proof), self.now, for_room=for_room)
        gone = {one for one, (_, at) in self.world.rows().items() if at is not None}
        assert gone - self.gone <= may
        assert len(gone - self.gone) == count
        if for_room and proof is None:
            assert gone >= {one for one in may if self.may_leave(one, None)}
        self.gone = gone

    @rule()
    def sweep(self) -> None:
        self.world.sweep(self.now)

    @rule(series=SERIES, numbers=st.sets(NUMBERS, min_size=1, max_size=4), sweep=st.booleans())
    def usual_day(self, series: int, numbers: set[int], *, sweep: bool) -> None:
        """A Series comes, is delivered, is let go of, and its room is given back."""
        for number in numbers:
            self.receive(number - number % 2 + series - 1, 0)
        self.settle(series, {"a"})
        for _ in range(3):
            self.work(series, 100, State.DONE)
        if sweep:
            self.crash()  # it seals what is open
        self.let_go(0.0, None, None, True, for_room=False)
        if sweep:
            self.sweep()

    @rule()
    def crash(self) -> None:
        self.world.reopen()

    @rule()
    def lose_the_ledger_of_positions(self) -> None:
        """An index that was deleted is brought up again from what is there."""
        self.world.index.positions.clear()
        self.world.reopen()

    @invariant()
    def what_is_needed_is_there(self) -> None:
        """Each object that was acknowledged is known, and read back whole unless it was let go."""
        rows = self.world.rows()
        assert set(rows) == set(self.objects())
        assert {one for one, (_, at) in rows.items() if at is not None} == self.gone
        self.world.here()

    def objects(self) -> list[Object]:
        return [one for known in self.seen.values() for one in known]

    def may_leave(self, one: Object, unsent: float | None) -> bool:
        """Say whether an object may leave at all, by the model's own books."""
        (books,) = [each for each in self.books.values() if one in each.members] or [None]
        if books is None or books.pinned or books.is_open or not books.is_settled:
            return False
        if any(debt.state not in {State.DONE, State.DROPPED} for debt in books.debts.values()):
            return False
        sent = [
            debt.target
            for debt in books.debts.values()
            if debt.state is State.DONE and one in debt.about
        ]
        if not sent:
            return unsent is not None
        return all((target, one) in self.paid for target in sent)


@pytest.mark.p2
@pytest.mark.p7
def test_only_what_is_proven_leaves(make_world):
    """No order of events lets an object leave that somebody still owes, holds or pins."""
    machine = type("Machine", (Letting,), {"make": staticmethod(make_world)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=15, stateful_step_count=30, deadline=None)
    )
