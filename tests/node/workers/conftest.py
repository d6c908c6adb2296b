"""A node's data directory with a Series in it, and a worker's tools."""

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from config.load import load
from deid.pseudonym import new_key
from deid.vault.audit import Asker
from dicom.entity import Arrival, Instance, SeriesKey
from node.vault import open_vault
from node.workers.forward import forward
from node.workers.workshop import Done, Workshop
from routing.job import Job, Kind, NewJob
from storage.evidence.entry import Recorded
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
[destinations.out]
kind = "folder"
path = "out"
[profiles.linked]
base = "research"
key = { file = "linked.key" }
project = "heart"
reversible = true
[profiles.plain]
base = "research"
key = { file = "plain.key" }
[vault]
key = { file = "vault.key" }
[[rules]]
name = "linked"
profile = "linked"
send = ["out"]
[[rules]]
name = "plain"
profile = "plain"
send = ["out"]
[[rules]]
name = "strict"
reidentify = "linked"
validation = "hold"
send = ["out"]
"""
STUDY, SERIES = "1.2.826.0.1.3680043.9999.1", "1.2.826.0.1.3680043.9999.1.1"
KEY = SeriesKey(STUDY, SERIES)
OBJECTS = 40
NAME = "Quillobert^Zyx"


def image(number: int) -> Dataset:
    """Make a real CT slice of a patient with a telling name."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.SOPInstanceUID = f"{SERIES}.{number}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientName, dataset.PatientID = NAME, "CNRY-48213"
    return dataset


@dataclass
class Site:
    """A node's data directory with a Series in it, and a worker's tools."""

    folder: Path

    @property
    def out(self) -> list[Dataset]:
        return [pydicom.dcmread(file) for file in sorted((self.folder / "out").rglob("*.dcm"))]

    def receive(self, images: Sequence[Dataset]) -> list[Instance]:
        data_dir = self.folder / "var"
        Spool.open(data_dir / "spool", segment_bytes=1 << 26, reserve_bytes=0).close()
        reader, ledger = SpoolReader(data_dir / "spool"), Ledger.open(data_dir)
        arrived = []
        for number, dataset in enumerate(images):
            target = io.BytesIO()
            dataset.save_as(target)
            arrival = Arrival(
                dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID,
                "CT1", "PENUMBRA", "a1", "127.0.0.1", 1.0,
            )  # fmt: skip
            record = deposit(data_dir / "spool", arrival, [target.getvalue()], writer=f"w{number}")
            arrived.append(read(reader, record))
        ledger.intake.absorb(arrived, {}, time.time())
        ledger.close()
        return [each.instance for each in arrived]

    def receive_more(self, dataset: Dataset) -> None:
        """Receive one more object, by a writer of its own."""
        data_dir = self.folder / "var"
        reader, ledger = SpoolReader(data_dir / "spool"), Ledger.open(data_dir)
        target = io.BytesIO()
        dataset.save_as(target)
        arrival = Arrival(
            dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID,
            "CT1", "PENUMBRA", "a2", "127.0.0.1", 2.0,
        )  # fmt: skip
        record = deposit(data_dir / "spool", arrival, [target.getvalue()], writer="late")
        ledger.intake.absorb([read(reader, record)], {}, time.time())
        ledger.close()

    def owe(self, rule: str, kind: Kind = Kind.FORWARD) -> None:
        profile = "linked" if rule == "strict" else rule
        ledger = Ledger.open(self.folder / "var")
        with ledger.database.write() as db:
            jobs.insert(db, [NewJob(kind, KEY, 1, rule, "out", profile)], time.time())
        ledger.close()

    def owe_plain(self, rule: str) -> None:
        """Owe the Series to the destination `out`, as it is."""
        ledger = Ledger.open(self.folder / "var")
        with ledger.database.write() as db:
            jobs.insert(db, [NewJob(Kind.FORWARD, KEY, 1, rule, "out")], time.time())
        ledger.close()

    def workshop(self) -> Workshop:
        settings = load(self.folder / "node.toml")
        data_dir = settings.node.data_dir
        reader = SpoolReader(data_dir / "spool")
        return Workshop(settings, Ledger.open_existing(data_dir), reader)

    def work(self, shop: Workshop) -> Done:
        job = self.claim(shop)
        done = forward(job, shop)
        if done.paid is not None:
            with shop.ledger.database.write() as db:
                record(db, done.paid)
        return done

    def claim(self, shop: Workshop) -> Job:
        for owner in ("w1", "w2"):
            shop.ledger.jobs.expire(time.time(), 100, owner=owner)
        kinds = [Kind.FORWARD, Kind.REIDENTIFY]
        job = shop.ledger.jobs.claim("w2", kinds, time.time() + 1, 600)
        assert job
        return job

    def evidence(self) -> list[Recorded]:
        ledger = Ledger.open(self.folder / "var")
        found = ledger.evidence.of_study(STUDY)
        ledger.close()
        return found

    def originals(self) -> dict[str, str]:
        vault = open_vault(load(self.folder / "node.toml"))
        rows = vault.export("heart", Asker("tester", "a test"))
        found = {each.pseudonym: each.value for each in rows if each.kind == "uid"}
        vault.close()
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for name in ("linked.key", "plain.key", "vault.key"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(new_key())
    (tmp_path / "node.toml").write_text(CONFIG)
    return Site(tmp_path)


@pytest.fixture
def shop(site: Site) -> Iterator[Workshop]:
    site.receive([image(number) for number in range(1, OBJECTS + 1)])
    opened = site.workshop()
    yield opened
    opened.close()


@pytest.fixture
def lab() -> SimpleNamespace:
    """The maker of objects, and what they are called."""
    return SimpleNamespace(image=image, KEY=KEY, SERIES=SERIES, OBJECTS=OBJECTS)
