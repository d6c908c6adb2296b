"""A dataset that was cut is known by its lengths; a whole one never is taken for cut."""

import io
from pathlib import Path

import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import dcmwrite

from dicom.extent import breaks_off

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


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
    assert not breaks_off(io.BytesIO(whole), transfer_syntax_uid)
    unseen = [
        cut
        for cut in range(1, len(whole))
        if not breaks_off(io.BytesIO(whole[:cut]), transfer_syntax_uid)
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
def test_real_objects_are_whole(path: Path):
    """A real object is taken for cut only where it is."""
    meta = read_file_meta_info(path)
    with path.open("rb") as stream:
        stream.seek(meta.FileMetaInformationGroupLength + 144)
        cut = breaks_off(stream, str(meta.get("TransferSyntaxUID", EXPLICIT)))
    assert cut == (path.name in TRUNCATED)
