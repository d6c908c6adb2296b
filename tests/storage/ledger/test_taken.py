"""The memory of what sources gave: by source, by state, and not for ever."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.ledger.ledger import Ledger
from storage.ledger.taken import KEPT_S, SEEN_EVERY_S, Dealt, Taken


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Taken]:
    ledger = Ledger.open(tmp_path)
    yield ledger.taken
    ledger.close()


def test_each_source_has_a_memory_of_its_own(rows):
    """What one source gave is not known of another."""
    rows.note("a", [Dealt("1", "m"), Dealt("2", "m", "too-large")], 1.0)
    assert rows.known("a", ["1", "2", "3"], 1.0) == {
        "1": Dealt("1", "m"), "2": Dealt("2", "m", "too-large"),
    }  # fmt: skip
    assert rows.known("b", ["1", "2"], 1.0) == {}
    assert rows.known("a", [], 1.0) == {}


def test_the_last_state_counts(rows):
    """A key has one row, whether it is noted twice at once or one time after the other."""
    rows.note("a", [Dealt("1", "first"), Dealt("1", "second")], 1.0)
    assert rows.known("a", ["1"], 1.0)["1"].mark == "second"
    rows.note("a", [Dealt("1", "third", "cannot-understand")], 2.0)
    rows.note("a", [], 2.0)
    assert rows.known("a", ["1"], 2.0) == {"1": Dealt("1", "third", "cannot-understand")}


def test_what_is_seen_is_not_forgotten(rows):
    """A look says that an object is still there; what none has seen for long is forgotten."""
    rows.note("a", [Dealt("seen", "m"), Dealt("gone", "m")], 0.0)
    rows.note("b", [Dealt("gone", "m")], 0.0)
    rows.known("a", ["seen"], SEEN_EVERY_S + 1)
    assert rows.prune("a", KEPT_S + 1) == 1
    assert set(rows.known("a", ["seen", "gone"], KEPT_S)) == {"seen"}
    assert set(rows.known("b", ["gone"], 0.0)) == {"gone"}


def test_a_clock_that_jumps_forgets_nothing_that_is_there(rows):
    """Rows that a look has just touched outlive a jump of a year; one back prunes nothing."""
    rows.note("a", [Dealt("1", "m")], 0.0)
    rows.known("a", ["1"], 400 * SEEN_EVERY_S)
    assert rows.prune("a", 400 * SEEN_EVERY_S) == 0
    rows.known("a", ["1"], 1.0)
    assert rows.prune("a", 1.0) == 0
