"""Series and Studies settle when they are complete, as far as anybody can know, and say why."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import update

from dicom.entity import Origin, SeriesKey
from node.admission import AssociationFacts
from node.associations import AssociationBook
from node.conversation import Ending, Outcome
from routing.job import State
from routing.rules import Per, Rule, compile_rule
from routing.settle import Timing
from storage.ledger.expectations import Expected
from storage.ledger.revisions import Revision
from storage.ledger.schema import series
from storage.ledger.studies import STUDY_SETTLED

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2"
TIMING = Timing(quiet_s=30, release_s=1, incomplete_s=300, study_quiet_s=120)
FOREVER_S = 1e6
TO_LAKE = compile_rule("lake", {}, send=["lake"])
PER_STUDY = compile_rule("whole", {}, send=["pacs"], per=Per.STUDY)


def image(number: int, series: str = "1", modality: str = "CT", **more: Any) -> Dataset:
    """Make an object of a Series 1.2.SERIES, with an InstanceNumber."""
    head = Dataset()
    head.SOPClassUID, head.SOPInstanceUID = CT, f"{STUDY}.{series}.{number}"
    head.StudyInstanceUID, head.SeriesInstanceUID = STUDY, f"{STUDY}.{series}"
    head.Modality, head.InstanceNumber = modality, number
    for keyword, value in more.items():
        setattr(head, keyword, value)
    return head


def expected(count: int, series: str = "1", names: Sequence[str] = ()) -> Expected:
    uid = f"{STUDY}.{series}" if series else ""
    return Expected(STUDY, uid, "mpps", count, tuple(names))


@pytest.fixture
def node(front):
    """The front with the times of this file."""
    front.timing = TIMING
    return front


@pytest.fixture
def step(node) -> Callable[..., list[str]]:
    """Let the settler look at a time; gives the jobs that then are new, as rule Series revision."""
    settlers: dict[int, Any] = {}
    seen: set[int] = set()

    def look(now: float, *rules: Rule, book: AssociationBook | None = None) -> list[str]:
        settler = settlers.setdefault(id(rules[0]) if rules else 0, node.settler(rules))
        settler.step(now, (book or AssociationBook()).closed())
        new = [job for job in node.ledger.jobs.list(list(State)) if job.id not in seen]
        seen.update(job.id for job in new)
        return [
            f"{job.spec.rule} {job.spec.series.series_instance_uid.rpartition('.')[2]}"
            f" {job.spec.revision}"
            for job in new
        ]

    return look


def revisions(node, series: str = "1") -> list[Revision]:
    uid = f"{STUDY}.{series}" if series else ""
    return list(node.ledger.revisions.of_study(STUDY).get(uid, ()))


def words(node, series: str = "1") -> list[str]:
    return [one.completion.words for one in revisions(node, series)]


def told(node, kind: str) -> list[dict[str, Any]]:
    return [dict(one.data) for one in node.ledger.outbox.after(0, 1000) if one.type == kind]


def test_what_was_announced_settles_at_once(node, step):
    """With the last of the announced Instances the Series is complete, without any quiet."""
    node.ledger.expectations.note([expected(3)], 9)
    node.receive(image(1), received_at=10.0)
    node.receive(image(2), received_at=10.1)
    assert step(10.11, TO_LAKE) == []
    node.receive(image(3), received_at=10.2)
    assert step(10.21, TO_LAKE) == ["lake 1 1"]
    assert words(node) == ["expected, all 3 announced are there (mpps)"]
    (event,) = told(node, "penumbra.series.settled")
    assert (event["reason"], event["expected"], event["missing"]) == ("expected", 3, 0)


def test_an_announcement_that_comes_afterwards_settles_at_once(node, step):
    """Who says how many there are when all of them are there ends the waiting."""
    for number in (1, 2):
        node.receive(image(number), received_at=10.0)
    assert step(15.0, TO_LAKE) == []
    node.ledger.expectations.note([expected(2)], 15.5)
    assert step(15.6, TO_LAKE) == ["lake 1 1"]


def test_what_is_missing_is_waited_for_and_then_told(node, step):
    """A Series that is short of what was announced waits longer, settles, and says so."""
    node.ledger.expectations.note([expected(5)], 9)
    for number in (1, 2, 3):
        node.receive(image(number), received_at=10.0)
    for now in (11.0, 40.0, 309.9):
        assert step(now, TO_LAKE) == []
    assert step(310.0, TO_LAKE) == ["lake 1 1"]
    (one,) = revisions(node)
    assert one.completion.words == "quiet, 2 of 5 announced missing (mpps)"
    assert (one.completion.expected, one.completion.missing) == (5, 2)
    assert (one.instances, one.jobs) == (3, 1)


def test_named_instances_count_by_their_names(node, step):
    """As many as were announced are not enough where others were named."""
    node.ledger.expectations.note([expected(2, names=["1.2.1.1", "1.2.1.9"])], 9)
    for number in (1, 2):
        node.receive(image(number), received_at=10.0)
    assert step(100.0, TO_LAKE) == []
    node.ledger.expectations.note([expected(2, names=["1.2.1.1", "1.2.1.2"])], 101)
    assert step(101.0, TO_LAKE) == ["lake 1 1"]


def test_a_hole_in_the_numbers_is_waited_for(node, step):
    """InstanceNumbers with a hole hold a Series back for a while; when it closes, no longer."""
    for number in (1, 2, 3, 6, 7):
        node.receive(image(number), received_at=10.0)
    for number in (1, 2, 9):
        node.receive(image(number, "2"), received_at=10.0)
    assert step(40.0, TO_LAKE) == ["lake 2 1"]  # more would be missing than is there: no hole
    node.receive(image(4), received_at=41.0)
    node.receive(image(5), received_at=42.0)
    assert step(72.0, TO_LAKE) == ["lake 1 1"]
    assert words(node) == ["quiet"]


def test_a_hole_that_stays_is_told(node, step):
    """What never comes does not hold a Series for ever, and its revision says what was missing."""
    for number in (1, 2, 3, 6, 7):
        node.receive(image(number), received_at=10.0)
    assert step(310.0, TO_LAKE) == ["lake 1 1"]
    assert words(node) == ["quiet, InstanceNumber 4-5 missing"]


@pytest.mark.p3
def test_each_revision_keeps_its_reason_and_owes_what_is_new(node, step):
    """A late Instance opens a revision; the reason of the one before stays; nothing is twice."""
    node.receive(image(1), received_at=10.0)
    assert step(40.0, TO_LAKE) == ["lake 1 1"]
    node.ledger.expectations.note([expected(2)], 50)
    node.receive(image(2), received_at=60.0)
    assert step(60.1, TO_LAKE) == ["lake 1 2"]
    assert step(99.0, TO_LAKE) == []
    assert words(node) == ["quiet", "expected, all 2 announced are there (mpps)"]
    assert [one.instances for one in revisions(node)] == [1, 2]


def released(book: AssociationBook, identifier: str) -> None:
    facts = AssociationFacts(identifier, "CT1", "PENUMBRA", "h", 1.0, None)
    book.on_closed(facts, Ending(Outcome.RELEASED, "", {}, 0, 1.0))


def test_a_release_is_seen_by_a_series_that_already_waits(node, step):
    """Who keeps an association open and releases it later does not wait for the long quiet."""
    book = AssociationBook()
    node.receive(image(1), received_at=10.0)
    assert step(15.0, TO_LAKE, book=book) == []
    released(book, "a1")
    assert step(15.1, TO_LAKE, book=book) == ["lake 1 1"]
    assert words(node) == ["released"]


def test_a_series_that_waits_costs_nothing(node, step):
    """Between its news and the end of its waiting, a Series is not looked at again."""
    node.receive(image(1), received_at=10.0)
    assert step(12.0, TO_LAKE) == []
    for now in (12.1, 20.0, 39.9):
        assert node.ledger.settling.candidates(now - 1, lambda _: False) == []
    assert len(node.ledger.settling.candidates(39.0, lambda _: False)) == 1


def test_a_clock_set_back_holds_nothing_up(node, step):
    """What came at a time that is still to come settles after the quiet time all the same."""
    node.receive(image(1), received_at=100_000.0)
    assert step(10.0, TO_LAKE, PER_STUDY) == []
    assert node.ledger.settling.candidates(19.0, lambda _: False, until=320.0) == []
    assert step(40.0, TO_LAKE, PER_STUDY) == ["lake 1 1"]
    assert step(130.0, TO_LAKE, PER_STUDY) == ["whole 1 1"]


def test_a_study_waits_for_its_series_and_for_quiet(node, step):
    """A rule per Study owes its jobs when every Series has settled and nothing more came."""
    node.receive(image(1), received_at=10.0)
    node.receive(image(1, "2", "SR"), received_at=98.0)
    rules = (PER_STUDY, TO_LAKE)
    assert step(99.0, *rules) == ["lake 1 1"]
    assert step(130.0, *rules) == ["lake 2 1"]
    assert step(217.9, *rules) == []
    assert step(218.0, *rules) == ["whole 1 1", "whole 2 1"]
    assert words(node, "") == ["quiet"]
    (event,) = told(node, STUDY_SETTLED)
    assert (event["series"], event["instances"], event["jobs"]) == (2, 2, 2)
    assert step(FOREVER_S, *rules) == []


def test_a_whole_study_settles_at_once(node, step):
    """Where the number of a Study's Instances was announced, the last of them settles it all."""
    node.ledger.expectations.note([expected(2, series="")], 9)
    node.receive(image(1), received_at=10.0)
    assert step(12.0, PER_STUDY) == []
    node.receive(image(1, "2"), received_at=13.0)
    assert step(13.1, PER_STUDY) == []
    assert step(13.2, PER_STUDY) == ["whole 1 1", "whole 2 1"]
    assert words(node, "") == ["expected, all 2 announced are there (mpps)"]


