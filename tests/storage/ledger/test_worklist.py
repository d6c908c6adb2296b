"""Worklist entries in the ledger: said again, taken back, moved by performed steps."""

import json
import threading

import pytest

from dicom.errors import DoesNotMatch
from dicom.mpps import Change, PerformedSeries, Scheduled, Status, Step
from dicom.normalized import DuplicateInstance
from dicom.worklist import STEPS, State
from storage.ledger import worklist
from storage.ledger.ledger import Ledger
from storage.ledger.worklist import Draft, Narrowing, Order

DAY = "ScheduledProcedureStepStartDate"
NEVER = 1e12


@pytest.fixture
def ledger(tmp_path):
    """A ledger of its own."""
    made = Ledger.open(tmp_path / "var")
    yield made
    made.close()


def item(step="S1", *, study="1.2.3", patient="4711", day="20260706", **more):
    """An entry's facts."""
    return {
        "PatientName": "KANARIENVOGEL^HANS", "PatientID": patient, "StudyInstanceUID": study,
        "RequestedProcedureID": "RP1", "AccessionNumber": "A1",
        STEPS: [{"Modality": "CT", "ScheduledProcedureStepID": step, DAY: day}], **more,
    }  # fmt: skip


def said(ledger, which=None):
    """The ids of the entries that scanners are told."""
    return [one.id for one in ledger.worklist.candidates(which or Narrowing())]


def kinds(ledger):
    """The types of what happened."""
    return [one.type.rpartition(".")[2] for one in ledger.outbox.after(0, 1000)]


def test_an_entry_said_again_is_one_entry(ledger):
    """The same step of the same Study is changed in its place, and told of only when it changed."""
    (first,) = ledger.worklist.put([Draft(item(), "rest")], 1)
    (same,) = ledger.worklist.put([Draft(item(), "rest")], 2)
    (other,) = ledger.worklist.put([Draft(item(PatientSex="F"), "rest")], 3)
    assert {first.id, same.id, other.id} == {first.id}
    assert [first.is_new, same.is_changed, other.is_changed] == [True, False, True]
    assert ledger.worklist.get(first.id).item["PatientSex"] == "F"
    assert kinds(ledger) == ["added", "changed"]


def test_an_entry_of_another_source_is_not_overwritten(ledger):
    """Who names an id that another source made hears so, and nothing changes."""
    (made,) = ledger.worklist.put([Draft(item(), "hl7", placer="P1")], 1)
    with pytest.raises(DoesNotMatch, match="made by hl7"):
        ledger.worklist.put([Draft(item(day="20270101"), "rest", id=made.id)], 2)
    assert ledger.worklist.get(made.id).step[DAY] == "20260706"


ORDERS = [
    ([("P1", "F1"), ("P1", "F1")], 1), ([("P1", ""), ("P1", "F1")], 1),
    ([("", "F1"), ("P1", "F1")], 1), ([("P1", "F1"), ("", "F1")], 1),
    ([("P1", "F1"), ("P1", "")], 1), ([("P1", "F1"), ("P2", "F1")], 2),
    ([("P1", ""), ("", "F1")], 2), ([("P1", "F1"), ("P2", "F2")], 2),
]  # fmt: skip


@pytest.mark.parametrize(("numbers", "count"), ORDERS)
def test_an_order_is_known_by_either_number(ledger, numbers, count):
    """The placer's number or the filler's is enough, unless they contradict each other."""
    for placer, filler in numbers:
        ledger.worklist.put([Draft(item(), "hl7", placer=placer, filler=filler)], 1)
    assert len(said(ledger)) == count


def test_a_cancelled_order_is_gone_and_twice_is_no_fault(ledger):
    """All steps of an order go, or the one that is named; other orders stay."""
    drafts = [Draft(item(step), "hl7", placer="P1") for step in ("S1", "S2", "S3")]
    ledger.worklist.put([*drafts, Draft(item(), "hl7", placer="P2")], 1)
    assert ledger.worklist.cancel([Order("P1", "", "S2")], 2) == 1
    assert ledger.worklist.cancel([Order("P1", "F9")], 2) == 2
    assert ledger.worklist.cancel([Order("P1", "F9")], 2) == 0
    assert ledger.worklist.cancel([Order("", "")], 2) == 0
    assert len(said(ledger)) == 1


def test_a_file_says_all_that_it_says_now(ledger):
    """An entry that a file no longer holds goes, and all of them when the file does."""

    def drafts(*steps):
        return [Draft(item(each), "folder", file="f", mark="m") for each in steps]

    ledger.worklist.put_file("f", drafts("S1", "S2"), 1)
    ledger.worklist.put_file("g", [Draft(item("S9"), "folder", file="g", mark="n")], 1)
    assert ledger.worklist.files() == {"f": "m", "g": "n"}
    ledger.worklist.put_file("f", drafts("S2"), 2)
    assert len(said(ledger)) == 2
    assert ledger.worklist.forget_files(["f"], 3) == 1
    assert ledger.worklist.files() == {"g": "n"}


