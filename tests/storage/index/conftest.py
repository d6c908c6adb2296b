"""Objects for an index: heads read from real bytes, with made-up keys."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom.charset import encode_string
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom import charset, head
from dicom.attributes import CATALOGUE
from dicom.entity import Arrival, Instance, Location
from storage.index import question_process
from storage.index.database import Entry, Index
from storage.index.offered import Role
from storage.index.questions import Answer, Limits, Question, Questions

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


IDENTITY = {
    "PatientName": "KANARIENVOGEL^HANS", "PatientID": "ZZ-4711", "AccessionNumber": "ACC-0815",
    "PatientBirthDate": "19470811", "StudyInstanceUID": "9.8.7.6.1", "StudyID": "KANARIENVOGEL",
    "SeriesInstanceUID": "9.8.7.6.2", "ReferringPhysicianName": "DRHOUSE^G",
    "StudyDescription": "KANARIENVOGEL", "SeriesDescription": "KANARIENVOGEL",
    "StudyDate": "20260131", "StudyTime": "1030", "ProtocolName": "THORAX",
}  # fmt: skip


@pytest.fixture(scope="module")
def named(tmp_path_factory) -> Iterator[Index]:
    """An index of twelve objects in one Series of a patient who must not be named."""
    made = Index.open(tmp_path_factory.mktemp("questions") / "index.duckdb")
    objects = [
        make_entry(number, SOPInstanceUID=f"9.8.7.6.3.{number}", **IDENTITY)
        for number in range(1, 13)
    ]
    made.add(objects, {"seg": 12})
    yield made
    made.close()


@pytest.fixture(scope="module")
def ask(named: Index, tmp_path_factory) -> Callable[..., Answer]:
    """Ask with the usual limits."""
    desk = Questions(named, Limits(memory_mb=256, answer_mb=4), tmp_path_factory.mktemp("answers"))

    def asked(sql: str, role: Role = Role.PLAIN, **how) -> Answer:
        return desk.ask(Question(sql, how.pop("parameters", {}), **how), role)

    return asked


class Here:
    """The process that answers, in this one: quicker, and without the limits of its own."""

    def __init__(self, index: Index, folder: Path) -> None:
        self._desk = Questions(index, Limits(memory_mb=256), folder)

    def write(self, line: str) -> None:
        """Be told what is needed, and give it."""
        child = SimpleNamespace(into=self._tables)
        self._desk._give(child, json.loads(line)["need"], self._role)
        self._tables.seek(0)

    def answer(self, sql: str, role: Role = Role.PLAIN, **how) -> bytes:
        """Answer a question as a role."""
        self._role, self._tables = role, io.BytesIO()
        question = Question(sql, how.pop("parameters", {}), **{"form": "csv", **how})
        out = io.BytesIO()
        request = self._desk._request(question, role, 5)
        self.said = question_process.answer(request, self._tables, out, self)
        return out.getvalue()


@pytest.fixture
def here(named: Index, tmp_path: Path) -> Callable[..., bytes]:
    """Ask without a process of its own; gives the bytes of the answer."""
    return Here(named, tmp_path).answer


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An empty index, closed afterwards."""
    found = Index.open(tmp_path / "index.duckdb")
    yield found
    found.close()
