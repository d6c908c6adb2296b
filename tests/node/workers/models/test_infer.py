"""A model's results are gated together, kept once, and told of."""

import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from ai import phantom
from ai.outcome import Broken
from ai.pipeline import Pool
from config.sharing import Staging
from dicom.entity import Origin
from dicom.errors import BadAnswer, Misfit, ModelUnavailable, Unsuitable
from dicom.result_kinds import kind_of
from node.workers.infer import infer
from routing.job import Kind
from storage.ledger.models import Decision, Stage, Version

KILLED = """
import os, signal, sys, time
from pathlib import Path
import node.workers.infer as inferring
from config.load import load
from node.workers.workshop import Workshop
from routing.job import Kind
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader

real, calls = inferring.deposit, []

def deadly(*arguments, **named):
    done = real(*arguments, **named)
    calls.append(1)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return done

inferring.deposit = deadly
settings = load(Path(sys.argv[1]))
data_dir = settings.node.data_dir
shop = Workshop(settings, Ledger.open_existing(data_dir), SpoolReader(data_dir / "spool"))
inferring.infer(shop.ledger.jobs.claim("w1", [Kind.INFER], time.time() + 1, 600), shop)
"""


TWO = 'results = ["sr", "sc"]'
ALL = 'results = ["sr", "seg", "gsps", "sc", "pm"]'


def test_results_are_kept_together_and_told_of(clinic):
    """Every kind that the model makes is in the spool once, of origin ai, in the right study."""
    one = clinic(ALL)
    done = one.infer()
    kept = one.kept()
    kinds = [kind_of(each.SOPClassUID) for each in kept]
    assert {"sr", "sc"} <= set(kinds)
    assert {each.PatientID for each in kept} == {phantom.Patient().patient_id}
    assert {each.StudyInstanceUID for each in kept} == {one.key.study_instance_uid}
    (told,) = done.events
    assert told.type == "penumbra.result.made"
    assert sorted(told.data["kinds"]) == sorted(kinds)
    assert told.data["refused"] is False


def test_a_second_run_keeps_nothing_twice(clinic):
    """The same job again, or another's, makes the same bytes: what is filed goes on from here."""
    one = clinic(TWO)
    job = one.owe(Kind.INFER, "lungs")
    infer(job, one.shop)
    before = sorted(each.SOPInstanceUID for each in one.kept())
    infer(job, one.shop)
    spec = replace(job.spec, rule="another")
    done = infer(replace(job, id=job.id + 1, spec=spec, created_at=job.created_at + 60), one.shop)
    assert sorted(each.SOPInstanceUID for each in one.kept()) == before
    owed = {(each.series.series_instance_uid, each.target) for each in done.follow_up}
    assert owed == {(each.SeriesInstanceUID, "open") for each in one.kept()}
    assert {each.rule for each in done.follow_up} == {"another"}

    staging = Staging(destination="open")
    one.shop.settings = one.shop.settings.model_copy(update={"staging": staging})
    done = infer(replace(job, id=job.id + 2, spec=spec), one.shop)
    staged = {each.series.series_instance_uid for each in done.follow_up if each.kind is Kind.STAGE}
    assert staged == {each.SeriesInstanceUID for each in one.kept()}


@pytest.mark.p7
@pytest.mark.parametrize("when", [1, 2])
def test_a_worker_killed_between_results_leaves_them_to_the_next(clinic, when):
    """kill -9 behind each deposit: the run after it keeps the rest, and in the end each is once."""
    one = clinic(TWO)
    job = one.owe(Kind.INFER, "lungs")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, one.folder / "node.toml", str(when)],
        check=False, capture_output=True, timeout=120,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(one.kept()) == when
    done = infer(job, one.shop)
    one.kept()
    of_models = [
        each.instance.arrival.sop_class_uid
        for each in one.shop.ledger.related.of_study(one.key.study_instance_uid)
        if each.instance.arrival.origin is Origin.AI
    ]
    assert sorted(map(str, map(kind_of, of_models))) == sorted(done.events[0].data["kinds"])
    assert len(of_models) >= 2


@pytest.mark.p6
def test_results_on_deidentified_images_are_not_kept(clinic):
    """Nobody knows whose they are: the gate stops all of them before the first is kept."""
    one = clinic(change=lambda ds: setattr(ds, "PatientIdentityRemoved", "YES"))
    with pytest.raises(Misfit, match="an original is marked as de-identified"):
        one.infer()
    assert one.kept() == []


