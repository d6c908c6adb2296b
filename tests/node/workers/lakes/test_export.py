"""What is new comes to a lake once, whatever breaks on the way."""

import json
import time
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import update

from dicom.errors import Corrupt, DeidFault, Unreachable
from node.workers.export import export
from node.workers.forward import forward
from routing.job import Kind, NewJob
from storage.destinations.folder import Folder
from storage.ledger import jobs
from storage.ledger.schema import instances


def test_a_lake_has_a_row_for_each_instance(site, lab, node, lakes):
    """Attributes have their types, the head is whole, and the path says date and modality."""
    site.receive([lab.image(number) for number in range(1, 6)])
    done = lakes.run(node, "named")
    assert done.words.startswith("5 metadata, 0 lineage, ")
    rows = lakes.read(site, node, "named", "SOPInstanceUID, PatientName, StudyDate, InstanceNumber,"
                " head, modality, date, modality_as_written, head_state")  # fmt: skip
    assert [row[0] for row in rows] == [f"{lab.SERIES}.{number}" for number in range(1, 6)]
    uid, name, date, number, head, modality, day, written, state = rows[0]
    assert (name, str(date), number) == ("Quillobert^Zyx", "2004-01-19", 1)
    assert (modality, str(day), written, state) == ("CT", "1970-01-01", "CT", "whole")
    told = json.loads(head)
    assert told["00100010"]["Value"] == [{"Alphabetic": "Quillobert^Zyx"}]
    assert "Value" not in told["7FE00010"]
    assert told["00080018"]["Value"] == [uid]


def test_only_what_is_new_is_exported(site, lab, node, lakes):
    """The second export has what came since the first, in files of its own; a third has nothing."""
    site.receive([lab.image(1)])
    lakes.run(node, "named")
    first = lakes.files(site, node, "named")
    site.receive_more(lab.image(2))
    lakes.run(node, "named")
    both = lakes.files(site, node, "named")
    assert len(both) == 2
    assert set(first) < set(both)
    assert len(lakes.read(site, node, "named")) == 2
    assert lakes.run(node, "named").words.startswith("0 metadata")
    assert lakes.files(site, node, "named") == both


def test_lineage_says_what_went_where(site, lab, node, lakes):
    """Each receipt is a row: which original, as what it left, where it lies, and its digests."""
    arrived = site.receive([lab.image(1)])
    with node.ledger.database.write() as db:
        jobs.insert(db, [NewJob(Kind.FORWARD, lab.KEY, 1, "r", "out")], time.time())
    job = node.ledger.jobs.claim("w", {Kind.FORWARD}, time.time() + 1, 600)
    done = forward(job, node)
    node.ledger.jobs.finish(job, time.time(), done.events, done.words, paid=done.paid)
    lakes.run(node, "named")
    columns = "source_uid, source_digest, left_as, digest_sent, destination, modality, delay_s > 0"
    assert lakes.read(site, node, "named", columns, table="lineage") == [
        (f"{lab.SERIES}.1", arrived[0].digest, f"{lab.SERIES}.1", arrived[0].digest, "out",
         "CT", True)
    ]  # fmt: skip
    assert {one["type"] for one in lakes.events(site, node, "named")} == {
        "penumbra.series.delivered"
    }


@pytest.mark.parametrize("when", ["before the file", "after the file"])
def test_an_export_that_is_cut_leaves_nothing_twice(site, node, monkeypatch, when, lakes):
    """Killed beside an upload, the step is done again as it was, though more has come meanwhile."""
    site.receive([lakes.lab.image(1), lakes.lab.image(2)])
    whole = Folder.replace

    def cut(self, key, content):
        if when == "after the file":
            whole(self, key, content)
        raise Unreachable("killed")

    with monkeypatch.context() as broken:
        broken.setattr(Folder, "replace", cut)
        with pytest.raises(Unreachable):
            lakes.run(node, "named")
    site.receive_more(lakes.lab.image(3))
    lakes.run(node, "named")
    assert len(lakes.read(site, node, "named")) == 3
    assert len(lakes.files(site, node, "named")) == 2


def test_many_rows_go_in_steps(site, lab, node, lakes):
    """Steps are bounded, and what they write has each row once."""
    images = [lab.image(number) for number in range(1, 46)]
    site.receive(images)
    lakes.run(node, "named")
    assert len(lakes.files(site, node, "named")) == 3
    uids = [row[0] for row in lakes.read(site, node, "named", "SOPInstanceUID")]
    assert len(uids) == len(set(uids)) == 45


def test_an_export_can_be_repeated_from_a_day_on(site, lab, node, lakes):
    """A lake that lost files gets them again, under the same names."""
    site.receive([lab.image(1), lab.image(2)])
    lakes.run(node, "named")
    before = lakes.files(site, node, "named")
    for path in (site.folder / "out").rglob("*.parquet"):
        path.unlink()
    assert node.ledger.lakes.repeat("named", 1e12) == 0
    assert node.ledger.lakes.repeat("named", 0) >= 1
    lakes.run(node, "named")
    assert lakes.files(site, node, "named") == before
    assert len(lakes.read(site, node, "named")) == 2


