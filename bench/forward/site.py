"""A node's data directory with Series in it, and a worker's path over it."""

import io
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.filewriter import dcmwrite

from bench.ingest.workload import WORKLOADS, make
from config.load import load
from deid.apply import deidentify
from deid.profile import Profile
from deid.pseudonym import new_key
from dicom.entity import Arrival, Instance, SeriesKey
from node.workers.forward import forward
from node.workers.workshop import Workshop
from routing.job import Kind, NewJob
from storage.ledger import jobs
from storage.ledger.arriving import read
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

KEY_FILE = "research.key"
LEASE_S = 600.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a job says: whom it serves, and under which profile."""

    name: str
    """Of the rule."""
    target: str
    profile: str = ""

    def table(self) -> str:
        """Write the rule for the config."""
        treated = f'profile = "{self.profile}"\n' if self.profile else ""
        return f'[[rules]]\nname = "{self.name}"\n{treated}send = ["{self.target}"]\n'


@dataclass(slots=True)
class Site:
    """A worker's tools and the Series that wait, in the spool and, for others, as files."""

    shop: Workshop
    profile: Profile
    series: dict[SeriesKey, list[Instance]]
    files: dict[SeriesKey, list[Path]]

    def key(self, turn: int) -> SeriesKey:
        """Give the Series of a turn."""
        return list(self.series)[turn]

    def size_bytes(self, keys: Iterable[SeriesKey]) -> int:
        """Count the bytes of Series."""
        return sum(file.stat().st_size for key in keys for file in self.files[key])

    def objects(self, key: SeriesKey) -> list[memoryview]:
        """Give the bytes of a Series' Instances."""
        return [self.shop.reader.view(one.location) for one in self.series[key]]

    def clean(self, key: SeriesKey) -> Iterator[bytes]:
        """De-identify a Series, object by object, by the engine alone."""
        for one in self.objects(key):
            yield b"".join(deidentify(one, self.profile).chunks)

    def deliver(self, key: SeriesKey, order: Order) -> None:
        """Deliver a Series as a worker does: a job is claimed, done with receipts, and finished."""
        new = NewJob(Kind.FORWARD, key, 1, order.name, order.target, order.profile)
        with self.shop.ledger.database.write() as db:
            jobs.insert(db, [new], time.time())
        job = self.shop.ledger.jobs.claim("bench", {Kind.FORWARD}, time.time() + 1, LEASE_S)
        assert job is not None
        done = forward(job, self.shop)
        assert done.words == f"{len(self.series[key])} delivered", done.words
        self.shop.ledger.jobs.finish(job, time.time(), paid=done.paid)


def profile_table(base: str) -> str:
    """Write the profile that everybody in the bench uses, by its base."""
    return f'[profiles.{base}]\nbase = "{base}"\nkey = {{ file = "{KEY_FILE}" }}\n'


@contextmanager
def made(
    folder: Path, work: str, objects: int, tables: str, orders: Iterable[Order], *, base: str
) -> Iterator[Site]:
    """Make a site with so many objects of a workload, in Series of 200, until the block ends.

    `tables` are the destinations that the orders name, and what these need.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / KEY_FILE
    key.touch(mode=0o600)
    key.write_bytes(new_key())
    config = folder / "node.toml"
    rules = "".join(order.table() for order in orders)
    config.write_text(f'[node]\ndata_dir = "var"\n{profile_table(base)}{tables}{rules}')
    settings = load(config)
    data_dir = settings.node.data_dir
    reader, ledger = SpoolReader(data_dir / "spool"), Ledger.open(data_dir)
    shop = Workshop(settings, ledger, reader)
    try:
        site = Site(shop, shop.profile(base), {}, {})
        with Spool.open(data_dir / "spool", segment_bytes=1 << 28, reserve_bytes=0) as spool:
            _receive(spool, site, work, objects, folder / "files")
        yield site
    finally:
        shop.close()


def _receive(spool: Spool, site: Site, work: str, objects: int, files: Path) -> None:
    """Put a workload into spool and ledger, and beside them as files."""
    arrived = []
    for number, dataset in enumerate(make(replace(WORKLOADS[work], files=objects))):
        buffer = io.BytesIO()
        dcmwrite(buffer, dataset, enforce_file_format=True)
        arrival = Arrival(
            dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID,
            "SCANNER", "PENUMBRA", "bench", "127.0.0.1", time.time(),
        )  # fmt: skip
        with spool.begin(arrival) as recording:
            recording.write(buffer.getvalue())
            record = recording.commit()
        arrived.append(read(site.shop.reader, record))
        key = SeriesKey(dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
        site.series.setdefault(key, []).append(arrived[-1].instance)
        file = files / key.series_instance_uid / f"{number:05}.dcm"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(buffer.getvalue())
        site.files.setdefault(key, []).append(file)
    site.shop.ledger.intake.absorb(arrived, {}, time.time())