def test_days_and_numbers_narrow_what_is_looked_through(ledger):
    """The database leaves out other days, patients, requests and Studies; days come in order."""
    for number, day in enumerate(["20260707", "20260705", "20260706"]):
        told = item(
            study=f"1.{number}", patient=f"p{number}", day=day, AccessionNumber=f"A{number}"
        )
        ledger.worklist.put([Draft(told, "rest", id=f"e{number}")], 1)
    assert said(ledger) == ["e1", "e2", "e0"]
    assert said(ledger, Narrowing("20260706")) == ["e2", "e0"]
    assert said(ledger, Narrowing("", "20260705")) == ["e1"]
    assert said(ledger, Narrowing(patient_ids=("p1", "p2"))) == ["e1", "e2"]
    assert said(ledger, Narrowing(accession_numbers=("A0",))) == ["e0"]
    assert said(ledger, Narrowing(studies=())) == []
    assert said(ledger, Narrowing(modalities=("CT",))) == ["e1", "e2", "e0"]
    assert said(ledger, Narrowing(modalities=("MR",))) == []


def test_one_of_several_stations_is_not_left_out(ledger):
    """An entry of several stations is looked through whichever of them is asked for."""
    for number, stations in enumerate(["CT1", "CT2\\CT3", "CT4", ""]):
        told = item(study=f"1.{number}")
        told[STEPS][0]["ScheduledStationAETitle"] = stations
        ledger.worklist.put([Draft(told, "rest", id=f"e{number}")], 1)
    assert said(ledger, Narrowing(stations=("CT1",))) == ["e0", "e1"]


def test_long_worklists_come_page_by_page(ledger, monkeypatch):
    """Each entry comes once, also where many are of one day; so do those of a list by ids."""
    monkeypatch.setattr(worklist, "PAGE", 3)
    days = ["20260706", "20260705"]
    ledger.worklist.put(
        [Draft(item(day=days[n % 2], study=f"1.{n}"), "rest", id=f"e{n}") for n in range(10)], 1
    )
    assert said(ledger) == ["e1", "e3", "e5", "e7", "e9", "e0", "e2", "e4", "e6", "e8"]
    assert [one.id for one in ledger.worklist.page("e3", 3)] == ["e4", "e5", "e6"]
    assert ledger.worklist.page("", 3, "COMPLETED") == []


def test_a_full_worklist_takes_no_more(ledger, monkeypatch):
    """Beyond the limit a new entry is refused, and one that is there can still be changed."""
    monkeypatch.setattr(worklist, "MOST", 1)
    ledger.worklist.put([Draft(item(), "rest")], 1)
    with pytest.raises(worklist.ResourceLimitation):
        ledger.worklist.put([Draft(item("S2"), "rest")], 1)
    assert ledger.worklist.put([Draft(item(PatientSex="F"), "rest")], 2)[0].is_changed


def begin(ledger, uid, *scheduled):
    """Create a performed step for scheduled ones."""
    items = tuple(Scheduled(*each) for each in scheduled)
    ledger.steps.create(uid, Step(Status.IN_PROGRESS, ("1.2.3",), scheduled=items), "CT1", 2)


def end(ledger, uid, status, *, is_wrong_entry=False):
    """End a performed step."""
    made = (PerformedSeries("1.2.3.1", ("1.2.3.1.1",)),)
    ledger.steps.change(uid, Change(status, made, True, is_wrong_entry), 3)


def states(ledger):
    """The state of each entry by its step."""
    found = ledger.worklist.page("", 100)
    return {one.step["ScheduledProcedureStepID"]: one.state for one in found}


def test_a_step_that_is_performed_moves_its_entry(ledger):
    """In progress it is told as started, completed it is off the worklist; others stay."""
    ledger.worklist.put([Draft(item("S1"), "rest"), Draft(item("S2"), "rest")], 1)
    begin(ledger, "1.9", ("1.2.3", "S1"))
    assert states(ledger) == {"S1": State.STARTED, "S2": State.SCHEDULED}
    assert len(said(ledger)) == 2
    end(ledger, "1.9", Status.COMPLETED)
    assert states(ledger) == {"S1": State.COMPLETED, "S2": State.SCHEDULED}
    assert len(said(ledger)) == 1
    assert kinds(ledger) == ["added", "added", "started", "completed", "completed"]


@pytest.mark.parametrize(
    ("is_wrong_entry", "state"), [(False, State.DISCONTINUED), (True, State.SCHEDULED)]
)
def test_a_step_that_is_broken_off(ledger, is_wrong_entry, state):
    """Discontinued, an entry is off the worklist; of a wrong entry the right one is still to do."""
    ledger.worklist.put([Draft(item(), "rest")], 1)
    begin(ledger, "1.9", ("1.2.3", "S1"))
    end(ledger, "1.9", Status.DISCONTINUED, is_wrong_entry=is_wrong_entry)
    assert states(ledger) == {"S1": state}


def test_a_later_step_has_the_word(ledger):
    """Of two performed steps of an entry the one begun last says how it stands."""
    ledger.worklist.put([Draft(item(), "rest")], 1)
    begin(ledger, "1.8", ("1.2.3", "S1"))
    begin(ledger, "1.9", ("1.2.3", "S1"))
    end(ledger, "1.8", Status.DISCONTINUED)
    assert states(ledger) == {"S1": State.STARTED}
    end(ledger, "1.9", Status.COMPLETED)
    assert states(ledger) == {"S1": State.COMPLETED}


