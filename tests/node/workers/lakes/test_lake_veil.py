"""Under a profile a lake shows what de-identified objects show, and no more."""

import gzip
import time

import pytest
from sqlalchemy import update

from dicom.errors import DeidFault
from node.workers.export import export
from node.workers.forward import forward
from routing.job import Kind, NewJob
from storage.ledger import jobs
from storage.ledger.events import NewEvent
from storage.ledger.schema import instances


@pytest.mark.p4
@pytest.mark.p6
@pytest.mark.parametrize("lake", ["veiled", "bare"])
def test_a_veiled_lake_names_nobody(site, lab, node, lake, lakes):
    """Nothing of the patient, no UID, title, address or digest of an original is in any file."""
    arrived = site.receive([lab.image(number) for number in range(1, 4)])
    node.ledger.outbox.record(
        [NewEvent("penumbra.series.settled", lab.SERIES, {"study": lab.KEY.study_instance_uid})],
        time.time(),
    )
    lakes.run(node, lake)
    root = site.folder / "bucket"
    whole = b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in root.rglob("*.*")
    )
    text = repr(lakes.read(site, node, lake)) + repr(sorted(map(str, root.rglob("*"))))
    text += whole.decode("latin-1")
    secrets = ["Quillobert", "CNRY-48213", lab.KEY.study_instance_uid, "CT1", "127.0.0.1", "1970-"]
    secrets += ["2004-01-19", "20040119"]
    for secret in (*secrets, *(one.digest for one in arrived)):
        assert secret not in text, secret
    assert len(lakes.read(site, node, lake)) == 3


def test_a_veiled_lake_has_the_pseudonyms_of_de_identified_objects(site, lab, node, lakes):
    """What leaves as an object under a profile and what the lake shows are the same, joinable."""
    site.receive([lab.image(1), lab.image(2)])
    with node.ledger.database.write() as db:
        jobs.insert(db, [NewJob(Kind.FORWARD, lab.KEY, 1, "r", "out", "linked")], time.time())
    job = node.ledger.jobs.claim("w", {Kind.FORWARD}, time.time() + 1, 600)
    done = forward(job, node)
    node.ledger.jobs.finish(job, time.time(), done.events, done.words, paid=done.paid)
    lakes.run(node, "veiled")
    columns = ["PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID",
               "SOPInstanceUID", "StudyDate", "date", "received_at"]  # fmt: skip
    rows = lakes.read(site, node, "veiled", ", ".join(columns))
    left = sorted(site.out, key=lambda one: str(one.SOPInstanceUID))
    shown = sorted(rows, key=lambda row: row[4])
    for one, row in zip(left, shown, strict=True):
        assert row[:5] == tuple(str(one[keyword].value) for keyword in columns[:5])
        assert f"{row[5]:%Y%m%d}" == one.StudyDate
        assert one.StudyDate != "20040119"
        assert (row[6], row[7]) == (row[5], None)  # neither tells by how many days it moved
    lineage = lakes.read(site, node, "veiled", "source_uid, left_as, StudyInstanceUID, location,"
                   " delivered_at, source_digest", table="lineage")  # fmt: skip
    assert {row[0] for row in lineage} == {row[4] for row in shown}
    assert all(row[0] == row[1] and row[3:] == (None, None, None) for row in lineage)
    assert {row[2] for row in lineage} == {shown[0][2]}
    (back,) = {value for value in site.originals().values() if value == lab.KEY.study_instance_uid}
    assert back  # the vault knows the way from the lake to the patient


@pytest.mark.p4
def test_what_may_not_leave_has_no_row_and_is_held(site, lab, node, lakes):
    """A refused object is left out, the others are there, and a person is told of it."""
    refused = lab.image(2)
    refused.BurnedInAnnotation = "YES"
    site.receive([lab.image(1), refused, lab.image(3)])
    with pytest.raises(DeidFault, match="1 of 3 Instances are not in the lake"):
        lakes.run(node, "veiled")
    assert len(lakes.read(site, node, "veiled")) == 2
    (standing, *_) = node.ledger.lakes.standing("veiled", ["metadata"])
    assert (standing.rows, standing.withheld, standing.waiting) == (2, 1, 0)
    lakes.run(node, "veiled")  # nothing new: what was refused is not asked about each time
    (job,) = node.ledger.jobs.list(["held"])
    node.ledger.jobs.retry(job.id, time.time())
    again = node.ledger.jobs.claim("w", {Kind.EXPORT}, time.time() + 1, 600)
    with pytest.raises(DeidFault, match="1 of 3"):
        export(again, node)
    assert len(lakes.read(site, node, "veiled")) == 2


def test_released_instances_are_told_from_others(site, lab, node, lakes):
    """What the spool let go of has what the ledger knows; veiled, it is withheld."""
    site.receive([lab.image(1)])
    with node.ledger.database.write() as db:
        db.execute(update(instances).values(released_at=5.0))
    lakes.run(node, "named")
    ((uid, state, study),) = lakes.read(
        site, node, "named", "SOPInstanceUID, head_state, StudyInstanceUID"
    )
    assert (uid, state, study) == (f"{lab.SERIES}.1", "released", lab.KEY.study_instance_uid)
    with pytest.raises(DeidFault, match="has left the spool"):
        lakes.run(node, "veiled")
