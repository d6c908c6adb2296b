"""Filing: rows and positions move together, duplicates change nothing, conflicts are kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicom.entity import Arrival, Instance, Location, Origin, SeriesKey
from dicom.errors import CannotUnderstand
from routing.job import Kind, NewJob, State
from routing.settle import Completion, Reason
from storage.destinations.base import Receipt
from storage.ledger.intake import Arrived
from storage.ledger.ledger import Ledger

KEY = SeriesKey("1.2", "1.2.3")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path)
    yield opened
    opened.close()


def arrived(uid: str, digest: str = "d", *, at: float = 10, association: str = "a1") -> Arrived:
    arrival = Arrival(
        "1.2.840.10008.5.1.4.1.1.2",
        uid,
        "1.2.840.10008.1.2.1",
        "CT1",
        "PENUMBRA",
        association,
        "127.0.0.1",
        at,
    )
    return Arrived(
        Instance(arrival, Location("w-1", 64, 100), digest + uid), KEY, {"Modality": "CT"}
    )


QUIET = Completion(12, Reason.QUIET, "quiet")


def released(_association: str) -> bool:
    return True


@pytest.mark.p1
def test_rows_and_position_survive_a_reopen(ledger: Ledger, tmp_path: Path):
    """What was absorbed is there with its position when the ledger is opened again."""
    ledger.intake.absorb([arrived("1"), arrived("2")], {"w-1": 300}, 11)
    ledger.close()
    again = Ledger.open(tmp_path)
    assert again.intake.positions() == {"w-1": 300}
    assert [i.arrival.sop_instance_uid for i in again.receipts.of_series(KEY)] == ["1", "2"]
    again.close()


@pytest.mark.p7
def test_a_duplicate_changes_nothing(ledger: Ledger):
    """The same object again, in the same batch or later, is one Instance and no news."""
    first = ledger.intake.absorb([arrived("1"), arrived("1")], {}, 11)
    assert (first.filed, first.duplicates) == (1, 1)
    (one,) = ledger.settling.candidates(99, released)
    assert ledger.settling.settle(one, QUIET, [], 12)
    again = ledger.intake.absorb([arrived("1", at=50)], {}, 51)
    assert (again.filed, again.duplicates) == (0, 1)
    assert ledger.settling.candidates(99, released) == []


@pytest.mark.p7
def test_a_conflict_is_kept_and_held_and_never_replaces(ledger: Ledger):
    """Other bytes under a known UID are kept, shown to a person, and not delivered."""
    ledger.intake.absorb([arrived("1")], {}, 11)
    tally = ledger.intake.absorb([arrived("1", "other")], {}, 12)
    assert tally.conflicts == 1
    (held,) = ledger.jobs.list([State.HELD])
    assert (held.spec.kind, held.fault, held.spec.target) == (Kind.INTAKE, "conflict", "1")
    assert [i.digest for i in ledger.receipts.of_series(KEY)] == ["d1"]
    assert ledger.intake.find("1", "other1")[1] is True


@pytest.mark.p3
def test_what_cannot_be_filed_is_held_and_can_be_filed_later(ledger: Ledger):
    """An unreadable object is counted, held with its reason, and joins its Series when refiled."""
    broken = replace(
        arrived("1"), key=SeriesKey("", ""), fault=CannotUnderstand("StudyInstanceUID is missing")
    )
    assert ledger.intake.absorb([broken], {}, 11).unfiled == 1
    (held,) = ledger.jobs.list([State.HELD])
    assert held.words == "StudyInstanceUID is missing"
    assert ledger.summary()["received"]["series"] == 0
    ledger.intake.refile(arrived("1"), arrived("1").instance.digest)
    assert len(ledger.receipts.of_series(KEY)) == 1
    assert len(ledger.settling.candidates(99, released)) == 1


def test_a_late_instance_opens_the_next_revision(ledger: Ledger):
    """News after settling is a new revision, judged by its own associations alone."""
    ledger.intake.absorb([arrived("1", association="lost")], {}, 11)
    (one,) = ledger.settling.candidates(99, lambda a: a != "lost")
    assert (one.revision, one.pending.all_released) == (1, False)
    assert ledger.settling.settle(one, QUIET, [NewJob(Kind.FORWARD, KEY, 1, "r", "x")], 12)
    ledger.intake.absorb([arrived("2", association="fine")], {}, 13)
    (two,) = ledger.settling.candidates(99, lambda a: a != "lost")
    assert (two.revision, two.pending.all_released, two.instances) == (2, True, 2)


def test_news_during_settling_refuses_it(ledger: Ledger):
    """A revision never closes over an Instance that it did not count."""
    ledger.intake.absorb([arrived("1")], {}, 11)
    (one,) = ledger.settling.candidates(99, released)
    ledger.intake.absorb([arrived("2")], {}, 12)
    assert not ledger.settling.settle(one, QUIET, [], 13)


def test_candidates_are_quiet_or_results(ledger: Ledger):
    """A Series with fresh news is left alone; a result is looked at immediately."""
    ledger.intake.absorb([arrived("1", at=50)], {}, 51)
    assert ledger.settling.candidates(49, released) == []
    result = arrived("9", at=60)
    result = replace(
        result,
        key=SeriesKey("1.2", "1.2.9"),
        instance=replace(
            result.instance,
            arrival=replace(result.instance.arrival, origin=Origin.AI, rule="chest"),
        ),
    )
    ledger.intake.absorb([result], {}, 61)
    (one,) = ledger.settling.candidates(49, released)
    assert (one.pending.origin, one.rule) == (Origin.AI, "chest")


@pytest.mark.p2
def test_a_receipt_pays_one_debt_once(ledger: Ledger):
    """What has a receipt is owed no more there; other places and profiles are other debts."""
    ledger.intake.absorb([arrived("1"), arrived("2")], {}, 11)
    one, two = ledger.receipts.owed(KEY, "lake", "profile")
    receipt = Receipt("lake", one.digest, "2.25.1", "s3://b/k", "s", "s", "read-back", 12)
    ledger.receipts.add(7, "profile", [(one, receipt)])
    ledger.receipts.add(7, "profile", [(one, receipt)])
    assert ledger.receipts.owed(KEY, "lake", "profile") == [two]
    assert ledger.receipts.owed(KEY, "lake", "") == [one, two]
    assert ledger.receipts.owed(KEY, "pacs", "profile") == [one, two]
    assert len(ledger.receipts.list("lake")) == 1


def test_many_receipts_are_written_at_once(ledger: Ledger):
    """However many there are, those that are known stay, and each says which try it was of whom."""
    ledger.intake.absorb([arrived(str(number)) for number in range(1, 1203)], {}, 11)
    owed = ledger.receipts.owed(KEY, "lake", "")

    def paid(some):
        return [
            (one, Receipt("lake", one.digest, "2.25.1", "s3://b/k", "s", "s", "read-back", 12))
            for one in some
        ]

    ledger.receipts.add(7, "", paid(owed[100:200]), attempt=1, rule="first")
    ledger.receipts.add(7, "", paid(owed), attempt=2, rule="second")
    assert ledger.receipts.owed(KEY, "lake", "") == []
    rows = ledger.receipts.list("lake")
    assert len(rows) == len(owed) == 1202
    assert [(row["attempt"], row["rule"]) for row in rows].count((1, "first")) == 100
    assert {row["job"] for row in rows} == {7}