def test_a_study_that_is_short_waits_longer(node, step):
    """Its Series are not held up by what is missing elsewhere; the Study is, for a while."""
    node.ledger.expectations.note([expected(5, series="")], 9)
    node.receive(image(1), received_at=10.0)
    assert step(40.0, PER_STUDY, TO_LAKE) == ["lake 1 1"]
    assert step(309.0, PER_STUDY, TO_LAKE) == []
    assert step(310.0, PER_STUDY, TO_LAKE) == ["whole 1 1"]
    assert words(node, "") == ["quiet, 4 of 5 announced missing (mpps)"]


@pytest.mark.p3
def test_a_late_series_opens_a_revision_of_the_study(node, step):
    """Only what is new is planned; a late Instance is new as well."""
    node.receive(image(1), received_at=10.0)
    assert step(200.0, PER_STUDY) == ["whole 1 1"]
    node.receive(image(1, "2"), received_at=300.0)
    assert step(500.0, PER_STUDY) == ["whole 2 1"]
    node.receive(image(2, "2"), received_at=600.0)
    assert step(800.0, PER_STUDY) == ["whole 2 2"]
    assert [one.revision for one in revisions(node, "")] == [1, 2, 3]


def test_a_new_rule_is_for_what_comes_after_it(node, step):
    """A late Series does not send the older ones again where the rules were changed meanwhile."""
    node.receive(image(1), received_at=10.0)
    assert step(200.0, PER_STUDY) == ["whole 1 1"]
    node.receive(image(1, "2"), received_at=300.0)
    later = compile_rule("later", {}, send=["pacs"], per=Per.STUDY)
    assert step(500.0, later) == ["later 2 1"]


