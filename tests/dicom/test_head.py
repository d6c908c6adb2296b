"""The catalogue is read as pydicom reads it; a dataset that was cut is known by its lengths."""

import contextlib
import io
from pathlib import Path
from typing import BinaryIO

import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import dcmwrite

from dicom import head
from dicom.attributes import CATALOGUE
from dicom.errors import CannotUnderstand

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


def never() -> BinaryIO:
    """Stand where the forgiving parser must not be asked."""
    raise AssertionError("the walk found this odd")


def breaks_off(dataset: bytes, transfer_syntax_uid: str) -> bool:
    try:
        head.read(memoryview(dataset), transfer_syntax_uid, never)
    except CannotUnderstand as fault:
        return "breaks off" in str(fault)
    return False


def encoded(transfer_syntax_uid: str, *, undefined: bool) -> bytes:
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "X1", "meaning"
    head = Dataset()
    head.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    head.ProcedureCodeSequence = [inner, inner]
    head["ProcedureCodeSequence"].is_undefined_length = undefined
    for item in head.ProcedureCodeSequence:
        item.is_undefined_length_sequence_item = undefined
    head.PatientComments = "words of some length"
    head.Rows, head.Columns, head.BitsAllocated = 2, 2, 16
    head.add_new(0x7FE00010, "OW", bytes(8))
    stream = io.BytesIO()
    dcmwrite(stream, head, implicit_vr=transfer_syntax_uid == IMPLICIT,
             little_endian=transfer_syntax_uid != BIG)  # fmt: skip
    return stream.getvalue()


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize("undefined", [False, True])
def test_every_cut_is_seen(transfer_syntax_uid: str, undefined: bool):
    """Cut anywhere but between two top-level elements, a dataset breaks off."""
    whole = encoded(transfer_syntax_uid, undefined=undefined)
    assert not breaks_off(whole, transfer_syntax_uid)
    unseen = [
        cut for cut in range(1, len(whole)) if not breaks_off(whole[:cut], transfer_syntax_uid)
    ]
    assert len(unseen) == 6, "the gaps between seven elements"


TRUNCATED = {"rtplan_truncated.dcm", "MR_truncated.dcm"}


def real_files() -> list[Path]:
    """List pydicom's own Part 10 files whose meta group says where the dataset begins."""
    folder = Path(pydicom.data.__file__).parent / "test_files"
    files = sorted(folder.glob("*.dcm"))
    return [file for file in files if file.read_bytes()[128:140] == b"DICM\2\0\0\0UL\4\0"]


@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore")
def test_real_objects_read_as_pydicom_reads_them(path: Path):
    """A real object gives the texts that pydicom gives, or breaks off where it really does."""
    meta = read_file_meta_info(path)
    syntax = str(meta.get("TransferSyntaxUID", EXPLICIT))
    dataset = path.read_bytes()[meta.FileMetaInformationGroupLength + 144 :]
    try:
        found = head.read(memoryview(dataset), syntax, lambda: path.open("rb"))
    except CannotUnderstand:
        assert path.name in TRUNCATED
        return
    assert path.name not in TRUNCATED
    assert found == head.of_dataset(dcmread(path))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_is_a_fault_or_a_reading(syntax: str, data: st.DataObject):
    """Whatever bytes come, the walk ends: with texts, a fault, or a question to the parser."""
    whole = bytearray(encoded(syntax, undefined=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    asked: list[None] = []

    def forgiving() -> BinaryIO:
        asked.append(None)
        return io.BytesIO(b"")

    with contextlib.suppress(CannotUnderstand):
        found = head.read(memoryview(bytes(whole)), syntax, forgiving)
        assert not asked
        assert set(found) <= set(CATALOGUE)


def test_nothing_is_no_dataset():
    """An object without any element is refused in words."""
    with pytest.raises(CannotUnderstand, match="no elements"):
        head.read(memoryview(b""), EXPLICIT, never)
