"""The pool's decisions: who gets a pause, who is asked next, and what a failure means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ai import breaker
from ai.balance import Standing, choose
from ai.breaker import FAILURES, LONGEST_WAIT_S, Breaker, State
from ai.trouble import BLAMING, Trouble, classify, why_absent


class Guarded(RuleBasedStateMachine):
    """Requests begin, end well or badly, or are given up, in any order."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.state = Breaker()
        self.trials = 0
        self.in_row = 0

    @rule(seconds=st.floats(0, 10))
    def pass_time(self, seconds):
        self.now += seconds

    @rule()
    def begin(self):
        if breaker.may_ask(self.state, self.now):
            was_open = self.state.state is State.OPEN
            self.state = breaker.begun(self.state)
            assert (self.state.state is State.TRIAL) == was_open

    @rule()
    def succeed(self):
        self.state = breaker.done(self.state)
        self.in_row = 0
        assert breaker.may_ask(self.state, self.now)

    @rule(times=st.integers(1, FAILURES), chance=st.floats(0, 1, exclude_max=True))
    def fail(self, times, chance):
        for _ in range(times):
            before = self.state
            self.state = breaker.failed(before, self.now, chance)
            self.in_row += 1
            if before.state is State.TRIAL or self.in_row >= FAILURES:
                assert self.state.state is State.OPEN

    @rule()
    def give_up(self):
        self.state = breaker.dropped(self.state)
        assert self.state.state is not State.TRIAL

    @invariant()
    def a_pause_ends(self):
        assert self.state.due_at - self.now <= 1.25 * LONGEST_WAIT_S
        later = self.now + 2 * LONGEST_WAIT_S
        assert self.state.state is State.TRIAL or breaker.may_ask(self.state, later)

    @invariant()
    def few_failures_close_nothing(self):
        if self.in_row < FAILURES and self.state.state is not State.CLOSED:
            assert self.state.failures >= FAILURES


TestGuarded = Guarded.TestCase


def test_a_trial_that_is_given_up_leaves_room_for_another():
    """A request that was cancelled says nothing: the next one is the trial, at once if due."""
    here = Breaker()
    for _ in range(FAILURES):
        assert breaker.may_ask(here, 0.0)
        here = breaker.failed(here, 0.0, 0.5)
    assert not breaker.may_ask(here, 0.0)
    here = breaker.begun(here)
    assert not breaker.may_ask(here, 100.0)
    here = breaker.dropped(here)
    assert breaker.may_ask(here, 100.0)
    longer = breaker.failed(breaker.begun(here), 100.0, 0.5)
    assert longer.due_at - 100.0 > here.due_at


breakers = st.builds(
    Breaker, st.sampled_from(State), st.integers(0, 9), st.floats(0, 100, allow_nan=False)
)
standings = st.lists(st.builds(Standing, st.integers(0, 9), breakers), max_size=6)


@given(standings, st.floats(0, 100), st.integers(0, 1000))
def test_the_choice_is_the_least_busy_of_the_willing(found, now, turn):
    """Nobody who is on trial is chosen; among the willing, none is less busy."""
    chosen = choose(found, now, turn)
    left = [one for one in found if one.breaker.state is not State.TRIAL]
    if chosen is None:
        assert not left
        return
    it = found[chosen]
    assert it in left
    willing = [one for one in left if breaker.may_ask(one.breaker, now)]
    if willing:
        assert it in willing
        assert it.outstanding == min(one.outstanding for one in willing)
    else:
        assert it.breaker.due_at == min(one.breaker.due_at for one in left)


def test_equals_take_turns():
    """Several workers that begin at once do not all go to the first endpoint."""
    found = [Standing(0, Breaker())] * 3
    assert [choose(found, 0.0, turn) for turn in range(6)] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ([], ""),
        ([("other", "1", "")], ""),
        ([("Lungs", "1", "")], "; it has no such model, did you mean Lungs?"),
        ([("lungs", "1", ""), ("lung", "1", "")], ""),
        ([("lungs", "2", "no\tsuch file\nat line 3")], "; version 2: nosuch file"),
        ([("lungs", "", "unloaded"), ("other", "1", "x")], "; version ?: unloaded"),
    ],
)
def test_why_a_model_is_not_ready(there, words):
    """The server's own reason in one line, or the name that may have been meant."""
    assert why_absent("lungs", there) == words


@pytest.mark.parametrize(
    ("status", "said", "trouble"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses", Trouble.AWAY),
        ("UNAVAILABLE", "[request id: 1] Exceeds maximum queue size", Trouble.BUSY),
        ("RESOURCE_EXHAUSTED", "too many requests", Trouble.BUSY),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (3 vs. 2)", None),
        ("NOT_FOUND", "Request for unknown model: 'm' is not found", Trouble.ABSENT),
        ("NOT_FOUND", "Unable to find shared memory region: 'r'", Trouble.LOST_MEMORY),
        ("INTERNAL", "Stub process 'm_0_0' is not healthy.", Trouble.DEAD_PROCESS),
        ("INTERNAL", "Failed to process the request(s)", Trouble.FAILED),
        ("ABORTED", "", Trouble.FAILED),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Trouble.SLOW),
        ("INVALID_ARGUMENT", "unexpected shape for input", None),
        ("INVALID_ARGUMENT", "must specify the START flag on the first", Trouble.LOST_SEQUENCE),
        ("UNIMPLEMENTED", "", None),
        ("UNAUTHENTICATED", "", Trouble.AWAY),
        ("", "", Trouble.AWAY),
    ],
)
def test_what_a_server_says_is_understood(status, said, trouble):
    """Back-pressure, a dead process, a missing model and a wrong request are told apart."""
    assert classify(status, said) is trouble


def test_patience_blames_nobody():
    """A full queue, a model that is not there and lost state open no breaker."""
    assert not BLAMING & {
        Trouble.BUSY, Trouble.ABSENT, Trouble.LOST_MEMORY, Trouble.LOST_SEQUENCE
    }  # fmt: skip