def test_results_do_not_open_a_study_again(node, step):
    """What a model made of a Study is no news of it: neither its jobs nor their results repeat."""
    rule = compile_rule("chest", {}, infer=["lungs"], results_to=["pacs"], per=Per.STUDY)
    node.receive(image(1), received_at=10.0)
    assert step(200.0, rule) == ["chest 1 1"]
    node.receive(image(1, "9", "SR"), received_at=210.0, origin=Origin.AI, rule="chest")
    assert step(211.0, rule) == ["chest 9 1"]
    assert step(FOREVER_S, rule) == []
    assert len(revisions(node, "")) == 1
    assert node.ledger.studies.traits(STUDY).modalities == ("CT",)
    assert told(node, "penumbra.series.settled")[-1]["origin"] == "ai"


def test_rules_per_study_ask_about_the_study(node, step):
    """A Series that changes what is true of the Study changes it for the others too."""
    when = {"ModalitiesInStudy": "PT", "NumberOfStudyRelatedSeries": 2, "Modality": "CT"}
    pet = compile_rule("pet", when, send=["pacs"], per=Per.STUDY)
    node.receive(image(1), received_at=10.0)
    assert step(200.0, pet, PER_STUDY) == ["whole 1 1"]
    node.receive(image(1, "2", "PT"), received_at=300.0)
    assert step(500.0, pet, PER_STUDY) == ["pet 1 1", "whole 2 1"]


