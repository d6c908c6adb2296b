"""Profiles and built objects for the tests of de-identification."""

import io
from collections.abc import Callable

import pydicom
import pytest
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from config.profiles import Profile as ProfileSettings
from config.shapes import Secret
from deid.apply import deidentify
from deid.profile import Profile, compile_profile

KEY = bytes(range(7, 7 + 32))


def _compiled(base: str = "basic", *options: str, key: bytes = KEY, **settings) -> Profile:
    """Compile a profile of the test's key."""
    table = {"base": base, "options": options, "key": Secret(env="UNUSED"), **settings}
    return compile_profile("site", ProfileSettings.model_validate(table), key)


@pytest.fixture(scope="session")
def compiled() -> Callable[..., Profile]:
    return _compiled


@pytest.fixture(scope="session")
def profile() -> Profile:
    return _compiled()


@pytest.fixture(scope="session")
def other_profile() -> Profile:
    return _compiled(key=bytes(reversed(KEY)))


@pytest.fixture(scope="session")
def clean() -> Callable[[bytes, Profile], Dataset]:
    """De-identify and read what came out."""

    def read(part10: bytes, profile: Profile) -> Dataset:
        return pydicom.dcmread(io.BytesIO(b"".join(deidentify(part10, profile).chunks)))

    return read


def _build(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Write a dataset as a Part 10 file, with the UIDs and the pixels that it lacks."""
    for keyword, value in (
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"),
        ("SOPInstanceUID", "1.3.6.1.4.1.5962.99.1.1.1"),
        ("SeriesInstanceUID", "1.3.6.1.4.1.5962.99.1.1"),
        ("StudyInstanceUID", "1.3.6.1.4.1.5962.99.1"),
    ):
        if keyword not in dataset:
            setattr(dataset, keyword, value)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


@pytest.fixture(scope="session")
def build() -> Callable[..., bytes]:
    return _build


@pytest.fixture
def anything_goes():
    """Let pydicom write values that break their VR, as real devices do."""
    before = (
        pydicom_config.settings.reading_validation_mode,
        pydicom_config.settings.writing_validation_mode,
    )
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE
    yield
    (
        pydicom_config.settings.reading_validation_mode,
        pydicom_config.settings.writing_validation_mode,
    ) = before
