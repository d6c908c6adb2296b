"""Looking back gives each Series once, with what its last revision owed, and changes nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import insert

from dicom.entity import Origin, SeriesKey
from routing.job import Kind, NewJob, State
from storage.ledger import jobs, past
from storage.ledger.ledger import Ledger
from storage.ledger.past import Past
from storage.ledger.schema import instances, series


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path)
    yield opened
    opened.close()


def file(
    ledger: Ledger, study: str, uid: str, *, settled_at: float | None, owed: Sequence[NewJob] = ()
) -> None:
    """Write a Series of two objects, the second of them in conflict with another."""
    with ledger.database.write() as db:
        row = {
            "study_instance_uid": study, "series_instance_uid": uid, "modality": "CT",
            "origin": "dimse", "rule": "", "instances": 1, "first_at": 1.0, "last_at": 2.0,
            "revision": 2 if settled_at else 0, "open": not settled_at, "settled_to": 9,
            "settled_at": settled_at, "reason": "quiet",
        }  # fmt: skip
        db.execute(insert(series).values(row))
        for n, conflict in enumerate((True, False)):
            one = {
                "sop_instance_uid": f"{study}.{uid}.1", "digest": f"d{n}", "sop_class_uid": "1",
                "transfer_syntax_uid": "1", "study_instance_uid": study,
                "series_instance_uid": uid, "segment": "s", "offset": n, "length": 5,
                "calling_ae": "CT1", "called_ae": "P", "association": "a", "address": "h",
                "received_at": 1.0, "origin": "dimse", "rule": "", "conflict": conflict,
            }  # fmt: skip
            db.execute(insert(instances).values(one))
        jobs.insert(db, owed, 3.0)


def job(study: str, uid: str, target: str, revision: int = 2, kind: Kind = Kind.FORWARD) -> NewJob:
    return NewJob(kind, SeriesKey(study, uid), revision, "r", target, "p")


def test_each_series_comes_once_over_pages(ledger, monkeypatch):
    """Whatever the size of a page, each Series that settled comes once, by its UIDs."""
    keys = [("1.2", f"1.2.{n}") for n in range(4)] + [("1.3", "1.2.0"), ("1.1", "1.2.3")]
    for study, uid in keys:
        file(ledger, study, uid, settled_at=50.0)
    for page in (1, 2, 5, 6, 7):
        monkeypatch.setattr(past, "_PAGE", page)
        found = [one.key for one in Past(ledger.database).settled_since(0)]
        assert [(key.study_instance_uid, key.series_instance_uid) for key in found] == sorted(keys)


def test_only_what_settled_since_then(ledger):
    """A Series that settled earlier, or never, is passed over; its Study still has it."""
    for uid, settled_at in (("1", None), ("2", 49.9), ("3", 50.0), ("4", 60.0)):
        file(ledger, "1.2", uid, settled_at=settled_at)
    looking = Past(ledger.database)
    assert [one.key.series_instance_uid for one in looking.settled_since(50.0)] == ["3", "4"]
    assert [(one.key.series_instance_uid, one.revision) for one in looking.of_study("1.2")] == [
        ("1", 0), ("2", 2), ("3", 2), ("4", 2),
    ]  # fmt: skip
    assert list(looking.of_study("1.9")) == []


def test_what_the_last_revision_owed(ledger):
    """Jobs of earlier revisions, of other Series and of intake are not what was owed last."""
    owed = [
        job("1.2", "1", "old", revision=1),
        job("1.2", "1", "lake"),
        job("1.2", "1", "pacs"),
        job("1.3", "1", "same series UID"),
        job("1.2", "1", "unfiled", kind=Kind.INTAKE),
    ]
    file(ledger, "1.2", "1", settled_at=50.0, owed=owed)
    before = ledger.jobs.list(list(State))
    (one,) = Past(ledger.database).settled_since(0)
    assert [(each.target, each.profile, each.rule) for each in one.jobs] == [
        ("lake", "p", "r"), ("pacs", "p", "r"),
    ]  # fmt: skip
    assert (one.origin, one.modality, one.instances) == (Origin.DIMSE, "CT", 1)
    assert one.example.digest == "d1", "an object in conflict does not speak for its Series"
    assert ledger.jobs.list(list(State)) == before
