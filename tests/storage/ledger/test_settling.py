"""What is open is looked at when that tells something new, and each revision is closed once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom.entity import Arrival, Instance, Location, Origin, SeriesKey
from routing.job import Kind, NewJob, State
from routing.settle import Announced, Completion, Reason
from storage.ledger import settling
from storage.ledger.events import NewEvent
from storage.ledger.expectations import Expected
from storage.ledger.intake import Arrived
from storage.ledger.ledger import Ledger
from storage.ledger.past import Past
from storage.ledger.settling import OpenSeries
from storage.ledger.unplanned import RULE_FAILED, Unplanned

KEY = SeriesKey("1.2", "1.2.1")
QUIET = Completion(40, Reason.QUIET, "quiet, 1 of 3 announced missing (mpps)", 3, 1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path)
    yield opened
    opened.close()


def arrived(
    uid: str,
    *,
    key: SeriesKey = KEY,
    at: float = 10,
    number: str = "",
    origin: Origin = Origin.DIMSE,
    modality: str = "CT",
) -> Arrived:
    arrival = Arrival("1.2.840.10008.5.1.4.1.1.2", uid, "1.2.840.10008.1.2.1", "CT1", "PENUMBRA",
                      "a1", "127.0.0.1", at, origin)  # fmt: skip
    texts = {"Modality": modality, "InstanceNumber": number}
    return Arrived(Instance(arrival, Location("w-1", 64, 100), "d" + uid), key, texts)


def looked_at(ledger: Ledger, since: float, until: float = 1e9) -> list[OpenSeries]:
    return ledger.settling.candidates(since, lambda _: False, until=until)


def test_what_was_postponed_is_looked_at_when_its_time_has_come(ledger: Ledger):
    """Until then it is not among the candidates; with news or a word about it, it is at once."""
    ledger.intake.absorb([arrived("1")], {}, 11)
    ledger.settling.postpone([(one, 39) for one in looked_at(ledger, 11)], 12)
    assert looked_at(ledger, 38) == []
    assert len(looked_at(ledger, 39)) == 1
    ledger.settling.look_again([KEY])
    assert len(looked_at(ledger, 12)) == 1
    ledger.settling.postpone([(one, 39) for one in looked_at(ledger, 12)], 12)
    ledger.expectations.note([Expected("1.2", "", "mpps", 3)], 13)
    assert len(looked_at(ledger, 12)) == 1
    ledger.settling.postpone([(one, 39) for one in looked_at(ledger, 12)], 12)
    ledger.intake.absorb([arrived("2", at=20)], {}, 21)
    assert len(looked_at(ledger, 20)) == 1


def test_news_is_not_postponed(ledger: Ledger):
    """Who looked before an Instance came does not put it off."""
    ledger.intake.absorb([arrived("1")], {}, 11)
    seen = looked_at(ledger, 11)
    ledger.intake.absorb([arrived("2", at=12)], {}, 13)
    ledger.settling.postpone([(one, 39) for one in seen], 13)
    assert [one.instances for one in looked_at(ledger, 12)] == [2]


def test_what_is_announced_is_looked_at_while_it_comes(ledger: Ledger):
    """Fresh news alone is no reason to look, but it is where a number was told."""
    other = SeriesKey("1.3", "1.3.1")
    ledger.expectations.note([Expected("1.2", "1.2.1", "mpps", 1)], 9)
    ledger.intake.absorb([arrived("1", at=50), arrived("2", key=other, at=50)], {}, 51)
    assert [one.pending.key for one in looked_at(ledger, 49)] == [KEY]
    assert len(looked_at(ledger, 50)) == 2


def test_only_so_many_are_looked_at_in_a_step(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    """A step stays short however many wait; those that wait longest come first."""
    monkeypatch.setattr(settling, "MOST", 2)
    for n in (3, 1, 2):
        key = SeriesKey("1.2", f"1.2.{n}")
        ledger.intake.absorb([arrived(str(n), key=key, at=10 + n)], {}, 20)
    found = [one.pending.key.series_instance_uid for one in looked_at(ledger, 20)]
    assert found == ["1.2.1", "1.2.2"]


def test_a_time_that_is_far_ahead_is_looked_at(ledger: Ledger):
    """After the clock was set back nothing waits until it has caught up."""
    ledger.intake.absorb([arrived("1", at=5000)], {}, 11)
    assert looked_at(ledger, 10, until=5001) == []
    (one,) = looked_at(ledger, 10, until=310)
    ledger.settling.postpone([(one, 39)], 11)
    assert [each.pending.last_at for each in looked_at(ledger, 39)] == [11]


@pytest.mark.parametrize(
    ("text", "gaps"),
    [
        ("7", [(3, 3), (5, 6)]),
        (" 7 ", [(3, 3), (5, 6)]),
        ("0", [(3, 3)]),
        ("3", []),
        ("-3", []),  # as much would be missing as is there
        ("2147483647", []),
        *((text, []) for text in ("", "7.5", "A1", "99999999999", "1\\2")),
    ],
)
def test_instance_numbers_are_kept_where_they_are_numbers(
    ledger: Ledger, text: str, gaps: list[tuple[int, int]]
):
    """Beside 1, 2 and 4: what is no integer string says nothing, and ends the guessing."""
    others = [arrived(number, number=number) for number in ("1", "2", "4")]
    ledger.intake.absorb([arrived("x", number=text), *others], {}, 11)
    (one,) = looked_at(ledger, 11)
    assert list(one.pending.gaps) == gaps


def test_a_later_word_of_the_same_source_replaces(ledger: Ledger):
    """Each source has one word about a Series and one about the Study."""
    first = Expected("1.2", "1.2.1", "mpps", 5, ("1", "2", "3", "4", "5"))
    later = Expected("1.2", "1.2.1", "mpps", 2, ("1", "9"))
    asked = Expected("1.2", "1.2.1", "query", 3)
    whole = Expected("1.2", "", "mpps", 7)
    ledger.intake.absorb([arrived("1"), arrived("2")], {}, 11)
    ledger.expectations.note([first, asked], 12)
    ledger.expectations.note([later, whole], 13)
    assert set(ledger.expectations.of_study("1.2")) == {later, asked, whole}
    (one,) = looked_at(ledger, 14)
    assert set(one.pending.announced) == {Announced("mpps", 2, 1), Announced("query", 3, 1)}
    assert not one.pending.study_is_there
    ledger.expectations.note([Expected("1.2", "", "mpps", 2)], 15)
    (one,) = looked_at(ledger, 14)
    assert one.pending.study_is_there


def test_what_was_named_may_be_in_several_series(ledger: Ledger):
    """A list of names is short of those that are nowhere, and no announcement of one Series."""
    named = Expected("1.2", "1.2.1", "commitment", 3, ("1", "2", "3"))
    ledger.intake.absorb([arrived("1")], {}, 11)
    ledger.expectations.note([named], 12)
    (one,) = looked_at(ledger, 14)
    assert one.pending.announced == (Announced("commitment", 3, 2),)
    other = SeriesKey("1.2", "1.2.2")
    ledger.intake.absorb([arrived("2", key=other), arrived("3", key=other)], {}, 13)
    found = {one.pending.key: one.pending for one in looked_at(ledger, 14)}
    assert found[KEY].announced == (Announced("commitment", 3, 0),)
    assert found[other].announced == ()


def owed(target: str, revision: int = 1) -> NewJob:
    return NewJob(Kind.FORWARD, KEY, revision, "r", target)


@pytest.mark.p3
def test_a_revision_is_closed_once(ledger: Ledger):
    """Of two who settle the same, one does; what was missing is kept with the revision."""
    ledger.intake.absorb([arrived("1")], {}, 11)
    (one,) = looked_at(ledger, 11)
    assert ledger.settling.settle(one, QUIET, [owed("lake")], 41)
    assert not ledger.settling.settle(one, QUIET, [owed("lake")], 42)
    assert len(ledger.jobs.list([State.WAITING])) == 1
    found = ledger.revisions.of_study("1.2")
    ((kept,),) = found.values()
    assert list(found) == ["1.2.1"]
    assert (kept.revision, kept.instances, kept.jobs, kept.settled_at) == (1, 1, 1, 41)
    assert (kept.completion.words, kept.completion.expected, kept.completion.missing) == (
        QUIET.words, 3, 1,
    )  # fmt: skip


def test_a_study_is_closed_over_what_was_seen(ledger: Ledger):
    """A Series that settles in between keeps its Study open; the next revision covers it."""
    ledger.intake.absorb([arrived("1")], {}, 11)
    (one,) = looked_at(ledger, 11)
    assert ledger.studies.candidates(1e6) == []
    assert ledger.settling.settle(one, QUIET, [], 41)
    (study,) = ledger.studies.candidates(41)
    covered = ledger.studies.series_of("1.2")
    ledger.intake.absorb([arrived("2", at=42)], {}, 42)
    (again,) = looked_at(ledger, 42)
    assert ledger.settling.settle(again, QUIET, [], 43)
    assert not ledger.studies.settle(study, covered, QUIET, [owed("pacs")], 44)
    assert not ledger.jobs.list([State.WAITING])
    (study,) = ledger.studies.candidates(44)
    assert study.pending.open_series == 0
    covered = ledger.studies.series_of("1.2")
    assert [(each.revision, each.is_new) for each in covered] == [(2, True)]
    assert ledger.studies.settle(study, covered, QUIET, [owed("pacs", 2)], 45)
    assert ledger.studies.is_settled("1.2")
    assert [each.is_new for each in ledger.studies.series_of("1.2")] == [False]


@pytest.mark.p2
def test_what_a_rule_could_not_say_stands_until_it_is_planned_anew(ledger: Ledger):
    """Its Study adds to it, and the next revision of the Series begins afresh."""

    def undecided() -> list[str]:
        (one,) = Past(ledger.database).of_study("1.2")
        return [each.rule for each in one.undecided]

    def failing(rule: str) -> list[Unplanned]:
        return [Unplanned(KEY, rule, "cannot say", 41)]

    ledger.intake.absorb([arrived("1")], {}, 11)
    (one,) = looked_at(ledger, 11)
    assert ledger.settling.settle(one, QUIET, [], 41, failing("near"))
    (study,) = ledger.studies.candidates(44)
    covered = ledger.studies.series_of("1.2")
    assert ledger.studies.settle(study, covered, QUIET, [], 45, undecided=failing("whole"))
    assert undecided() == ["near", "whole"]
    assert [one.type for one in ledger.outbox.after(0, 9)].count(RULE_FAILED) == 2
    ledger.intake.absorb([arrived("2", at=46)], {}, 47)
    (again,) = looked_at(ledger, 46)
    assert ledger.settling.settle(again, QUIET, [], 48, failing("other"))
    assert undecided() == ["other"]


def test_results_are_no_part_of_a_study(ledger: Ledger):
    """What a model made is not counted, and opens no Study."""
    result = arrived("9", key=SeriesKey("1.2", "1.2.9"), origin=Origin.AI, modality="SR")
    ledger.intake.absorb([arrived("1"), result], {}, 11)
    found = {one.pending.key: one for one in looked_at(ledger, 11)}
    assert ledger.settling.settle(found[result.key], QUIET, [], 12)
    assert ledger.studies.candidates(1e6) == []
    assert ledger.settling.settle(found[KEY], QUIET, [], 13)
    (study,) = ledger.studies.candidates(14)
    assert (study.traits.modalities, study.traits.series, study.traits.instances) == (("CT",), 1, 1)


def test_jobs_are_added_once(ledger: Ledger):
    """What was planned afterwards is written and told where it was not there, and only there."""
    told = NewEvent("penumbra.rules.applied", "1.2.1", {})
    assert ledger.settling.add([owed("lake")], 50, told) == [owed("lake")]
    assert ledger.settling.add([owed("lake"), owed("pacs")], 51, told) == [owed("pacs")]
    assert ledger.settling.add([owed("lake"), owed("pacs")], 52, told) == []
    assert len(ledger.jobs.list([State.WAITING])) == 2
    assert len(ledger.outbox.after(0, 10)) == 2
