"""A model's results: gated together, kept once, and sent only where the images are."""

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from ai import phantom, server
from ai.pipeline import Pool
from config.load import load
from dicom.entity import Arrival, Origin, SeriesKey
from dicom.errors import ConfigFault, Misfit, OriginalsAbsent, Unreachable, Unsuitable
from dicom.result_kinds import kind_of
from examples.peers import orthanc
from examples.peers import triton as peer
from examples.peers.pynet_scu import store_all
from node.workers import originals_there
from node.workers.forward import forward
from node.workers.infer import infer
from node.workers.workshop import Done, Later, Workshop
from routing.job import Job, Kind, NewJob
from storage.ledger import jobs
from storage.ledger.arriving import read
from storage.ledger.ledger import Ledger
from storage.ledger.proven import record
from storage.spool.deposit import deposit
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

CONFIG = """
[node]
data_dir = "var"
[peers.PACS]
host = "127.0.0.1"
port = {port}
[destinations.out]
kind = "folder"
path = "out"
[destinations.row]
kind = "folder"
path = "row"
ordered = true
[destinations.open]
kind = "folder"
path = "open"
results_without_originals = true
[destinations.pacs]
kind = "dicom"
peer = "PACS"
[models.lungs]
endpoints = ["{endpoint}"]
model = "ct_emphysema"
{keys}
[[rules]]
name = "chest"
infer = ["lungs"]
results_to = ["out", "row", "open", "pacs"]
"""
KILLED = """
import os, signal, sys, time
from pathlib import Path
import node.workers.infer as inferring
from ai.pipeline import Pool
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
shop = Workshop(settings, Ledger.open_existing(data_dir), SpoolReader(data_dir / "spool"), Pool())
inferring.infer(shop.ledger.jobs.claim("w1", [Kind.INFER], time.time() + 1, 600), shop)
"""


ONE = 'results = ["sr"]'
TWO = 'results = ["sr", "sc"]'
ALL = 'results = ["sr", "seg", "gsps", "sc", "pm"]'


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Triton that serves the reference model of chest CT alone."""
    try:
        environment = server.environment()
    except ConfigFault as absent:
        pytest.skip(str(absent))
    folder = tmp_path_factory.mktemp("triton")
    (folder / "models").mkdir()
    (folder / "models" / "ct_emphysema").symlink_to(server.REFERENCE_REPOSITORY / "ct_emphysema")
    with peer.running(folder, repository=folder / "models", environment=environment) as running:
        yield running.endpoint


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A chest phantom."""
    truth = phantom.write(tmp_path_factory.mktemp("phantom"), slices=20, size=64)
    return [path.read_bytes() for path in truth.files]


