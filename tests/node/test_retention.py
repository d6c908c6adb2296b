"""The thread of retention: what a pass does, in which order, and what it tells."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.model import Settings
from config.retention import Retention as Table
from dicom.entity import SeriesKey
from dicom.errors import StorageFault
from examples.peers.process import wait_until
from node.retention import MB, Retention
from storage.leaving import Burden
from storage.ledger.holdings import Candidate, LetGo
from storage.ledger.ledger import Ledger
from storage.retention import Considered

SERIES = [Candidate(SeriesKey("1.2", f"1.2.{number}"), float(number)) for number in range(5)]


class Spool:
    """A disk with as much room as the test says, on which nothing is being stored."""

    free_mb = 100

    def free_bytes(self) -> int:
        return self.free_mb * MB

    def quiet_s(self) -> float:
        return float("inf")


class Parts:
    """What decides and what deletes, noting what they were asked for."""

    def __init__(self) -> None:
        self.considered: list[tuple[str, bool]] = []
        self.left: list[str] = []
        self.there: list[Burden] = []
        self.missing: tuple[str, ...] = ()
        self.fails: Exception | None = None

    def consider(self, key: SeriesKey, _now: float, *, for_room: bool) -> Considered:
        self.considered.append((key.series_instance_uid, for_room))
        if not for_room:
            return Considered(releasable_bytes=10 * MB)
        return Considered(LetGo(2, 10 * MB), 10 * MB, self.missing)

    def go_on(self, _now: float) -> None:
        if self.fails:
            raise self.fails

    def burdens(self) -> Iterator[Burden]:
        yield from self.there

    def leave(self, burden: Burden, _now: float) -> bool:
        self.left.append(burden.segment)
        return True


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def make(tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch):
    """Makes a thread over five Series, with a ledger for its events."""
    with closing(Ledger.open(tmp_path)) as ledger:

        def candidates(after: Candidate | None, _limit: int) -> list[Candidate]:
            return SERIES if after is None else []

        def maker(behind: Callable[[], bool] = lambda: False, **table: Any) -> Retention:
            settings = Settings(retention=Table(every_s=0.01, **table))
            seen = SimpleNamespace(
                holdings=SimpleNamespace(candidates=candidates),
                outbox=ledger.outbox,
                payments=None,
                places=None,
            )
            index = SimpleNamespace(position=lambda: {"s1": 9}, wholly_read=lambda: {"s1": 4})
            made = Retention(
                settings,
                Spool(),
                None,
                seen,
                index,
                index_is_behind=behind,  # type: ignore[arg-type]
            )
            monkeypatch.setattr(made, "_letting_go", parts)
            monkeypatch.setattr(made, "_leaving", parts)
            return made

        maker.events = lambda: ledger.outbox.after(0, 100)
        yield maker


@pytest.mark.p2
def test_no_more_leaves_than_room_is_wanted(make, parts):
    """Short of room, Series are let go of in their order until there is enough, and told once."""
    parts.there = [Burden("s1", 100, 0), Burden("s2", 100, 60), Burden("s3", 100, 50)]
    retention = make(keep_free_mb=125)
    retention.step(1.0)
    assert [for_room for _, for_room in parts.considered] == [True, True, True, False, False]
    assert parts.left == ["s1", "s3"] * 2
    (told,) = make.events()
    assert told.type == "penumbra.retention.released"
    assert told.data["instances"] == 6
    facts = retention.facts()
    assert facts["releasable_bytes"] == 20 * MB
    assert facts["released_bytes"] == 30 * MB


def test_with_room_nobody_is_looked_at_but_now_and_then(make, parts):
    """With enough room the Series are added up at first, and not at every pass."""
    retention = make(keep_free_mb=50)
    retention.step(1.0)
    retention.step(2.0)
    assert len(parts.considered) == len(SERIES)
    assert make.events() == []
    assert retention.facts()["releasable_bytes"] == 50 * MB


@pytest.mark.p2
def test_between_long_looks_room_is_made(make, parts, monkeypatch):
    """Where all was looked at just now, age waits for its turn, and shortage of room does not."""
    parts.there = [Burden("s1", 100, 0)]
    retention = make(keep_free_mb=50, keep_days=1)
    for turns in (retention._looks, retention._sweeps):
        turns.took(1e6)
    retention.step(1.0)
    assert parts.considered == parts.left == []
    monkeypatch.setattr(Spool, "free_mb", 35)
    retention.step(2.0)
    assert parts.considered == [("1.2.0", True), ("1.2.1", True)]
    assert parts.left == ["s1"]


@pytest.mark.p2
@pytest.mark.parametrize(
    ("table", "reached"),
    [({"keep_days": 0}, 4), ({"keep_free_mb": 99}, 4), ({"keep_free_mb": 101}, 9)],
)
def test_heads_cost_no_room(make, table: dict[str, int], reached: int):
    """Bytes stay until the index has their heads; where room is short they need not wait."""
    assert make(**table)._indexed() == {"s1": reached}


def test_a_lost_proof_is_told(make, parts):
    """A destination that no longer holds what it was sent is named in an event."""
    parts.missing = ("lake",)
    make(keep_free_mb=101).step(1.0)
    missing = [one for one in make.events() if one.type == "penumbra.retention.missing"]
    assert [one.data["destination"] for one in missing] == ["lake"]
    assert missing[0].subject == "1.2.0"


@pytest.mark.p5
def test_nothing_leaves_while_the_index_is_rebuilt(make, parts):
    """An index that reads the log from its beginning shall find all of it."""
    parts.there = [Burden("s1", 100, 0)]
    make(lambda: True, keep_days=0).step(1.0)
    assert parts.left == parts.considered == []


def test_the_thread_outlives_a_fault_and_stops(make, parts):
    """A fault is shown and the next pass goes on; by default there is no thread at all."""
    parts.fails = StorageFault("the ledger is away")
    retention = make(keep_days=0)
    retention.start()
    wait_until(lambda: "away" in str(retention.facts()["trouble"]), 20, "trouble to show")
    parts.fails = None
    wait_until(lambda: parts.considered and not retention.facts()["trouble"], 20, "the next pass")
    retention.stop(20)
    assert not retention._thread.is_alive()
    idle = make()
    idle.start()
    assert not idle._thread.is_alive()
    assert idle.facts() == {"on": False}
    idle.stop(1)
