"""Snapshots: the modules of patient and study, as they stood in the original."""

import io
import zlib

import pydicom
import pytest
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from deid.vault import modules, snapshot
from deid.vault.sealing import VaultTampered
from dicom.errors import DeidFault

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom's remarks about odd inputs


def in_modules(dataset):
    return {element.tag: element.value for element in dataset if modules.belongs(int(element.tag))}


def as_pydicom(taken):
    return read_dataset(
        io.BytesIO(snapshot.read(taken).encoded), is_implicit_VR=False, is_little_endian=True
    )


@pytest.mark.parametrize(
    "transfer_syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_a_snapshot_is_the_same_from_every_encoding(lab, transfer_syntax):
    """Text, numbers and sequences come out alike, whatever the transfer syntax was."""
    taken = snapshot.take(memoryview(lab.part10(lab.original(), transfer_syntax)))
    assert taken == snapshot.take(memoryview(lab.part10(lab.original())))
    back = as_pydicom(taken)
    assert in_modules(back) == in_modules(lab.original())
    assert back.PregnancyStatus == 4
    assert "Modality" not in back
    assert "SeriesDate" not in back


def test_real_objects_give_their_modules(real_objects):
    """Of every real object that can be read, pydicom reads the same modules from the snapshot."""
    count = 0
    for name, raw in real_objects:
        try:
            taken = snapshot.take(memoryview(raw))
        except DeidFault:
            continue
        wanted = pydicom.dcmread(io.BytesIO(raw), stop_before_pixels=True)
        assert in_modules(as_pydicom(taken)) == in_modules(wanted), name
        assert len(taken) < 2000, name
        count += 1
    assert count > 100


def test_the_study_and_its_values_can_be_asked(lab):
    """A snapshot tells its study and single values, without padding."""
    opened = snapshot.read(snapshot.take(memoryview(lab.part10(lab.original()))))
    assert opened.study_instance_uid == "1.3.6.1.4.1.5962.99.1"
    assert opened.value(modules.PATIENT_ID) == b"CNRY-48213"
    assert opened.value(0x0010_4000) == b""


@pytest.mark.parametrize("bad", [b"", b"\x02abc", b"\x01abc", b"\x01" + zlib.compress(b"abc")])
def test_bytes_that_are_no_snapshot_are_refused(bad):
    """What is of another version or broken ends in a fault of de-identification."""
    with pytest.raises(DeidFault):
        snapshot.read(bad)
    assert issubclass(VaultTampered, DeidFault)
