"""Identity to look for, and a scanner that looks for it."""

import io

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from deid.scan import wanted
from deid.scan.scanner import Finding, Listed, Scanner

IDENTITY = """\
# the patient
Mustermann^Änne
id: PAT-4711-X
1957-03-12
+49 30 9018-2044
1.2.840.99999.77.1
name: 山田^太郎
name: Lee^Bo
"""
LINE = {"name": 2, "id": 3, "date": 4, "phone": 5, "uid": 6, "kanji": 7, "short": 8}


@pytest.fixture(scope="session")
def line():
    """The number of each line in the identity file."""
    return LINE


@pytest.fixture(scope="session")
def identity():
    return IDENTITY


@pytest.fixture(scope="session")
def scanner():
    return Scanner(wanted.read(IDENTITY.encode()))


@pytest.fixture
def scan(scanner, tmp_path):
    """Scan content as a file; gives the findings as (where, line), and gaps as (where, why)."""

    def scan(content: bytes, name: str = "object.dcm"):
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        told = scanner.scan(Listed(file, folder))
        return {
            (each.where, each.line) if isinstance(each, Finding) else (each.where, each.why)
            for each in told
        }

    return scan


@pytest.fixture(scope="session")
def part10():
    """Write a dataset as a Part 10 file."""

    def write(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        dataset.SOPInstanceUID = "2.25.1"
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = UID(syntax)
        dataset.file_meta = meta
        target = io.BytesIO()
        pydicom.dcmwrite(target, dataset, enforce_file_format=True)
        return target.getvalue()

    return write
