"""Storage commitment in the ledger: what stands where, what was asked, and what was answered."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from dicom.commitment import FailureReason, Reference, Report, Request
from dicom.entity import Arrival, Instance, Location, SeriesKey
from dicom.errors import CannotUnderstand
from dicom.mpps import Change, Status, Step
from dicom.normalized import DuplicateInstance, NoSuchInstance, ResourceLimitation
from routing.commitment import Debt
from routing.job import Kind, NewJob
from routing.settle import Completion, Reason
from storage.destinations.base import Receipt
from storage.ledger.commitments import State
from storage.ledger.events import NewEvent
from storage.ledger.intake import Arrived
from storage.ledger.ledger import Ledger
from storage.ledger.schema import series
from storage.ledger.unplanned import Unplanned

CT = "1.2.840.10008.5.1.4.1.1.2"
KEY = SeriesKey("1.2", "1.2.3")
FORWARD = NewJob(Kind.FORWARD, KEY, 1, "rule", "pacs")
LIST = (Reference(CT, "1.2.3.1"), Reference(CT, "1.2.3.2"))
places = itertools.count()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path)
    yield opened
    opened.close()


def arrived(uid: str, digest: str = "d") -> Arrived:
    arrival = Arrival(CT, uid, "1.2.840.10008.1.2.1", "CT1", "PENUMBRA", "a1", "127.0.0.1", 10)
    place = Location("w-1", next(places), 100)
    return Arrived(Instance(arrival, place, digest), KEY, {"Modality": "CT"})


def settle(ledger: Ledger, *jobs: NewJob) -> None:
    (one,) = ledger.settling.candidates(99, lambda _: True)
    assert ledger.settling.settle(one, Completion(12, Reason.QUIET, "quiet"), jobs, 12)


def claimed(ledger: Ledger, kind: Kind = Kind.FORWARD):
    job = ledger.jobs.claim("w", [kind], 50, 30)
    assert job is not None
    return job


def deliver(ledger: Ledger, job: int, *arrivals: Arrived, destination: str = "pacs") -> None:
    proven = [
        (
            each.instance,
            Receipt(destination, each.instance.digest, each.instance.arrival.sop_instance_uid,
                    "PACS@h:1", "x", "", "status 0x0000", 21.0),
        )
        for each in arrivals
    ]  # fmt: skip
    ledger.receipts.add(job, "", proven)


def stands(ledger: Ledger, uid: str = "1.2.3.1", committing: tuple[str, ...] = (), **how: bool):
    return ledger.safekeeping.of([uid], committing, **how).get(uid)


@pytest.mark.p1
def test_a_debt_is_paid_by_its_receipt_and_by_nothing_else(ledger: Ledger):
    """Filed, settled, owed, then paid; the receipt of one Instance says nothing of another."""
    assert stands(ledger) is None
    first, second = arrived("1.2.3.1"), arrived("1.2.3.2", "e")
    ledger.intake.absorb([first, second], {}, 11)
    assert not stands(ledger).is_settled
    settle(ledger, FORWARD)
    assert (stands(ledger).is_settled, stands(ledger).debts) == (True, (Debt.OWED,))
    job = claimed(ledger)
    deliver(ledger, job.id, first)
    assert stands(ledger).debts == (Debt.PAID,)
    assert stands(ledger, "1.2.3.2").debts == (Debt.OWED,)
    ledger.jobs.hold(job, "refused", "no", 22)
    assert stands(ledger).debts == (Debt.PAID,)
    assert stands(ledger, "1.2.3.2").debts == (Debt.STUCK,)
    ledger.jobs.retry(job.id, 23)
    assert stands(ledger, "1.2.3.2").debts == (Debt.OWED,)
    assert ledger.jobs.finish(claimed(ledger), 24)  # done, and yet there is no proof
    assert stands(ledger, "1.2.3.2").debts == (Debt.STUCK,)


def test_a_receipt_elsewhere_or_under_another_profile_pays_nothing(ledger: Ledger):
    """Each destination that a rule names, and each profile, is a debt of its own."""
    first = arrived("1.2.3.1")
    ledger.intake.absorb([first], {}, 11)
    settle(
        ledger, FORWARD, replace(FORWARD, target="lake"), replace(FORWARD, rule="r2", profile="p")
    )
    deliver(ledger, claimed(ledger).id, first)
    assert sorted(stands(ledger).debts) == [Debt.OWED, Debt.OWED, Debt.PAID]


def test_what_nobody_sends_has_no_debts(ledger: Ledger):
    """A settled Series that no rule sends anywhere owes nothing; to infer is no delivery."""
    ledger.intake.absorb([arrived("1.2.3.1")], {}, 11)
    settle(ledger, replace(FORWARD, kind=Kind.INFER, target="model"))
    kept = stands(ledger)
    assert (kept.is_settled, kept.debts, kept.series) == (True, (), KEY)
    assert not stands(ledger, awaits_study=True).is_settled


@pytest.mark.p1
def test_a_rule_that_could_not_say_leaves_open_what_is_owed(ledger: Ledger):
    """Where nobody knows whether a rule sends a Series, nothing of it is vouched for."""
    ledger.intake.absorb([arrived("1.2.3.1")], {}, 11)
    (one,) = ledger.settling.candidates(99, lambda _: True)
    fault = Unplanned(KEY, "r", "Modality is not there", 12)
    done = Completion(12, Reason.QUIET, "quiet")
    assert ledger.settling.settle(one, done, [], 12, undecided=[fault])
    assert not stands(ledger).is_settled
    ledger.settling.add([], 13, NewEvent("penumbra.rules.applied", "1.2.3", {}), [fault])
    assert stands(ledger).is_settled


@pytest.mark.p7
def test_a_conflict_is_in_doubt_until_a_person_decides(ledger: Ledger):
    """While another object under the UID is held, nobody knows which one is meant."""
    ledger.intake.absorb([arrived("1.2.3.1", "d"), arrived("1.2.3.1", "other")], {}, 11)
    assert stands(ledger).in_doubt
    (held,) = (job for job in ledger.jobs.list(list(ledger.jobs.counts()), 10))
    assert ledger.jobs.drop(held.id, 12)
    assert not stands(ledger).in_doubt


def test_what_could_not_be_filed_is_known_and_not_filed(ledger: Ledger):
    """An object that cannot be read is there, and is nothing to vouch for."""
    spoilt = replace(arrived("1.2.3.1", ""), key=SeriesKey("", ""), fault=CannotUnderstand("x"))
    ledger.intake.absorb([spoilt], {}, 11)
    assert (stands(ledger).is_filed, stands(ledger).sop_class_uids) == (False, {CT})


def test_thousands_are_looked_up(ledger: Ledger):
    """A list longer than a statement may bind values is looked up whole."""
    many = [arrived(f"1.2.3.{number}", f"d{number}") for number in range(1500)]
    ledger.intake.absorb(many, {}, 11)
    asked = [each.instance.arrival.sop_instance_uid for each in many]
    assert len(ledger.safekeeping.of([*asked, "9.9"], ())) == 1500


@pytest.mark.p1
def test_a_request_outlives_the_process_and_is_judged_once(ledger: Ledger, tmp_path: Path):
    """What was answered with Success outlives a restart; one front judges it, one job owes it."""
    ledger.commitments.receive(Request("1.9", LIST), "CT1", 10)
    again = Ledger.open(tmp_path)
    (asked,) = again.commitments.due(10)
    assert (asked.peer, asked.state, asked.request) == ("CT1", State.PENDING, Request("1.9", LIST))
    assert again.commitments.conclude(asked, [(1, 0x0112)], 11, lease_s=5)
    assert not ledger.commitments.conclude(asked, [], 11, lease_s=5)
    assert ledger.commitments.due(12) == []
    (judged,) = ledger.commitments.due(17)  # whoever judged it died before the report
    report = judged.report()
    assert (report.committed, report.failed) == (LIST[:1], ((LIST[1], 0x0112),))
    job = NewJob(Kind.REPORT, SeriesKey("", ""), 0, "", "CT1", digest=str(asked.id))
    assert again.commitments.owe(judged, job, 17)
    assert not ledger.commitments.owe(judged, job, 17)
    assert claimed(ledger, Kind.REPORT).spec.target == "CT1"
    ledger.commitments.reported(asked.id, 18)
    assert ledger.commitments.counts()["reported"] == 1
    again.close()


def test_the_same_transaction_twice(ledger: Ledger):
    """A repeated request is one; another list under its UID fails whole, and the first stands."""
    first = ledger.commitments.receive(Request("1.9", LIST), "CT1", 10)
    assert ledger.commitments.receive(Request("1.9", LIST), "CT1", 11) == first
    other = ledger.commitments.receive(Request("1.9", LIST[:1]), "CT1", 11)
    duplicate = ledger.commitments.get(other)
    assert duplicate.report().failed == ((LIST[0], FailureReason.DUPLICATE_TRANSACTION),)
    assert ledger.commitments.get(first).state is State.PENDING
    assert ledger.commitments.receive(Request("1.9", LIST), "CT2", 11) not in {first, other}


def test_open_requests_have_an_end(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    """A peer that asks and asks is told to wait; another peer is not, and reports make room."""
    monkeypatch.setattr("storage.ledger.commitments.MOST_OPEN", 2)
    first = ledger.commitments.receive(Request("1.1", LIST), "CT1", 10)
    ledger.commitments.receive(Request("1.2", LIST), "CT1", 10)
    with pytest.raises(ResourceLimitation):
        ledger.commitments.receive(Request("1.3", LIST), "CT1", 10)
    ledger.commitments.receive(Request("1.3", LIST), "CT2", 10)
    asked = ledger.commitments.get(first)
    assert ledger.commitments.conclude(asked, [], 11, 5)
    ledger.commitments.reported(first, 11)
    ledger.commitments.receive(Request("1.3", LIST), "CT1", 12)
    monkeypatch.setattr("storage.ledger.commitments.MOST_NAMED", 3)
    with pytest.raises(ResourceLimitation):
        ledger.commitments.receive(Request("1.4", LIST), "CT2", 12)


def judged(ledger: Ledger, transaction: str, peer: str, now: float) -> int:
    """Have a request judged, and give its number."""
    number = ledger.commitments.receive(Request(transaction, LIST), peer, now)
    assert ledger.commitments.conclude(ledger.commitments.get(number), [], now, 5)
    return number


def test_what_was_judged_is_not_kept_for_ever(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    """Old requests go, reported or not, and the oldest of a peer that asks too much; open ones
    stay."""
    waiting = ledger.commitments.receive(Request("1.9", LIST), "CT1", 1)
    told = [judged(ledger, f"1.{number}", "CT1", 10 + number) for number in range(3)]
    other = judged(ledger, "1.0", "CT2", 10)
    for number in (*told, other):
        ledger.commitments.reported(number, 20)

    monkeypatch.setattr("storage.ledger.commitments.MOST_NAMED", 4)  # of two each

    def left() -> list[int]:
        return [one for one in (waiting, *told, other) if ledger.commitments.get(one)]

    ledger.commitments.forget(5)
    assert left() == [waiting, *told[1:], other]
    ledger.commitments.forget(12)
    assert left() == [waiting, told[2]]
    monkeypatch.undo()
    held = judged(ledger, "1.7", "CT1", 30)
    job = NewJob(Kind.REPORT, SeriesKey("", ""), 0, "", "CT1", digest=str(held))
    assert ledger.commitments.owe(ledger.commitments.get(held), job, 31)
    ledger.commitments.forget(31)
    assert left() == [waiting]
    assert ledger.commitments.get(held) is None


def test_who_asks_again_is_told_where_it_asks(ledger: Ledger):
    """A request that a job cannot bring its report for is told on the association of the next."""
    number = judged(ledger, "1.9", "CT1", 10)
    job = NewJob(Kind.REPORT, SeriesKey("", ""), 0, "", "CT1", digest=str(number))
    assert ledger.commitments.owe(ledger.commitments.get(number), job, 20)
    assert ledger.commitments.due(30) == []
    assert ledger.commitments.receive(Request("1.9", LIST), "CT1", 30) == number
    (again,) = ledger.commitments.due(30)
    assert (again.id, again.state) == (number, State.JUDGED)


def sent(ledger: Ledger) -> int:
    """Have two Instances delivered, and their commitment owed; gives the job that owes it."""
    both = arrived("1.2.3.1"), arrived("1.2.3.2", "e")
    ledger.intake.absorb(both, {}, 11)
    settle(ledger, FORWARD)
    job = claimed(ledger)
    deliver(ledger, job.id, *both)
    assert ledger.jobs.finish(job, 22, follow_up=[replace(FORWARD, kind=Kind.COMMIT)])
    return claimed(ledger, Kind.COMMIT).id


def test_answers_are_noted_for_each_instance(ledger: Ledger):
    """Committed and failed are told apart, what is left out has failed, and prove shows it."""
    job = sent(ledger)
    wanted = ledger.committed.missing(KEY, "pacs")
    assert tuple(each.reference for each in wanted) == LIST
    assert stands(ledger, committing=("pacs",)).debts == (Debt.OWED,)
    ledger.committed.ask("1.8", job, "PACS", wanted, 30)
    assert ledger.committed.open(job).answered_at is None
    assert not ledger.committed.answer(Report("1.8", LIST), "OTHER", 31)
    assert not ledger.committed.answer(Report("1.7", LIST), "PACS", 31)
    assert ledger.committed.answer(Report("1.8", LIST[:1]), "PACS", 32)
    assert ledger.committed.open(job).answered_at == 32
    assert ledger.committed.failures("1.8") == [("1.2.3.2", 0x0110)]
    assert [each.reference for each in ledger.committed.missing(KEY, "pacs")] == [LIST[1]]
    assert stands(ledger, committing=("pacs",)).debts == (Debt.PAID,)
    assert stands(ledger, "1.2.3.2", committing=("pacs",)).debts == (Debt.OWED,)
    proofs = [one.delivered.receipt.proof for one in ledger.payments.of_study("1.2")]
    assert proofs == ["status 0x0000, committed", "status 0x0000"]
    ledger.committed.close("1.8")
    assert ledger.committed.open(job) is None
    assert ledger.committed.answer(Report("1.8", LIST), "PACS", 40)  # late, and still true
    assert ledger.committed.missing(KEY, "pacs") == []


@pytest.mark.p1
def test_who_commits_is_asked_before_it_counts(ledger: Ledger):
    """Until who delivers has ended, its receipt is no commitment; nor is it where that is held. A
    delivery from before the config wanted commitment counts by its receipt."""
    one = arrived("1.2.3.1")
    ledger.intake.absorb([one], {}, 11)
    settle(ledger, FORWARD)
    job = claimed(ledger)
    deliver(ledger, job.id, one)
    assert stands(ledger, committing=("pacs",)).debts == (Debt.OWED,)
    assert stands(ledger).debts == (Debt.PAID,)
    ledger.jobs.hold(job, "refused", "another object", 22)
    assert stands(ledger, committing=("pacs",)).debts == (Debt.STUCK,)
    ledger.jobs.retry(job.id, 23)
    assert ledger.jobs.finish(claimed(ledger), 24)
    assert stands(ledger, committing=("pacs",)).debts == (Debt.PAID,)


@pytest.mark.p1
def test_the_next_revision_asks_for_its_own(ledger: Ledger):
    """That a PACS committed itself to the first of a Series says nothing of what came later."""
    job = sent(ledger)
    wanted = ledger.committed.missing(KEY, "pacs")
    ledger.committed.ask("1.8", job, "PACS", wanted, 30)
    assert ledger.committed.answer(Report("1.8", LIST), "PACS", 31)
    (committing,) = (one for one in ledger.jobs.list(["running"]) if one.id == job)
    assert ledger.jobs.finish(committing, 32)
    late = arrived("1.2.3.3", "f")
    ledger.intake.absorb([late], {}, 40)
    assert stands(ledger, committing=("pacs",)).debts == (Debt.PAID,)
    assert not stands(ledger, "1.2.3.3").is_settled
    settle(ledger, replace(FORWARD, revision=2))
    deliver(ledger, claimed(ledger).id, late)
    assert stands(ledger, "1.2.3.3", committing=("pacs",)).debts == (Debt.OWED,)


@pytest.mark.p1
def test_a_number_alone_does_not_tell_that_rules_were_asked(ledger: Ledger):
    """Two nodes may file a Series at once: what is not paid waits while there is news of it."""
    one = arrived("1.2.3.1")
    ledger.intake.absorb([one], {}, 11)
    settle(ledger)
    assert stands(ledger).is_settled
    growing = update(series).values(open=True)
    with ledger.database.write() as db:  # as the other node left it, its Instance's id being lower
        db.execute(growing)
    assert not stands(ledger).is_settled
    settle(ledger, FORWARD)
    assert ledger.jobs.finish(claimed(ledger), 24)
    assert stands(ledger).debts == (Debt.STUCK,)
    with ledger.database.write() as db:
        db.execute(growing)
    assert stands(ledger).debts == (Debt.OWED,)


def test_requests_of_ours_are_not_kept_for_ever(ledger: Ledger):
    """One that no job waits for goes; one that is open stays, and so does what was answered."""
    job = sent(ledger)
    wanted = ledger.committed.missing(KEY, "pacs")
    ledger.committed.ask("1.7", job, "PACS", wanted, 20)
    assert ledger.committed.answer(Report("1.7", LIST), "PACS", 21)
    ledger.committed.close("1.7")
    ledger.committed.ask("1.8", job, "PACS", wanted, 20)
    assert not ledger.committed.open(job).is_taken
    ledger.committed.taken("1.8", 21)
    ledger.committed.forget(99)
    assert not ledger.committed.answer(Report("1.7", LIST), "PACS", 31)
    assert ledger.committed.open(job).is_taken
    assert ledger.committed.missing(KEY, "pacs") == []


def test_an_answer_wakes_the_job_that_waits_for_it(ledger: Ledger):
    """A job that waits for hours goes on as soon as the report is there."""
    sent(ledger)
    (job,) = (one for one in ledger.jobs.list(list(ledger.jobs.counts()), 9)
              if one.spec.kind is Kind.COMMIT)  # fmt: skip
    ledger.committed.ask("1.8", job.id, "PACS", ledger.committed.missing(KEY, "pacs"), 30)
    assert ledger.jobs.release(job, 51, not_before=9999.0, words="waits")
    assert ledger.jobs.claim("w", [Kind.COMMIT], 60, 30) is None
    assert ledger.committed.answer(Report("1.8", LIST), "PACS", 61)
    woken = ledger.jobs.claim("w", [Kind.COMMIT], 62, 30)
    assert (woken.id, woken.attempts) == (job.id, 1)


def test_steps_have_an_end(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    """A peer that begins and never ends is told to; what nobody touched for long goes."""
    monkeypatch.setattr("storage.ledger.steps.MOST_OPEN", 1)
    begun = Step(Status.IN_PROGRESS, ("1.2",))
    ledger.steps.create("1.5", begun, "CT1", 10)
    with pytest.raises(ResourceLimitation):
        ledger.steps.create("1.6", begun, "CT1", 11)
    ledger.steps.create("1.6", begun, "CT2", 11)
    ledger.steps.change("1.5", Change(Status.DISCONTINUED, has_ended=True), 12)
    ledger.steps.create("1.7", begun, "CT1", 13)
    ledger.steps.forget(12)
    assert [ledger.steps.get(uid) is None for uid in ("1.5", "1.6", "1.7")] == [False, True, False]


def test_steps_are_kept_and_changed(ledger: Ledger):
    """A step is created once, changed while it is known, and told of when it is over."""
    begun = Step(Status.IN_PROGRESS, ("1.2",))
    ledger.steps.create("1.5", begun, "CT1", 10)
    with pytest.raises(DuplicateInstance):
        ledger.steps.create("1.5", begun, "CT1", 11)
    with pytest.raises(NoSuchInstance):
        ledger.steps.change("1.6", Change(), 11)
    ledger.steps.change("1.5", Change(Status.DISCONTINUED, has_ended=True), 12)
    assert ledger.steps.get("1.5").status is Status.DISCONTINUED
    (told,) = ledger.outbox.after(0, 9)
    assert (told.type, told.data["studies"]) == ("penumbra.mpps.discontinued", ["1.2"])
