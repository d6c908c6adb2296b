"""A node's data directory with Series in it, a bucket behind it, and what runs over both."""

import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import obstore
from obstore.store import S3Store
from pydicom.filewriter import dcmwrite

from ai.pipeline import Pool
from bench.ingest.workload import WORKLOADS, make
from config.load import load
from deid.apply import deidentify
from deid.profile import Profile
from deid.pseudonym import new_key
from dicom.entity import Arrival, Instance, SeriesKey
from examples.peers import seaweed
from node.workers.forward import forward
from node.workers.workshop import Workshop
from routing.job import Kind, NewJob
from storage.destinations.base import Outgoing
from storage.ledger import jobs
from storage.ledger.arrived import read
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

THREADS = 8
"""As many requests at once as a destination makes by default."""
RULES = {
    "as it is": "",
    "profile": 'profile = "research"\n',
    "profile, no validation": 'profile = "research"\nvalidation = "off"\n',
}
"""What a rule says beside name and destinations."""
CHECKS = ("read-back", "checksum")
DESTINATION = """
[destinations.{name}]
kind = "object-store"
url = "s3://{bucket}/{name}"
endpoint = "{endpoint}"
access_key = {{ env = "BENCH_ACCESS" }}
secret_key = {{ env = "BENCH_SECRET" }}
verify = "{verify}"
"""
PROFILE = '[profiles.research]\nbase = "research"\nkey = { file = "research.key" }\n'


@dataclass(slots=True)
class Site:
    """A worker's tools, the bucket's own client, and the Series that wait."""

    shop: Workshop
    store: S3Store
    profile: Profile
    series: dict[SeriesKey, list[Instance]]

    def objects(self, key: SeriesKey) -> list[memoryview]:
        """Give the bytes of a Series' Instances."""
        return [self.shop.reader.view(one.location) for one in self.series[key]]

    def contenders(self) -> dict[str, Callable[[SeriesKey], object]]:
        """Give what takes turns: each does one Series."""
        found: dict[str, Callable[[SeriesKey], object]] = {
            "engine": lambda key: [deidentify(one, self.profile) for one in self.objects(key)],
            "obstore": lambda key: self._put(key, "o", self.objects(key)),
            "engine + obstore": lambda key: self._put(key, "eo", self._clean(key)),
        }
        for check in CHECKS:
            found[f"destination, {check}"] = lambda key, check=check: self._send(key, check)
        for rule in RULES:
            for check in CHECKS:
                found[f"worker, {rule}, {check}"] = lambda key, rule=rule, check=check: self._work(
                    key, rule, check
                )
        return found

    def _clean(self, key: SeriesKey) -> Iterator[bytes]:
        for one in self.objects(key):
            yield b"".join(deidentify(one, self.profile).chunks)

    def _put(
        self, key: SeriesKey, name: str, bodies: Sequence[memoryview] | Iterator[bytes]
    ) -> None:
        def put(number: int, body: bytes | memoryview) -> None:
            path = f"{name}/{key.series_instance_uid}/{number}.dcm"
            obstore.put(self.store, path, body, mode="create")

        under_way: list[Future[None]] = []
        with ThreadPoolExecutor(THREADS) as pool:
            for number, body in enumerate(bodies):
                under_way.append(pool.submit(put, number, body))
                if len(under_way) > THREADS:
                    under_way.pop(0).result()
        for one in under_way:
            one.result()

    def _send(self, key: SeriesKey, check: str) -> None:
        ready = (
            replace(_as_it_is(key, instance, view), sop_instance_uid=f"1.9.{number}")
            for number, (instance, view) in enumerate(
                zip(self.series[key], self.objects(key), strict=True), 1
            )
        )
        with closing(self.shop.destination(f"alone-{check}")) as destination:
            assert len(list(destination.send(ready))) == len(self.series[key])

    def _work(self, key: SeriesKey, rule: str, check: str) -> None:
        profile = "research" if RULES[rule] else ""
        new = NewJob(Kind.FORWARD, key, 1, rule, _target(rule, check), profile)
        with self.shop.ledger.database.write() as db:
            jobs.insert(db, [new], time.time())
        job = self.shop.ledger.jobs.claim("bench", {Kind.FORWARD}, time.time() + 1, 600)
        assert job is not None
        done = forward(job, self.shop)
        assert done.words == f"{len(self.series[key])} delivered", done.words
        self.shop.ledger.jobs.finish(job, time.time())


def _as_it_is(key: SeriesKey, instance: Instance, view: memoryview) -> Outgoing:
    arrival = instance.arrival
    return Outgoing(
        arrival.sop_class_uid, arrival.sop_instance_uid, key.series_instance_uid,
        key.study_instance_uid, arrival.transfer_syntax_uid, (view,), instance.digest,
    )  # fmt: skip


@contextmanager
def made(folder: Path, work: str, objects: int) -> Iterator[Site]:
    """Make a site with so many objects of a workload, in Series of 200."""
    (folder / "research.key").touch(mode=0o600)
    (folder / "research.key").write_bytes(new_key())
    with seaweed.running(folder / "s3") as bucket:
        os.environ |= {"BENCH_ACCESS": bucket.access_key, "BENCH_SECRET": bucket.secret_key}
        (folder / "node.toml").write_text(_config(bucket))
        settings = load(folder / "node.toml")
        data_dir = settings.node.data_dir
        reader, ledger = SpoolReader(data_dir / "spool"), Ledger.open(data_dir)
        with Spool.open(data_dir / "spool", segment_bytes=1 << 28, reserve_bytes=0) as spool:
            series = _received(spool, reader, ledger, work, objects)
        shop = Workshop(settings, ledger, reader, Pool())
        yield Site(shop, bucket.store(), shop.profile("research"), series)
        shop.close()


def _config(bucket: seaweed.Seaweed) -> str:
    text = '[node]\ndata_dir = "var"\n' + PROFILE
    for check in CHECKS:
        for rule in ("alone", *RULES):
            text += DESTINATION.format(
                name=_target(rule, check),
                bucket=bucket.bucket,
                endpoint=bucket.endpoint,
                verify=check,
            )
    for rule, more in RULES.items():
        targets = [_target(rule, check) for check in CHECKS]
        text += f'[[rules]]\nname = "{rule}"\n{more}send = {targets}\n'
    return text


def _target(rule: str, check: str) -> str:
    """Name a rule's destination, which is its prefix too."""
    return f"{rule.replace(',', '').replace(' ', '-')}-{check}"


def _received(
    spool: Spool, reader: SpoolReader, ledger: Ledger, work: str, objects: int
) -> dict[SeriesKey, list[Instance]]:
    series: dict[SeriesKey, list[Instance]] = {}
    arrived = []
    for dataset in make(replace(WORKLOADS[work], files=objects)):
        buffer = io.BytesIO()
        dcmwrite(buffer, dataset, enforce_file_format=True)
        arrival = Arrival(
            dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID,
            "SCANNER", "PENUMBRA", "bench", "127.0.0.1", time.time(),
        )  # fmt: skip
        with spool.begin(arrival) as recording:
            recording.write(buffer.getvalue())
            record = recording.commit()
        arrived.append(read(reader, record))
        key = SeriesKey(dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
        series.setdefault(key, []).append(arrived[-1].instance)
    ledger.intake.absorb(arrived, {}, time.time())
    return series