def test_what_nobody_could_file_follows_once_it_has_a_study(site, lab, node, lakes):
    """An object that was held at intake comes to the lake when it was filed after all."""
    site.receive([lab.image(1), lab.image(2)])
    which = instances.c.sop_instance_uid == f"{lab.SERIES}.2"
    with node.ledger.database.write() as db:
        db.execute(update(instances).where(which).values(study_instance_uid=""))
    lakes.run(node, "named")
    assert len(lakes.read(site, node, "named")) == 1
    with node.ledger.database.write() as db:
        db.execute(
            update(instances).where(which).values(study_instance_uid=lab.KEY.study_instance_uid)
        )
    lakes.run(node, "named")
    assert len(lakes.read(site, node, "named")) == 2
    assert len(lakes.files(site, node, "named")) == 1


def odd(lab, number, **attributes):
    dataset = lab.image(number)
    for keyword, value in attributes.items():
        element = pydicom.dataelem.DataElement(
            pydicom.datadict.tag_for_keyword(keyword), pydicom.datadict.dictionary_VR(
                pydicom.datadict.tag_for_keyword(keyword)), "",
        )  # fmt: skip
        element._value = value
        dataset[keyword] = element
    return dataset


def test_values_that_do_not_fit_are_null_and_stay_in_the_head(site, lab, node, lakes):
    """A date that is none and a number in words are NULL, and their text is in the head."""
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        site.receive([odd(lab, 1, StudyDate="yesterda", InstanceNumber="seven", StudyTime="x")])
    finally:
        pydicom.config.settings.writing_validation_mode = None
    lakes.run(node, "named")
    columns = "StudyDate, InstanceNumber, StudyTime, head"
    ((date, number, at, head),) = lakes.read(site, node, "named", columns)
    assert (date, number, at) == (None, None, None)
    assert json.loads(head)["00080020"]["Value"] == ["yesterda"]


@pytest.mark.parametrize(
    ("modality", "folder"),
    [("", "NONE"), ("../../x", "_2E_2E_2F_2E_2E_2F_78"), ("C T=%\u00e9", "C_20T_3D_25_C3_A9")],
)
def test_strange_modalities_make_safe_paths(site, node, modality, folder, lakes):
    """Whatever a scanner calls itself, its rows lie in a folder of their own within the table."""
    image = lakes.lab.image(1)
    image.SpecificCharacterSet = "ISO_IR 100"
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        image = odd(lakes.lab, 1, Modality=modality)
        image.SpecificCharacterSet = "ISO_IR 100"
        site.receive([image])
    finally:
        pydicom.config.settings.writing_validation_mode = None
    lakes.run(node, "named")
    (name,) = lakes.files(site, node, "named")
    assert name.startswith("date=1970-01-01/modality=")
    assert len(Path(name).parts) == 3
    ((read_back, written),) = lakes.read(site, node, "named", "modality, modality_as_written")
    assert read_back == Path(name).parts[1].removeprefix("modality=")
    if modality.isascii():
        assert read_back == folder
        assert written == (modality or None)


def test_a_lake_that_the_config_lost_is_no_fault(site, node, lakes):
    """A job of a lake that is gone ends."""
    node.ledger.lakes.request("gone", "out", time.time())
    job = node.ledger.jobs.claim("w", {Kind.EXPORT}, time.time() + 1, 600)
    assert "not in the config" in export(job, node).words


def test_one_job_of_a_lake_waits_at_most(node, lakes):
    """Whoever asks twice gets one export; asked while it runs, one more."""
    ask = node.ledger.lakes.request
    assert ask("named", "out", 1.0)
    assert not ask("named", "out", 1.0)
    running = node.ledger.jobs.claim("w", {Kind.EXPORT}, 2.0, 600)
    assert ask("named", "out", 2.0)
    assert node.ledger.jobs.claim("v", {Kind.EXPORT}, 3.0, 600) is None  # never two side by side
    node.ledger.jobs.finish(running, 4.0)
    assert node.ledger.jobs.claim("v", {Kind.EXPORT}, 5.0, 600) is not None


@pytest.mark.p7
def test_an_object_in_conflict_is_a_row_of_its_own(site, lab, node, lakes):
    """Another object under a UID is told from the first by its digest, and says so."""
    other = lab.image(1)
    other.InstanceNumber = 99
    site.receive([lab.image(1)])
    site.receive_more(other)
    lakes.run(node, "named")
    columns = "InstanceNumber, conflict, count(*) OVER (PARTITION BY digest)"
    assert lakes.read(site, node, "named", columns) == [(1, False, 1), (99, True, 1)]


def test_a_head_that_is_too_large_is_left_out(site, lab, node, lakes, monkeypatch):
    """Its row is there with its attributes; the head is NULL and the state says why."""
    monkeypatch.setattr("node.workers.lake_view.MOST_HEAD", 100)
    site.receive([lab.image(1)])
    lakes.run(node, "named")
    columns = "head, head_state, PatientName"
    assert lakes.read(site, node, "named", columns) == [(None, "large", "Quillobert^Zyx")]


def test_a_damaged_object_is_withheld_and_told(site, lab, node, lakes, monkeypatch):
    """Bytes that the spool cannot give keep no other row from the lake."""
    site.receive([lab.image(1), lab.image(2)])
    real, calls = type(node.reader).open, []

    def damaged(self, place):
        calls.append(place)
        if len(calls) == 1:
            raise Corrupt("record is damaged")
        return real(self, place)

    monkeypatch.setattr(type(node.reader), "open", damaged)
    with pytest.raises(DeidFault, match="1 of 2 Instances"):
        lakes.run(node, "named")
    assert len(lakes.read(site, node, "named")) == 1