@dataclass
class Clinic:
    """A node's data directory, and a worker's tools."""

    folder: Path
    shop: Workshop
    key: SeriesKey

    def receive(self, files: list[bytes], calling_ae: str = "CT1") -> None:
        arrived = []
        for part10 in files:
            head = dcmread(io.BytesIO(part10), stop_before_pixels=True)
            arrival = Arrival(
                head.SOPClassUID, head.SOPInstanceUID, head.file_meta.TransferSyntaxUID,
                calling_ae, "PENUMBRA", "a1", "127.0.0.1", 1.0,
            )  # fmt: skip
            kept = deposit(self.shop.reader.root, arrival, [part10], writer="front")
            arrived.append(read(self.shop.reader, kept))
        self.shop.ledger.intake.absorb(arrived, {}, time.time())

    def kept(self) -> list[Dataset]:
        """Read what models made, in the spool as a front would follow it, and file it."""
        with Spool.open(self.shop.reader.root, segment_bytes=1 << 26, reserve_bytes=0) as spool:
            made = [one for one in spool.records({}) if one.arrival.origin is Origin.AI]
        arrived = [read(self.shop.reader, one) for one in made]
        self.shop.ledger.intake.absorb(arrived, {}, time.time())
        found = []
        for one in made:
            with self.shop.reader.open(one.location) as stream:
                found.append(dcmread(io.BytesIO(stream.read())))
        return found

    def owe(self, kind: Kind, target: str, key: SeriesKey | None = None) -> Job:
        owed = NewJob(kind, key or self.key, 1, "chest", target)
        with self.shop.ledger.database.write() as db:
            jobs.insert(db, [owed], time.time())
        (job,) = [
            each
            for each in self.shop.ledger.jobs.list(["waiting", "running"])
            if each.spec.dedup_key == owed.dedup_key
        ]
        return job

    def infer(self) -> Done:
        return infer(self.owe(Kind.INFER, "lungs"), self.shop)

    def result(self) -> SeriesKey:
        """Have the phantom measured, and name the Series of the report."""
        self.infer()
        report = next(one for one in self.kept() if one.Modality == "SR")
        return SeriesKey(report.StudyInstanceUID, report.SeriesInstanceUID)

    def deliver(self, job: Job) -> Done:
        done = forward(job, self.shop)
        if done.paid is not None:
            with self.shop.ledger.database.write() as db:
                record(db, done.paid)
        return done

    def at(self, destination: str) -> set[str]:
        files = (self.folder / destination).rglob("*.dcm")
        return {str(dcmread(file, stop_before_pixels=True).Modality) for file in files}


@pytest.fixture
def clinic(endpoint: str, tmp_path: Path, slices: list[bytes]) -> Iterator[Callable[..., Clinic]]:
    """Make a node that has received the phantom, or it with each slice changed."""
    made: list[Clinic] = []

    def make(
        keys: str = ONE,
        calling_ae: str = "CT1",
        change: Callable[[Dataset], None] | None = None,
        port: int = 1,
    ) -> Clinic:
        config = CONFIG.format(endpoint=endpoint, keys=keys, port=port)
        (tmp_path / "node.toml").write_text(config)
        settings = load(tmp_path / "node.toml")
        root = settings.node.data_dir / "spool"
        Spool.open(root, segment_bytes=1 << 26, reserve_bytes=0).close()
        ledger = Ledger.open(settings.node.data_dir)
        head = dcmread(io.BytesIO(slices[0]), stop_before_pixels=True)
        key = SeriesKey(head.StudyInstanceUID, head.SeriesInstanceUID)
        one = Clinic(tmp_path, Workshop(settings, ledger, SpoolReader(root), Pool()), key)
        one.receive([changed(each, change) for each in slices], calling_ae)
        made.append(one)
        return one

    yield make
    for each in made:
        each.shop.close()


def changed(part10: bytes, change: Callable[[Dataset], None] | None) -> bytes:
    if change is None:
        return part10
    dataset, target = dcmread(io.BytesIO(part10)), io.BytesIO()
    change(dataset)
    dataset.save_as(target)
    return target.getvalue()


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
    """The same job again makes the same bytes, and what is filed is not deposited again."""
    one = clinic(TWO)
    job = one.owe(Kind.INFER, "lungs")
    infer(job, one.shop)
    before = sorted(each.SOPInstanceUID for each in one.kept())
    infer(job, one.shop)
    assert sorted(each.SOPInstanceUID for each in one.kept()) == before


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
        clinic('min_slices = 99\nrefused = "hold"').infer()


def test_a_result_waits_until_its_images_are_there(clinic):
    """It waits while their job is open, and goes once they have receipts."""
    one = clinic()
    report = one.result()
    images = one.owe(Kind.FORWARD, "out")
    result = one.owe(Kind.FORWARD, "out", report)
    with pytest.raises(Later, match=f"waits for job {images.id}, which brings 20"):
        one.deliver(result)
    assert one.at("out") == set()
    one.deliver(images)
    assert one.deliver(result).words == "1 delivered"
    assert one.at("out") == {"CT", "SR"}


