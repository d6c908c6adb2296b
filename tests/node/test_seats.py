"""Seats: the count of open associations is exact, whoever comes and goes at the same moment."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.admission import Accept, Cause, Reject, Result, Source
from node.seats import Seats

FULL = Reject(Result.TRANSIENT, Source.PRESENTATION, 2, "", "", Cause.TOO_MANY)


def at_most(in_all, of_caller):
    """A judge with these limits, who takes long enough for others to come in between."""

    def judge(taken, own):
        for _ in range(20):
            time.sleep(0)  # lets another thread run
        return Accept() if taken < in_all and own < of_caller else FULL

    return judge


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 5), st.booleans())))
def test_counts_are_those_of_a_list(steps):
    """After any coming and going, also twice, the judge hears what a plain list would count."""
    seats, model = Seats(), {}
    for caller, holder, comes in steps:
        if not comes:
            seats.free(holder)
            model.pop(holder, None)
        elif holder not in model:
            heard = []
            seats.take(holder, caller, lambda *counts, into=heard: into.append(counts) or Accept())
            assert heard == [(len(model), list(model.values()).count(caller))]
            model[holder] = caller
        assert seats.taken == len(model)


def test_strangers_leave_no_trace():
    """Titles of those who were turned away, or went, are not remembered."""
    seats = Seats()
    for number in range(100):
        seats.take(number, f"X{number}", at_most(1, 1))
    seats.free(0)
    assert seats.taken == 0
    assert not seats._open


@pytest.mark.parametrize(("in_all", "of_caller", "expected"), [(20, 99, 20), (99, 7, 14)])
def test_exact_among_threads(in_all, of_caller, expected):
    """Fifty that come at the same moment get exactly the seats there are, again and again."""
    seats = Seats()
    for _ in range(5):
        barrier, verdicts = threading.Barrier(50), []

        def come(number, barrier=barrier, verdicts=verdicts):
            barrier.wait()
            verdicts.append(seats.take(number, f"CT{number % 2}", at_most(in_all, of_caller)))

        threads = [threading.Thread(target=come, args=(number,)) for number in range(50)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert verdicts.count(Accept()) == seats.taken == expected
        for number in range(50):
            seats.free(number)
        assert seats.taken == 0
