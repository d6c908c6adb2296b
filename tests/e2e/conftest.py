"""A node as its users run it: `penumbra serve` in a process, real servers around it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicom.uid import derive
from examples.peers import seaweed
from examples.peers.node import Node
from examples.peers.pynet_scu import Answer, store_all

SCANNER = """
[peers.SCANNER]
may = ["store", "find"]
"""


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.Seaweed]:
    """A real S3 for the session."""
    with seaweed.running(tmp_path_factory.mktemp("seaweed")) as facts:
        yield facts


@pytest.fixture
def lake(bucket: seaweed.Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Config tables for a destination "lake" under a prefix of this test's own."""
    monkeypatch.setenv("E2E_ACCESS_KEY", bucket.access_key)
    monkeypatch.setenv("E2E_SECRET_KEY", bucket.secret_key)
    return f"""
[destinations.lake]
kind = "object-store"
url = "s3://{bucket.bucket}/{tmp_path.name}"
endpoint = "{bucket.endpoint}"
access_key = {{ env = "E2E_ACCESS_KEY" }}
secret_key = {{ env = "E2E_SECRET_KEY" }}
"""


def small_ct(number: int, *, series: int = 1, patient: str = "KANARIENVOGEL^HANS") -> Dataset:
    """Make a valid small CT slice with an identity that a leak search can find."""
    image = Dataset()
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = derive("e2e", "instance", str(series), str(number))
    image.StudyInstanceUID = derive("e2e", "study")
    image.SeriesInstanceUID = derive("e2e", "series", str(series))
    image.PatientName, image.PatientID = patient, "ZZ-4711-0815"
    image.PatientBirthDate, image.PatientSex = "19610517", "M"
    image.StudyDate, image.StudyTime, image.AccessionNumber = "20260102", "101112", "QQACC9911"
    image.Modality, image.Manufacturer, image.StudyID = "CT", "SYNTHETIC", "S1"
    image.SeriesNumber, image.InstanceNumber = series, number
    image.ReferringPhysicianName = "DOKTORSAN^EVA"
    image.Rows = image.Columns = 16
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelData = np.full((16, 16), number % 4096, "<u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


@pytest.fixture
def one_worker(tmp_path: Path) -> None:
    """Have nodes in `tmp_path` start one worker process: enough where jobs are few, and quicker."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "one.toml").write_text("[node]\nworkers = 1\n")


@pytest.fixture
def make_ct() -> Callable[..., Dataset]:
    """Give the maker of small CT slices."""
    return small_ct


@pytest.fixture
def store() -> Callable[[Node, Sequence[Dataset]], list[Answer]]:
    """Give a sender: C-STOREs datasets as SCANNER, and says what the node answered."""

    def send(node: Node, images: Sequence[Dataset], **options: object) -> list[Answer]:
        return store_all(node.port, images, calling_ae="SCANNER", called_ae="PENUMBRA", **options)

    return send
