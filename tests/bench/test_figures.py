"""The figures to reach, held against results."""

import pytest

from bench.ingest.figures import by_words, figures, verdict
from bench.ingest.results import Results


def figure(words, associations):
    """Find one figure."""
    return next(
        each for each in figures() if words in each.words and each.associations == associations
    )


def test_every_figure_is_asked_for_once():
    """No figure is lost or told twice: eight ratios and a time by associations, three single."""
    found = [(each.words, each.associations) for each in figures()]
    assert len(found) == len(set(found)) == 9 * 3 + 3
    assert sum(map(len, by_words().values())) == len(found)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (850, "0.85 x (≥ 0.85 x): reached"),
        (849, "0.84 x (≥ 0.85 x): **not reached**"),
        (1234, "1.23 x (≥ 0.85 x): reached"),
    ],
)
def test_a_rate_is_held_against_the_floor(cell, rate, words):
    """A ratio is reached at its bound, and is never rounded up to it."""
    results = Results([cell(objects=rate), cell(peer="floor", objects=1000)])
    assert verdict(figure("CT, of the floor", 1), results) == words


@pytest.mark.parametrize(
    ("grown_mb", "words"),
    [
        (14.21, "14.3 MB (≤ 32 MB): reached"),
        (32.01, "32.1 MB (≤ 32 MB): **not reached**"),
        (-3.0, "-3.00 MB (≤ 32 MB): reached"),
    ],
)
def test_memory_is_held_against_its_bound(cell, grown_mb, words):
    """Growth is never rounded down to its bound."""
    results = Results([cell(work="huge", associations=8, main_growth_mb=grown_mb)])
    assert verdict(figure("memory", 8), results) == words


def test_processor_time_includes_filing(cell):
    """The front's time per CT object is told until ledger and index hold it."""
    results = Results([cell(objects=1000, main_cpu_s=0.3, main_filed_cpu_s=0.5)])
    assert "0.50 ms (≤ 0.45 ms): **not reached**" in verdict(figure("CPU", 1), results)


def test_busy_workers_are_held_against_the_quiet_rate(cell):
    """The two cases of workers are compared with each other, not with the tables."""
    results = Results([
        cell(associations=4, case="quiet", objects=1000),
        cell(associations=4, case="busy", objects=600),
        cell(associations=4, objects=10),
    ])  # fmt: skip
    assert verdict(figure("workers busy", 4), results) == "0.60 x (≥ 0.5 x): reached"


def test_a_lag_that_never_ended_is_not_reached_silently(cell):
    """A node that never filed its burst has no lag to show, so nothing is told as reached."""
    results = Results([cell(work="small", associations=4, case="burst", filed_s=None)])
    assert verdict(figure("20,000", 4), results) == "not measured (≤ 2 s)"


def test_what_was_not_measured_says_so():
    """An empty run reaches nothing."""
    assert {verdict(each, Results([])).partition(" (")[0] for each in figures()} == {"not measured"}
