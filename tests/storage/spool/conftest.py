"""Objects to store, and a spool to store them in."""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom.entity import Arrival, Instance
from storage.spool.reader import SpoolReader
from storage.spool.record import Record
from storage.spool.spool import Spool

MB = 1 << 20


class Objects:
    """Objects to store: what arrives, their bytes, and ways to put them in and get them out."""

    @staticmethod
    def arrival(uid: str = "2.25.1") -> Arrival:
        return Arrival(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            sop_instance_uid=uid,
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            calling_ae="SCANNER",
            called_ae="PENUMBRA",
            association="a-1",
            address="192.0.2.1",
            received_at=1.5,
        )

    @staticmethod
    def body(length: int, seed: int = 0) -> bytes:
        return random.Random(seed).randbytes(length)

    def store(
        self, spool: Spool, content: bytes, uid: str = "2.25.1", chunk: int = 128 << 10
    ) -> Instance:
        """Store bytes, in chunks."""
        with spool.begin(self.arrival(uid)) as recording:
            view = memoryview(content)
            for start in range(0, len(content), chunk):
                recording.write(view[start : start + chunk])
            return self.identified(recording.commit(), content)

    @staticmethod
    def identified(record: Record, content: bytes) -> Instance:
        """Say what Instance a record is whose bytes are known."""
        return Instance(record.arrival, record.location, hashlib.sha256(content).hexdigest())

    @staticmethod
    def of(spool: Spool) -> list[Instance]:
        """List what a follower of the whole spool finds."""
        reader = SpoolReader(spool.root)
        return [reader.identify(record) for record in spool.records({})]

    @staticmethod
    def read(root: Path, instance: Instance) -> bytes:
        """Read an Instance back, checked against its digest."""
        reader = SpoolReader(root)
        reader.verify(instance)
        with reader.open(instance.location) as stream:
            content = stream.read()
        assert hashlib.sha256(content).hexdigest() == instance.digest
        return content


@pytest.fixture(scope="session")
def objects() -> Objects:
    return Objects()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def open_spool(root: Path) -> Callable[..., Spool]:
    """Opens the spool with small segments and no reserve unless told otherwise."""

    def opener(**settings) -> Spool:
        return Spool.open(root, **{"segment_bytes": 64 * MB, "reserve_bytes": 0} | settings)

    return opener


@pytest.fixture
def spool(open_spool) -> Iterator[Spool]:
    with open_spool() as spool:
        yield spool


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a Python program that can use the product's modules; reaps it at the end."""
    started: list[subprocess.Popen] = []

    def start(program: str, *arguments: object, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            env={**os.environ, **environment},
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
