"""A target that does not answer is left alone, asked ever more seldom, and believed once back."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.errors import Busy, ModelUnavailable, NotClean, Refused, Unreachable
from routing import breaker
from routing.breaker import TRANSITIONS, Breaker, Sign, State

GONE = Unreachable("does not answer")


def open_breaker(**values: object) -> Breaker:
    return Breaker(**{"target": "lake", "state": State.OPEN, "next_at": 10.0, **values})


@pytest.mark.parametrize("pair", list(product(State, Sign)), ids="-".join)
def test_every_pair_of_state_and_sign(pair):
    """A job that comes through closes from every state; whatever is not in the table is nothing."""
    state, sign = pair
    after = TRANSITIONS.get(pair)
    if sign is Sign.DONE:
        assert after is State.CLOSED
    if sign is Sign.DEAD:
        assert after is (None if state in {State.OPEN, State.PROBING} else State.OPEN)
    if sign is Sign.ASKED:
        assert after is (State.PROBING if state in {State.OPEN, State.PROBING} else None)
    if sign in {Sign.SILENT, Sign.THERE, Sign.TRY}:
        assert (after is not None) == (state is State.PROBING)


@pytest.mark.parametrize("state", State)
def test_from_every_state_jobs_are_given_out_again(state: State):
    """No state is an end: some sequence of signs leads back to closed."""
    reached, edge = {state}, [state]
    while edge:
        here = edge.pop()
        for (start, _), end in TRANSITIONS.items():
            if start is here and end not in reached:
                reached.add(end)
                edge.append(end)
    assert State.CLOSED in reached


@pytest.mark.parametrize(
    ("fault", "blames"),
    [(GONE, True), (Busy("x"), True), (ModelUnavailable("x"), True), (Refused("x"), False),
     (NotClean("x"), False)],
)  # fmt: skip
def test_only_faults_of_the_target_count(fault, blames):
    """What one object is refused for says nothing of the target."""
    assert breaker.blames_target(fault) is blames


def test_a_dead_target_opens_at_once():
    """A job that failed and a question that failed are enough."""
    after = breaker.failed(Breaker("lake"), 1, GONE, 100, 0.5, is_there=False)
    assert (after.state, after.since, after.words) == (State.OPEN, 100, "does not answer")
    assert 100 < after.next_at < 104


def test_one_bad_job_never_opens():
    """A job that fails again and again at a target that answers is the job's trouble."""
    here = Breaker("lake")
    for _ in range(50):
        here = breaker.failed(here, 7, GONE, 100, 0.5, is_there=True)
        assert here.state is State.CLOSED


def test_several_jobs_in_a_row_open_and_only_a_job_closes():
    """Where questions are answered and nothing is taken, one job at a time is the question."""
    here = Breaker("lake")
    for job in range(breaker.FAILURES):
        assert here.state is State.CLOSED
        here = breaker.failed(here, job, Busy("slow down"), 100, 0.5, is_there=True)
    assert (here.state, here.needs_job) == (State.OPEN, True)
    here = breaker.answered(breaker.asked(here, 110, 30), None, 111, 0.5)
    assert here.state is State.TRIAL
    assert breaker.may_run(here, 0)
    assert not breaker.may_run(here, 1)
    again = breaker.failed(here, 9, Busy("slow down"), 112, 0.5, is_there=True)
    assert (again.state, again.since, again.tries) == (State.OPEN, 100, 2)
    assert breaker.done(here) == Breaker("lake")


def test_failures_between_jobs_that_come_through_never_open():
    """What counts is in a row."""
    here = Breaker("lake")
    for job in range(50):
        here = breaker.failed(here, job, Busy("x"), 100, 0.5, is_there=True)
        here = breaker.done(here)
        assert here.state is State.CLOSED


@pytest.mark.parametrize("fault", [None, Refused("access denied")])
def test_any_answer_closes(fault):
    """A target that says no is there: its jobs shall hear it, and be held with its words."""
    assert breaker.answered(breaker.asked(open_breaker(), 20, 30), fault, 21, 0.5) == Breaker(
        "lake"
    )


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_model_that_comes_back_is_noticed_soon(tries, chance):
    """However long a model has been away, it is asked again within 3 s."""
    gone = ModelUnavailable("h:1: no answer")
    here = breaker.asked(open_breaker(tries=tries), 100, 30)
    assert breaker.answered(here, gone, 100, chance).next_at - 100 <= 3


@given(st.integers(0, 100_000), st.floats(0, 1, exclude_max=True))
def test_waits_grow_to_twenty_seconds_and_no_further(tries: int, chance: float):
    """However long a target is away, it is asked again within 20 s."""
    here = breaker.asked(open_breaker(tries=tries), 100, 30)
    after = breaker.answered(here, GONE, 100, chance)
    assert after.state is State.OPEN
    assert 0.75 <= after.next_at - 100 <= 20
    if tries >= 4:
        assert after.next_at - 100 >= 0.75 * breaker.LONGEST_WAIT_S


def test_one_asks_at_a_time_and_another_when_it_is_lost():
    """Who asks has a lease; after it, as after the death of whoever asked, another asks."""
    here = open_breaker()
    assert not breaker.is_due(here, 9.9)
    assert breaker.is_due(here, 10)
    assert not breaker.is_due(breaker.asked(here, 10, 86_400), 11), "however long leases are"
    here = breaker.asked(here, 10, 30)
    assert not breaker.is_due(here, 39.9)
    assert breaker.is_due(here, 40)
    assert not breaker.is_due(Breaker("lake"), 1e9)


def test_a_clock_that_was_set_back_stops_no_question():
    """A time to ask that is further off than any wait comes from another clock, and is due."""
    assert breaker.is_due(open_breaker(next_at=5000.0), 1400)


def test_late_words_change_nothing():
    """An answer, or the failure of a job that ran on, says nothing new to who knows better."""
    closed = Breaker("lake")
    assert breaker.answered(closed, GONE, 5, 0.5) is closed
    here = open_breaker()
    assert breaker.failed(here, 3, GONE, 5, 0.5, is_there=False) is here
    assert breaker.answered(here, None, 5, 0.5) is here


SIGNS = st.sampled_from(["failed", "dead", "done", "ask", "there", "silent"])


@settings(max_examples=200)
@given(st.lists(st.tuples(SIGNS, st.integers(1, 4), st.floats(0.1, 50)), max_size=60))
def test_any_story_ends_well(story):
    """Whatever is told in whatever order: closed knows of no trouble, and open is asked soon."""
    here, now = Breaker("lake"), 1000.0
    for what, job, later in story:
        now += later
        if what in {"failed", "dead"}:
            here = breaker.failed(here, job, GONE, now, 0.5, is_there=what == "failed")
        elif what == "done":
            here = breaker.done(here)
        elif what == "ask" and breaker.is_due(here, now):
            here = breaker.asked(here, now, 30)
        elif what in {"there", "silent"}:
            here = breaker.answered(here, GONE if what == "silent" else None, now, 0.5)
        if here.state in {State.OPEN, State.PROBING}:
            assert breaker.is_due(here, now + 40)
            assert not breaker.may_run(here, 0)
        elif here.state is State.CLOSED:
            assert here.failures < breaker.FAILURES
            assert breaker.may_run(here, 1000)
