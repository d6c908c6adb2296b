"""A vault on disk, objects that leave through the engine, and results that come back."""

import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from config.profiles import Profile as ProfileSettings
from config.shapes import Secret
from deid.apply import deidentify
from deid.profile import compile_profile
from deid.vault.audit import Asker
from deid.vault.sealing import VaultKey, VaultKeys
from deid.vault.vault import Vault
from storage.vault.store import VaultStore

PROFILE_KEY = bytes(range(7, 7 + 32))
OLD_SECRET, NEW_SECRET = bytes(range(32)), bytes(range(1, 33))
OLD, NEW = VaultKey(OLD_SECRET), VaultKey(NEW_SECRET)
PROJECT = "heart"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"


@dataclass(frozen=True)
class Fact:
    """A value that was replaced, made by hand."""

    kind: str
    pseudonym: str
    value: str


@dataclass(frozen=True)
class Clean:
    """A de-identified object, made by hand."""

    patient_pseudonym: str
    study_instance_uid: str
    sop_instance_uid: str
    originals: tuple[Fact, ...]


@pytest.fixture(scope="session")
def profile():
    settings = ProfileSettings(key=Secret(env="UNUSED"), project=PROJECT, reversible=True)
    return compile_profile("research", settings, PROFILE_KEY)


@pytest.fixture
def store(tmp_path: Path):
    opened = VaultStore.open(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def vault(store) -> Vault:
    return Vault(store.rows, store.trail, VaultKeys(OLD))


@pytest.fixture
def asker() -> Asker:
    return Asker("tester", "a test")


@pytest.fixture
def by_hand():
    """Make a de-identified object and its original bytes without the engine."""

    def make(patient: str = "P1", study: str = "2.25.1", count: int = 3, start: int = 0):
        uids = (Fact("uid", f"2.25.{n}", f"1.2.3.{n}") for n in range(start, start + count))
        facts = (Fact("patient", patient, f"ID {patient}"), *uids)
        return Clean(patient, study, f"2.25.{start}", facts), memoryview(part10(original()))

    return make


def original() -> Dataset:
    """Make an original of a patient with a telling name."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.SOPInstanceUID = "1.3.6.1.4.1.5962.99.1.1.1"
    dataset.SeriesInstanceUID = "1.3.6.1.4.1.5962.99.1.1"
    dataset.StudyInstanceUID = "1.3.6.1.4.1.5962.99.1"
    dataset.FrameOfReferenceUID = "1.3.6.1.4.1.5962.99.7"
    dataset.PatientName = "Quillobört^Zyx"
    dataset.PatientID = "CNRY-48213"
    dataset.IssuerOfPatientID = "Schnoor Clinic"
    dataset.PatientBirthDate = "19610704"
    dataset.PatientSex = "F"
    dataset.PatientAge = "061Y"
    dataset.PregnancyStatus = 4
    dataset.StudyDate, dataset.StudyTime = "20221103", "101112"
    dataset.SeriesDate = "20221103"
    dataset.AccessionNumber = "ACC-99120"
    dataset.StudyID = "S-7712"
    dataset.StudyDescription = "Thorax nativ für Frau Quillobört"
    dataset.ReferringPhysicianName = "Brömsel^Ada"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "77477000", "SCT", "CT"
    dataset.ProcedureCodeSequence = [code]
    dataset.Modality = "CT"
    dataset.InstanceNumber = 1
    return dataset


def part10(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Write a dataset as a Part 10 file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


def read(raw) -> Dataset:
    return pydicom.dcmread(io.BytesIO(b"".join(raw) if isinstance(raw, tuple) else bytes(raw)))


def report_on(image: Dataset) -> Dataset:
    """Make the SR that somebody outside would write about a de-identified image."""
    sr = Dataset()
    sr.SpecificCharacterSet = "ISO_IR 192"
    sr.SOPClassUID, sr.SOPInstanceUID = BASIC_TEXT_SR, generate_uid()
    sr.SeriesInstanceUID, sr.Modality = generate_uid(), "SR"
    sr.SeriesDate = sr.ContentDate = "20240102"
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "AccessionNumber"):
        setattr(sr, keyword, image.get(keyword, ""))
    sr.PatientIdentityRemoved, sr.DeidentificationMethod = "YES", "somebody's words"
    sr.LongitudinalTemporalInformationModified = "REMOVED"
    study, series, reference = Dataset(), Dataset(), Dataset()
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    series.ReferencedSOPSequence = [reference]
    series.SeriesInstanceUID = image.SeriesInstanceUID
    study.ReferencedSeriesSequence = [series]
    study.StudyInstanceUID = image.StudyInstanceUID
    sr.CurrentRequestedProcedureEvidenceSequence = [study]
    sr.ContentSequence = [
        _content("TEXT", TextValue="Überhang 3 mm"),
        _content("UIDREF", UID=image.SeriesInstanceUID),
        _content("PNAME", PersonName=f"{image.PatientID}^"),
        _content("TEXT", TextValue=image.PatientID),
        _content("IMAGE", ReferencedSOPSequence=[reference]),
    ]
    return sr


def _content(kind: str, **values) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", kind
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    """The makers and readers of objects, and the keys."""
    return SimpleNamespace(
        PROJECT=PROJECT,
        OLD=OLD,
        NEW=NEW,
        OLD_SECRET=OLD_SECRET,
        original=original,
        part10=part10,
        read=read,
        report_on=report_on,
    )


@pytest.fixture
def leave(vault, profile):
    """De-identify an original and keep its way back, as the node does; give what left."""

    def go(raw: bytes) -> Dataset:
        clean = deidentify(raw, profile)
        vault.keep(PROJECT, clean, memoryview(raw))
        return read(clean.chunks)

    return go


@pytest.fixture
def leave_with_uids(vault):
    """The same under retain-uids."""
    key = Secret(env="UNUSED")
    settings = ProfileSettings(key=key, options=("retain-uids",), project=PROJECT, reversible=True)
    keeping = compile_profile("research", settings, PROFILE_KEY)

    def go(raw: bytes) -> Dataset:
        clean = deidentify(raw, keeping)
        vault.keep(PROJECT, clean, memoryview(raw))
        return read(clean.chunks)

    return go


@pytest.fixture
def come_back(vault, asker):
    """Give a result its identity again; give the dataset."""

    def go(raw: bytes) -> Dataset:
        return read(vault.reidentify(PROJECT, memoryview(raw), asker).chunks)

    return go


@pytest.fixture(scope="session")
def real_objects() -> list[tuple[str, bytes]]:
    """The objects of pydicom and pydicom-data, of 38 like slices of one series none."""
    store = importlib.util.find_spec("data_store")
    folders = [Path(pydicom.__file__).parent, *map(Path, store.submodule_search_locations)]
    files = [each for folder in folders for each in sorted((folder / "data").rglob("*"))]
    read_files = (
        (file.name, file.read_bytes())
        for file in files
        if file.is_file() and not file.name.startswith("IM0000")
    )
    return [(name, raw) for name, raw in read_files if raw[128:132] == b"DICM"]


@pytest.fixture(scope="session")
def ct() -> bytes:
    """A real CT slice."""
    return Path(get_testdata_file("CT_small.dcm")).read_bytes()