@pytest.mark.parametrize(
    ("scheduled", "is_meant"),
    [(("1.2.3", "S1"), True), (("1.2.3", ""), True), (("1.2.9", "S1"), False),
     (("1.2.3", "S9"), False)],
)  # fmt: skip
def test_what_a_step_is_about(ledger, scheduled, is_meant):
    """Study and step say it; the Study alone where it has one entry."""
    ledger.worklist.put([Draft(item(), "rest")], 1)
    begin(ledger, "1.9", scheduled)
    assert (states(ledger)["S1"] is State.STARTED) is is_meant


def test_a_study_of_several_entries_is_not_guessed_at(ledger):
    """Without the step's number none of several entries is taken for it."""
    ledger.worklist.put([Draft(item("S1"), "rest"), Draft(item("S2"), "rest")], 1)
    begin(ledger, "1.9", ("1.2.3", ""))
    assert set(states(ledger).values()) == {State.SCHEDULED}


def test_a_refused_step_moves_nothing(ledger):
    """A step that is there already leaves its entry as it is."""
    ledger.worklist.put([Draft(item(), "rest")], 1)
    begin(ledger, "1.9", ("1.2.3", "S1"))
    end(ledger, "1.9", Status.COMPLETED)
    with pytest.raises(DuplicateInstance):
        begin(ledger, "1.9", ("1.2.3", "S1"))
    assert states(ledger) == {"S1": State.COMPLETED}


def test_what_is_done_stays_done_when_the_order_comes_again(ledger):
    """An order that is sent once more after the examination brings nobody back."""
    draft = Draft(item(), "hl7", placer="P1")
    ledger.worklist.put([draft], 1)
    begin(ledger, "1.9", ("1.2.3", "S1"))
    end(ledger, "1.9", Status.COMPLETED)
    ledger.worklist.put([Draft(item(day="20260801"), "hl7", placer="P1")], 4)
    assert states(ledger) == {"S1": State.COMPLETED}


def test_a_patient_is_known_better(ledger):
    """All entries of a number change, but for those of another issuer, and those of files."""
    ledger.worklist.put([
        Draft(item("S1"), "hl7", placer="P1"), Draft(item("S2"), "rest"),
        Draft(item("S3", IssuerOfPatientID="OTHER"), "rest"),
        Draft(item("S4"), "folder", file="f"), Draft(item("S5", patient="0815"), "rest"),
    ], 1)  # fmt: skip
    facts = {"PatientID": "4712", "PatientName": "Doe^Jane"}
    assert ledger.worklist.update_patient("4711", "HOSP", facts, 2) == 2
    numbers = {one.step["ScheduledProcedureStepID"]: one.item["PatientID"]
               for one in ledger.worklist.page("", 9)}  # fmt: skip
    assert numbers == {"S1": "4712", "S2": "4712", "S3": "4711", "S4": "4711", "S5": "0815"}
    assert len(said(ledger, Narrowing(patient_ids=("4712",)))) == 2


def test_old_entries_are_dropped(ledger):
    """Days behind its day an entry goes, unless it was changed since, or a file still says it."""
    ledger.worklist.put([
        Draft(item("S1", day="20260601"), "rest"), Draft(item("S2", day="20260706"), "rest"),
        Draft(item("S3", day="20260601"), "folder", file="f"),
    ], 0)  # fmt: skip
    ledger.worklist.put([Draft(item("S4", day="20260601"), "rest")], 9 * 86_400)
    assert ledger.worklist.prune(7, 10 * 86_400, "20260707") == 1
    assert set(states(ledger)) == {"S2", "S3", "S4"}
    assert ledger.worklist.counts()["SCHEDULED"] == 3


def test_two_who_say_the_same_at_once_make_one_entry(ledger):
    """Whoever comes second changes what the first one wrote."""
    made, start = [], threading.Barrier(4)

    def put():
        start.wait()
        made.extend(ledger.worklist.put([Draft(item(), "hl7", placer="P1")], 1))

    threads = [threading.Thread(target=put) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({each.id for each in made}) == 1
    assert sum(each.is_new for each in made) == 1


@pytest.mark.p6
def test_no_event_names_a_patient(ledger):
    """What happened is told by Study, source and the node's own ids."""
    ledger.worklist.put([Draft(item(), "rest", id="KANARIENVOGEL"), Draft(item("S2"), "hl7",
                        placer="KANARIENVOGEL")], 1)  # fmt: skip
    ledger.worklist.update_patient("4711", "", {"PatientName": "KANARIENVOGEL"}, 2)
    ledger.worklist.remove("KANARIENVOGEL", 3)
    told = json.dumps([[one.type, one.subject, dict(one.data)] for one in
                       ledger.outbox.after(0, 100)])  # fmt: skip
    assert "KANARIE" not in told
    assert "4711" not in told
    assert told.count("penumbra.worklist.") == 5