def test_a_result_that_waits_for_held_images_says_so(clinic):
    """Who looks at the waiting job reads what has to be seen to first."""
    one = clinic()
    report = one.result()
    images = one.owe(Kind.FORWARD, "out")
    claimed = one.shop.ledger.jobs.claim("w1", [Kind.FORWARD], time.time() + 1, 600)
    assert claimed is not None
    one.shop.ledger.jobs.hold(claimed, "refused", "no", time.time())
    with pytest.raises(Later, match=f"job {images.id}, .* and is held"):
        one.deliver(one.owe(Kind.FORWARD, "out", report))


def test_a_result_goes_nowhere_where_nobody_brings_its_images(clinic, monkeypatch):
    """At first somebody may; then the result is held, and the words name the ways out."""
    one = clinic()
    result = one.owe(Kind.FORWARD, "out", one.result())
    with pytest.raises(Later, match="not at out yet: it has no receipt for them"):
        one.deliver(result)
    monkeypatch.setattr(originals_there, "PATIENCE_S", -1.0)
    with one.shop.ledger.database.write() as db:
        db.exec_driver_sql("UPDATE series SET open = 0")
    with pytest.raises(OriginalsAbsent, match="results_without_originals = true"):
        one.deliver(result)
    assert one.at("out") == set()


def test_a_destination_may_take_results_alone(clinic):
    """With results_without_originals nobody asks where the images are."""
    one = clinic()
    one.deliver(one.owe(Kind.FORWARD, "open", one.result()))
    assert one.at("open") == {"SR"}


def test_an_ordered_destination_does_not_wait_behind_a_result(clinic):
    """Its other jobs would wait too: the result is held at once, also for images behind it."""
    one = clinic()
    result = one.owe(Kind.FORWARD, "row", one.result())
    with pytest.raises(OriginalsAbsent, match="no receipt"):
        one.deliver(result)
    images = one.owe(Kind.FORWARD, "row")
    with pytest.raises(OriginalsAbsent, match=f"job {images.id}.*comes after it"):
        one.deliver(result)
    one.deliver(images)
    one.deliver(result)
    assert one.at("row") == {"CT", "SR"}


@pytest.mark.skipif(
    orthanc.binary() is None, reason="needs Orthanc (Debian: apt-get install orthanc)"
)
def test_a_pacs_that_has_the_images_from_elsewhere_is_asked(clinic, slices, tmp_path):
    """The scanner sends to the PACS as well: the result goes once the PACS lists every image."""
    with orthanc.running(tmp_path / "orthanc", aet="PACS") as pacs:
        one = clinic(port=pacs.port)
        result = one.owe(Kind.FORWARD, "pacs", one.result())
        with pytest.raises(Later, match="it was asked and lacks 20"):
            one.deliver(result)
        images = [dcmread(io.BytesIO(each)) for each in slices]
        store_all(pacs.port, images[:-1], calling_ae="CT1", called_ae="PACS")
        with pytest.raises(Later, match="it was asked and lacks 1"):
            one.deliver(result)
        store_all(pacs.port, images[-1:], calling_ae="CT1", called_ae="PACS")
        assert one.deliver(result).words == "1 delivered"


def test_a_pacs_that_is_away_is_asked_again(clinic):
    """Whether the images are there is not known then: the job fails as any delivery to it does."""
    one = clinic()
    with pytest.raises(Unreachable):
        one.deliver(one.owe(Kind.FORWARD, "pacs", one.result()))


def test_the_peer_that_sent_the_images_has_them(clinic):
    """A PACS that sent the study gets the result without being asked; another one is."""
    theirs = clinic(calling_ae="PACS")
    job = theirs.owe(Kind.FORWARD, "pacs", theirs.result())
    owed = theirs.shop.ledger.receipts.owed(job.spec.series, "pacs", "")
    originals_there.require_originals(job, theirs.shop, owed)