def test_a_uid_that_is_taken_stops_every_result(clinic):
    """What the gate finds in one result keeps all of the inference from being kept."""
    one = clinic()
    ledger = one.shop.ledger
    job = one.owe(Kind.INFER, "lungs")
    infer(job, one.shop)
    report = next(each for each in one.kept() if each.Modality == "SR")
    # Somebody else's object under the UID that the report would get.
    with ledger.database.write() as db:
        db.exec_driver_sql(
            "UPDATE instance SET digest = 'other' WHERE sop_instance_uid = ?",
            (str(report.SOPInstanceUID),),
        )
    with pytest.raises(Misfit, match="SOPInstanceUID is that of another object"):
        infer(job, one.shop)
    held, made = (each.said for each in ledger.inferences.newest("lungs"))
    assert (held.outcome, held.results, held.outputs) == ("held", {}, made.outputs)
    assert "SOPInstanceUID is that of another object" in held.words
    assert (made.outcome, list(made.results), made.words) == ("found", ["sr"], "")


def test_an_answer_that_breaks_the_contract_is_on_record(clinic, monkeypatch):
    """Whoever counts how often a model fails finds it beside its answers; nothing is kept of it."""
    one = clinic()
    real = Pool.infer

    def broken(*given, **named):
        outcome = real(*given, **named)
        raise Broken("output x holds what is not a number", replace(outcome, findings=()))

    monkeypatch.setattr(Pool, "infer", broken)
    with pytest.raises(BadAnswer, match="not a number"):
        one.infer()
    (failed,) = (each.said for each in one.shop.ledger.inferences.newest("lungs"))
    assert (failed.outcome, failed.outputs, failed.results) == ("failed", {}, {})
    assert failed.words == "output x holds what is not a number"
    assert failed.endpoint
    assert one.kept() == []


def promote(one, version, stage):
    registry = one.shop.ledger.registry
    row = Version("lungs", version, "d" * 64, Stage.CANDIDATE, "", "a test", 1.0, "a test")
    registry.add(row)
    registry.move("lungs", version, stage, Decision("a test", "", 1.0))


def test_the_shadow_that_was_promoted_is_asked_beside(clinic):
    """What the registry says counts: the shadow stands on record, and in no result."""
    one = clinic()
    promote(one, "1", Stage.SHADOW)
    one.infer()
    assert [each.Modality for each in one.kept()] == ["SR"]
    shadow, live = one.shop.ledger.inferences.newest("lungs")
    assert (live.said.stage, shadow.said.stage) == ("live", "shadow")
    assert shadow.beside == live.id
    assert shadow.said.outputs == live.said.outputs != {}
    assert (list(live.said.results), shadow.said.results) == (["sr"], {})
    assert "input.mean" in live.said.features
    assert shadow.said.digest == live.said.digest == "d" * 64  # as registered


def test_the_live_version_that_was_promoted_is_the_one_that_is_asked(clinic):
    """A version that no server has makes the job wait, rather than another one answer."""
    one = clinic()
    promote(one, "9", Stage.LIVE)
    with pytest.raises(ModelUnavailable, match="version 9 is not ready"):
        one.infer()


def test_a_series_that_the_gate_stops_is_let_go(clinic):
    """It does not wait in the worker's memory for a shadow that nobody asks."""
    one = clinic(change=lambda ds: setattr(ds, "PatientIdentityRemoved", "YES"))
    promote(one, "1", Stage.SHADOW)
    with pytest.raises(Misfit):
        one.infer()
    assert one.shop.pool.shadow() == ()


def test_a_refused_series_is_reported_or_left_alone(clinic):
    """By default a report says why; with refused = "ignore" the job ends with the words alone."""
    one = clinic("min_slices = 99")
    done = one.infer()
    assert done.words.startswith("refused, and reported so: 20 slices")
    assert done.events[0].data["refused"] is True
    (report,) = one.kept()
    assert report.Modality == "SR"


@pytest.mark.parametrize(
    ("keys", "words"), [('refused = "ignore"', "nothing to report: 20 slices"), ("", "")]
)
def test_what_is_not_to_be_reported_ends_in_words(clinic, keys, words):
    """Neither refusals to be ignored nor Series of another Modality leave a result."""
    change = None if keys else (lambda ds: setattr(ds, "Modality", "MR"))
    done = clinic(f"min_slices = 99\n{keys}", change=change).infer()
    assert done.words.startswith(words or "nothing to report: the Series is not of Modality CT")
    assert not done.events


def test_a_refused_series_is_held_where_the_config_says_so(clinic):
    """With refused = "hold" a person decides."""
    with pytest.raises(Unsuitable, match="20 slices; at least 99"):
        (one := clinic('min_slices = 99\nrefused = "hold"')).infer()
    (held,) = (each.said for each in one.shop.ledger.inferences.newest("lungs"))
    assert (held.outcome, held.results, "99" in held.words) == ("refused", {}, True)
