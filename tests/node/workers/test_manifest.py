"""Beside a Study's objects lies the list of them, written when all of it was delivered."""

import hashlib
import json
import time
from pathlib import Path

import pytest

from dicom.entity import SeriesKey
from dicom.errors import Unreachable
from node.workers.handlers import HANDLERS
from routing.job import Kind, NewJob, State
from storage.destinations.object_store import ObjectStore
from storage.ledger import jobs

CONFIG = """
[node]
data_dir = "var"
[destinations.out]
kind = "object-store"
url = "file://{folder}/out"
manifest = true
[profiles.plain]
base = "research"
key = {{ file = "plain.key" }}
[[rules]]
name = "plain"
profile = "plain"
send = ["out"]
[[rules]]
name = "as it is"
send = ["out"]
"""


@pytest.fixture
def study(site, lab):
    """A Study of two Series, six Instances, and a bucket that wants manifests."""
    images = [lab.image(number) for number in range(1, 7)]
    for image in images[4:]:
        image.SeriesInstanceUID = f"{lab.SERIES}.9"
    site.receive(images)
    (site.folder / "node.toml").write_text(CONFIG.format(folder=site.folder))
    shop = site.workshop()
    yield shop
    shop.close()


def owe(shop, lab, rule, *, profile=""):
    study = lab.KEY.study_instance_uid
    series = [lab.KEY, SeriesKey(study, f"{lab.SERIES}.9")]
    new = [NewJob(Kind.FORWARD, key, 1, rule, "out", profile) for key in series]
    with shop.ledger.database.write() as db:
        jobs.insert(db, new, time.time())


def step(shop, kinds=frozenset(HANDLERS)):
    """Do the next job of these kinds; gives the job and what came of it."""
    job = shop.ledger.jobs.claim("w", kinds, time.time() + 1, 600)
    if job is None:
        return None
    done = HANDLERS[job.spec.kind](job, shop)
    shop.ledger.jobs.finish(
        job, time.time(), done.events, done.words, done.follow_up, paid=done.paid
    )
    return job, done


def work_off(shop):
    """Do all jobs; gives their kinds, in order."""
    kinds = []
    while done := step(shop):
        kinds.append(done[0].spec.kind)
    return kinds


def manifests(site):
    return {
        path.relative_to(site.folder / "out").as_posix(): json.loads(path.read_text())
        for path in sorted((site.folder / "out").rglob("*.json"))
    }


def test_the_list_comes_last_and_is_true(site, lab, study):
    """With the last Series comes the list of all; each entry is what the bucket holds."""
    owe(study, lab, "as it is")
    seen = []
    while done := step(study):
        seen.append((done[0].spec.kind, len(manifests(site))))
    assert seen[-1] == (Kind.MANIFEST, 2)
    assert [count for kind, count in seen if kind is Kind.FORWARD] == [0, 0]
    found = manifests(site)
    folder = lab.KEY.study_instance_uid
    assert set(found) == {f"{folder}/manifest.json", f"{folder}/manifest-0001.json"}
    listed = found[f"{folder}/manifest.json"]
    assert listed == found[f"{folder}/manifest-0001.json"]
    assert (listed["schema_version"], listed["objects"], listed["complete"]) == (1, 6, True)
    assert len({one["series_instance_uid"] for one in listed["instances"]}) == 2
    for one in listed["instances"]:
        held = Path(one["location"].removeprefix("file://")).read_bytes()
        assert hashlib.sha256(held).hexdigest() == one["sha256"]
        assert len(held) == one["size_bytes"]
        assert one["received_at"] == "1970-01-01T00:00:01Z"


def test_news_makes_a_new_list_and_keeps_the_old(site, lab, study):
    """What is delivered later is in the newest list; the older one stays readable."""
    owe(study, lab, "as it is")
    work_off(study)
    late = lab.image(77)
    site.receive_more(late)
    with study.ledger.database.write() as db:
        again = NewJob(Kind.FORWARD, lab.KEY, 2, "as it is", "out")
        jobs.insert(db, [again], time.time())
    work_off(study)
    counts = {Path(name).name: one["objects"] for name, one in manifests(site).items()}
    assert counts == {"manifest.json": 7, "manifest-0001.json": 6, "manifest-0002.json": 7}


@pytest.mark.p6
def test_a_list_tells_nothing_of_the_patient(site, lab, study):
    """Under a profile the list has the new UIDs, no old one, and not when the object came."""
    owe(study, lab, "plain", profile="plain")
    work_off(study)
    found = manifests(site)
    assert len(found) == 2
    text = json.dumps(found)
    for secret in ("Quillobert", "CNRY", lab.KEY.study_instance_uid, "1970-01-01"):
        assert secret not in text
    (listed,) = (one for name, one in found.items() if name.endswith("manifest.json"))
    assert {one["received_at"] for one in listed["instances"]} == {None}
    assert all(one["profile"] for one in listed["instances"])


def test_a_list_says_what_is_held(site, lab, study):
    """While a person has to decide about a Series, the list says that it is not complete."""
    owe(study, lab, "as it is")
    job = study.ledger.jobs.claim("w", {Kind.FORWARD}, time.time() + 1, 600)
    study.ledger.jobs.hold(job, "refused", "a test", time.time())
    work_off(study)
    (listed,) = (one for name, one in manifests(site).items() if name.endswith("manifest.json"))
    assert (listed["complete"], listed["jobs_held"]) == (False, 1)


def test_a_bucket_that_is_down_is_tried_again(lab, study, monkeypatch):
    """A list that cannot be written is owed until it is."""

    def down(*_):
        raise Unreachable("down")

    owe(study, lab, "as it is")
    monkeypatch.setattr(ObjectStore, "publish", down)
    with pytest.raises(Unreachable):
        work_off(study)
    assert study.ledger.jobs.counts()[State.RUNNING] == 1


def test_nobody_asked_for_a_list(site, lab, study):
    """Without the key no list is owed, and one that was owed before is not written."""
    (site.folder / "node.toml").write_text(
        CONFIG.format(folder=site.folder).replace("manifest = true", "manifest = false")
    )
    other = site.workshop()
    owe(other, lab, "as it is")
    assert work_off(other) == [Kind.FORWARD, Kind.FORWARD]
    owed = NewJob(Kind.MANIFEST, SeriesKey(lab.KEY.study_instance_uid, ""), 1, "as it is", "out")
    with other.ledger.database.write() as db:
        jobs.insert(db, [owed], time.time())
    assert work_off(other) == [Kind.MANIFEST]
    other.close()
    assert not manifests(site)
