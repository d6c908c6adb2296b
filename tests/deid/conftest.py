"""Profiles and built objects for the tests of de-identification."""

import io
from collections.abc import Callable

import pydicom
import pytest
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from config.model import Profile as ProfileSettings
from config.model import Secret
from deid.profile import Profile, compile_profile

KEY = bytes(range(7, 7 + 32))


@pytest.fixture(scope="session")
def profile() -> Profile:
    settings = ProfileSettings(key=Secret(env="UNUSED"))
    return compile_profile("research", settings, KEY)


@pytest.fixture(scope="session")
def other_profile() -> Profile:
    settings = ProfileSettings(key=Secret(env="UNUSED"))
    return compile_profile("other", settings, bytes(reversed(KEY)))


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
