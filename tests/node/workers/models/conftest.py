"""A node that has received a chest phantom, and a real Triton that measures it."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from ai import phantom, server
from config.load import load
from dicom.entity import Arrival, Origin, SeriesKey
from dicom.errors import ConfigFault
from examples.peers import triton as peer
from node.workers.forward import forward
from node.workers.infer import infer
from node.workers.workshop import Done, Workshop
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
[[rules]]
name = "another"
infer = ["lungs"]
results_to = ["open"]
"""
ONE = 'results = ["sr"]'


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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
        one = Clinic(tmp_path, Workshop(settings, ledger, SpoolReader(root)), key)
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