def test_what_has_left_the_spool_is_asked_no_more(node, step):
    """A Series that was sent and let go raises no alarm when its Study has another revision."""
    pet = compile_rule("pet", {"ModalitiesInStudy": "PT"}, send=["pacs"], per=Per.STUDY)
    node.receive(image(1), received_at=10.0)
    assert step(200.0, pet) == []
    with node.ledger.database.write() as db:
        db.execute(update(series).values(released_at=210.0))
    node.receive(image(1, "2", "PT"), received_at=300.0)
    assert step(500.0, pet) == ["pet 2 1"]
    assert told(node, "penumbra.rule.failed") == []


def test_what_a_rule_keeps_back_is_kept_from_the_study(node, step):
    """Stop holds for rules per Study too, at first and when the Study has another revision."""
    back = compile_rule("back", {"Modality": "SR"}, send=["archive"], stop=True)
    alone = compile_rule("alone", {"Modality": "CT"}, send=["x"], stop=True, per=Per.STUDY)
    many = compile_rule("many", {"NumberOfStudyRelatedSeries": {"from": 1}}, send=["y"],
                        per=Per.STUDY)  # fmt: skip
    rules = (back, alone, many)
    node.receive(image(1), received_at=10.0)
    node.receive(image(1, "2", "SR"), received_at=10.0)
    assert step(40.0, *rules) == ["back 2 1"]
    assert step(200.0, *rules) == ["alone 1 1"]
    node.receive(image(1, "3", "MR"), received_at=300.0)
    assert step(500.0, *rules) == ["many 3 1"]


def test_a_rule_per_study_that_fails_is_told_and_counted(node):
    """Nobody can say: that is no match, an alarm, and a number for the metrics."""
    fails = compile_rule("fails", {}, expr="SliceLocation > 3", send=["x"], per=Per.STUDY)
    node.receive(image(1), received_at=10.0)
    settler = node.settler([fails, PER_STUDY])
    for now in (40.0, 200.0):
        settler.step(now, AssociationBook().closed())
    assert dict(settler.failed) == {"fails": 1}
    (event,) = told(node, "penumbra.rule.failed")
    assert (event["study"], event["rule"]) == (STUDY, "fails")
    (job,) = node.ledger.jobs.list([State.WAITING])
    assert job.spec.series == SeriesKey(STUDY, f"{STUDY}.1")


def test_a_restart_forgets_nothing(node):
    """What waits is found again by a settler that has seen nothing before."""
    node.receive(image(1), received_at=10.0)
    node.settler([PER_STUDY]).step(12.0, AssociationBook().closed())
    node.settler([PER_STUDY]).step(40.0, AssociationBook().closed())
    assert words(node) == ["quiet"]
    node.settler([PER_STUDY]).step(130.0, AssociationBook().closed())
    assert words(node, "") == ["quiet"]
