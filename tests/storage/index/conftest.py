"""Objects for an index: heads read from real bytes, with made-up keys."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.charset import encode_string
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom import charset, head
from dicom.attributes import CATALOGUE
from dicom.entity import Arrival, Instance, Location
from storage.index.database import Entry, Index

CT = "1.2.840.10008.5.1.4.1.1.2"


def raw_head(keys: dict[str, str], terms: str) -> Dataset:
    """A head as pydicom reads it: elements of raw bytes, whatever the values."""
    made = Dataset()
    made.add(DataElement(0x00080005, "CS", terms.split("\\")))
    declared = list(charset.encodings(terms.split("\\")))
    for keyword, value in keys.items():
        one = CATALOGUE[keyword]
        if one.vr == "US" and value:
            raw = int(value).to_bytes(2, "little")
        else:
            raw = encode_string(value, declared) if value else b""
        raw += b" " * (len(raw) % 2)
        element = RawDataElement(Tag(one.tag), one.vr, len(raw), raw, 0, False, True)
        made[Tag(one.tag)] = element
    return made


def make_entry(number: int = 1, terms: str = "ISO_IR 192", digest: str = "", **keys: str) -> Entry:
    """An object with the SOP Instance UID 1.<number>, in Study 1.2 and Series 1.3 unless told."""
    uid = keys.pop("SOPInstanceUID", f"1.{number}")
    sop_class = keys.pop("SOPClassUID", CT)
    keys = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "Modality": "CT", **keys}
    arrival = Arrival(
        sop_class, uid, "1.2.840.10008.1.2.1", "SCANNER", "PENUMBRA", "assoc", "127.0.0.1", 1.7e9
    )
    instance = Instance(arrival, Location("seg", number * 100, 100), digest or f"{number:064x}")
    keys = {**keys, "SOPInstanceUID": uid, "SOPClassUID": sop_class}
    return instance, head.of_dataset(raw_head(keys, terms))


@pytest.fixture
def entry() -> Callable[..., Entry]:
    """Make an object; keys are DICOM keywords."""
    return make_entry


@pytest.fixture(scope="session")
def entries() -> Callable[..., Entry]:
    """As `entry`, for fixtures that live longer than a test."""
    return make_entry


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An empty index, closed afterwards."""
    found = Index.open(tmp_path / "index.duckdb")
    yield found
    found.close()
