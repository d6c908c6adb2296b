"""The settler asks of a Series what its rules name, and takes no more of it into the front."""

import io
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from dicom.entity import Arrival
from dicom.part10 import HEAD_LIMIT_BYTES, file_meta
from node.associations import AssociationBook
from node.settler import Settler
from routing.job import State
from routing.rules import compile_rule
from routing.settle import Timing
from storage.index.database import Index
from storage.ledger.arrived import ReadingHere
from storage.ledger.follow import Follower
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
PIXELS, PRIVATE = b"\xe0\x7f\x10\x00", b"\x29\x00\x10\x10"
MEGABYTES = 150


@dataclass
class Front:
    """The parts of the front that take an object from the spool to its jobs."""

    spool: Spool
    ledger: Ledger
    follower: Follower
    reader: SpoolReader

    def receive(self, body: bytes, transfer_syntax_uid: str) -> None:
        told = Arrival(CT, "1.2.3", transfer_syntax_uid, "CT1", "PENUMBRA", "a1", "h", 10.0)
        with self.spool.begin(told) as recording:
            recording.write(file_meta(told))
            recording.write(body)
            recording.commit()
        while self.follower.step() is not None:
            pass

    def settle(self, when: dict[str, str | int]) -> int:
        """Settle what was received, with one rule; returns how many jobs wait."""
        rules = [compile_rule("r", when, send=["lake"])]
        settler = Settler(self.ledger.settling, self.reader, rules, Timing(1, 1))
        assert settler.step(99.0, AssociationBook().closed()) == 1
        return self.ledger.jobs.counts()[State.WAITING]


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with Spool.open(tmp_path / "spool", segment_bytes=1 << 28, reserve_bytes=0) as spool:
        ledger, index = Ledger.open(tmp_path), Index.open(tmp_path / "index.duckdb")
        reader = SpoolReader(spool.root)
        follower = Follower(spool, reader, ledger.intake, index, ReadingHere(reader))
        yield Front(spool, ledger, follower, reader)
        index.close()
        ledger.close()


def dataset() -> bytes:
    head = Dataset()
    head.SpecificCharacterSet = "ISO_IR 100"
    head.SOPClassUID, head.SOPInstanceUID = CT, "1.2.3"
    head.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    head.StudyInstanceUID, head.SeriesInstanceUID = "1.2.4", "1.2.5"
    head.Modality, head.SeriesDescription, head.SliceThickness = "CT", "Schädel", "1.50"
    head.Rows = 512
    stream = io.BytesIO()
    dcmwrite(stream, head, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def zeros(tag: bytes) -> bytes:
    return tag + b"OB\0\0" + (MEGABYTES << 20).to_bytes(4, "little")


def deflated(start: bytes) -> bytes:
    """Deflate a dataset that ends in an element of 150 MB."""
    squeeze = zlib.compressobj(9, wbits=-15)
    packed = [squeeze.compress(start)]
    packed += [squeeze.compress(bytes(1 << 20)) for _ in range(MEGABYTES)]
    return b"".join(packed) + squeeze.flush()


@pytest.mark.parametrize(
    ("when", "jobs"),
    [
        ({}, 1),
        ({"calling_ae": "CT?"}, 1),
        ({"Modality": "CT", "SeriesDescription": "Sch*del"}, 1),
        ({"ImageType": "AXIAL", "Rows": 512}, 1),
        ({"SliceThickness": "1.5*"}, 1),
        ({"Modality": "MR"}, 0),
        ({"BodyPartExamined": "*"}, 0),
        ({"PixelData": "*"}, 0),
    ],
)
def test_rules_see_any_attribute(front: Front, when: dict[str, str | int], jobs: int):
    """Whatever keyword a rule names is compared with the text in the first Instance."""
    front.receive(dataset(), EXPLICIT)
    assert front.settle(when) == jobs


def test_a_deflated_series_takes_no_memory_in_the_front(front: Front):
    """A rule is answered from the head of an object whose pixels unfold to gigabytes."""
    front.receive(deflated(dataset() + zeros(PIXELS)), DEFLATED)
    tracemalloc.start()
    try:
        assert front.settle({"Modality": "CT"}) == 1
        assert tracemalloc.get_traced_memory()[1] < 3 * HEAD_LIMIT_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.p3
def test_a_head_that_unfolds_without_end_is_held(front: Front):
    """The bound that the settler needs is kept at intake: the object is held, with the reason."""
    front.receive(deflated(dataset() + zeros(PRIVATE)), DEFLATED)
    (job,) = front.ledger.jobs.list([State.HELD])
    assert (job.fault, job.words) == (
        "cannot-understand", "dataset unfolds to more than 32 MB before its pixel data",
    )  # fmt: skip
    assert front.ledger.summary()["received"]["series"] == 0
