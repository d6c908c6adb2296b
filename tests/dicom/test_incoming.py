"""Files from outside: each form of DICOM file is known, and what is cut or none is refused."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom.errors import CannotUnderstand
from dicom.incoming import MEDIA_DIRECTORY, Incoming, examine


def written(syntax: str = ExplicitVRLittleEndian, **changed: str) -> bytes:
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "2.25.3"
    image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1", "2.25.2"
    image.PatientName, image.PixelData = "A^B", bytes(64)
    image["PixelData"].VR = "OW"
    for keyword, value in changed.items():
        setattr(image, keyword, value)
    out = io.BytesIO()
    image.ensure_file_meta()
    image.file_meta.TransferSyntaxUID = syntax
    dcmwrite(out, image, enforce_file_format=True)
    return out.getvalue()


def look(content: bytes) -> Incoming:
    return examine(content, lambda: io.BytesIO(content))


WHOLE = written()
START = look(WHOLE).dataset_offset
ELEMENTS = dcmread(io.BytesIO(WHOLE))
ENDS = {at - START for at in range(START, len(WHOLE)) if WHOLE[at : at + 4] in {
    each.tag.group.to_bytes(2, "little") + each.tag.elem.to_bytes(2, "little") for each in ELEMENTS
}}  # fmt: skip
"""Where one element ends and the next begins: a file that was cut there is whole by its bytes."""
FORMS = {
    "part 10": (WHOLE, START),
    "without preamble": (WHOLE[128:], START - 128),
    "without preamble and prefix": (WHOLE[132:], START - 132),
    "bare": (WHOLE[START:], 0),
}


@pytest.mark.parametrize(("content", "offset"), FORMS.values(), ids=FORMS)
def test_every_form_is_known(content, offset):
    """Preamble, prefix and file meta may be missing, as long as there is one way to read it."""
    found = look(content)
    assert found == Incoming("1.2.840.10008.5.1.4.1.1.2", "2.25.3", ExplicitVRLittleEndian, offset)
    assert content[found.dataset_offset :] == WHOLE[START:]


def test_a_bare_dataset_in_implicit_vr_is_known():
    """The other usual encoding is told from the first by its bytes."""
    whole = written(ImplicitVRLittleEndian)
    bare = whole[look(whole).dataset_offset :]
    assert look(bare).transfer_syntax_uid == ImplicitVRLittleEndian


@pytest.mark.parametrize("form", FORMS)
@given(st.data())
def test_a_cut_file_is_never_taken(form, data):
    """Wherever within an element a file ends, it is refused."""
    content, offset = FORMS[form]
    length = data.draw(st.integers(0, len(content) - 1).filter(lambda n: n - offset not in ENDS))
    with pytest.raises(CannotUnderstand):
        look(content[:length])


def test_the_dataset_has_the_word():
    """Where file meta and dataset name different objects, the dataset's is meant."""
    stale = WHOLE.replace(b"2.25.3", b"2.25.9", 1)
    assert look(stale).sop_instance_uid == "2.25.3"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("value", ["", "../../etc"])
def test_unusable_uids_are_refused(keyword, value):
    """An object without usable UIDs could not be filed; the UID itself is not repeated."""
    whole = written(**({keyword: "1.2.3"}))
    dataset = dcmread(io.BytesIO(whole))
    dataset.data_element(keyword).validation_mode = 0
    dataset.data_element(keyword)._value = value
    out = io.BytesIO()
    dcmwrite(out, dataset)
    with pytest.raises(CannotUnderstand, match=f"{keyword} is") as fault:
        look(out.getvalue())
    assert "etc" not in str(fault.value)


def test_a_media_directory_is_known_as_one():
    """A DICOMDIR is no object, and no fault."""
    content = Path(str(get_testdata_file("DICOMDIR"))).read_bytes()
    assert look(content).sop_class_uid == MEDIA_DIRECTORY


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content):
    """Whatever a file holds, it is refused in words or has usable UIDs."""
    with pytest.raises(CannotUnderstand):
        look(content)
