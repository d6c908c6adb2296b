"""Peek: the SOP UIDs at the head of any dataset that pydicom writes, and no fault on any bytes."""

import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmwrite
from pydicom.sequence import Sequence

from dicom.peek import HEAD_BYTES, SopUids, names, sop_uids

SYNTAXES = {
    "1.2.840.10008.1.2": (True, True),
    "1.2.840.10008.1.2.1": (False, True),
    "1.2.840.10008.1.2.2": (False, False),
    "1.2.840.10008.1.2.4.90": (False, True),
    "1.2.840.10008.1.2.1.99": (False, True),
}
uids = st.from_regex(r"[1-9]{1,5}(\.[1-9][0-9]{0,5}){1,8}", fullmatch=True)


def encode(dataset, syntax):
    implicit, little = SYNTAXES[syntax]
    raw = io.BytesIO()
    dcmwrite(raw, dataset, implicit_vr=implicit, little_endian=little)
    data = raw.getvalue()
    if syntax.endswith(".99"):
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = packer.compress(data) + packer.flush()
    return data


@st.composite
def datasets(draw):
    dataset = Dataset()
    if draw(st.booleans()):
        dataset.SpecificCharacterSet = draw(st.sampled_from(["ISO_IR 100", ["", "ISO 2022 IR 87"]]))
    if draw(st.booleans()):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "X" * draw(st.integers(0, 16))]
    if draw(st.booleans()):
        dataset.InstanceCreationDate = "20260101"
    names = SopUids(draw(uids | st.just("")), draw(uids | st.just("")))
    if names.sop_class_uid:
        dataset.SOPClassUID = names.sop_class_uid
    if names.sop_instance_uid:
        dataset.SOPInstanceUID = names.sop_instance_uid
    dataset.Modality = "CT"
    dataset.ReferencedImageSequence = Sequence([Dataset()])
    dataset.PixelData = bytes(draw(st.integers(0, 50)) * 2)
    dataset["PixelData"].VR = "OW"
    return dataset, names


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(made=datasets())
@settings(max_examples=60, deadline=None)
def test_finds_what_pydicom_wrote(syntax, made):
    """In each encoding, both UIDs are read as they were written, or are empty where absent."""
    dataset, names = made
    assert sop_uids(encode(dataset, syntax)[:HEAD_BYTES], syntax) == names


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(made=datasets(), kept=st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_a_head_that_ends_anywhere_never_gives_a_wrong_uid(syntax, made, kept):
    """Cut off at any byte, each UID is the right one or empty."""
    dataset, names = made
    found = sop_uids(encode(dataset, syntax)[:kept], syntax)
    assert found.sop_class_uid in {"", names.sop_class_uid}
    assert found.sop_instance_uid in {"", names.sop_instance_uid}


@given(head=st.binary(max_size=200), syntax=st.sampled_from([*SYNTAXES, "1.2.3", ""]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_no_fault(head, syntax):
    """Whatever the bytes are, the answer is a pair of texts."""
    found = sop_uids(head, syntax)
    assert isinstance(found.sop_class_uid + found.sop_instance_uid, str)


@pytest.mark.parametrize(("written", "read"), [(0, 1), (1, 0), (0, 2), (2, 1)])
def test_another_encoding_than_negotiated_is_left_to_the_parser(written, read):
    """A dataset in another encoding than its context's gives no UIDs that differ from its own."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = "1.2.3", "1.2.3.4", "CT"
    syntaxes = list(SYNTAXES)
    found = sop_uids(encode(dataset, syntaxes[written]), syntaxes[read])
    assert found in {SopUids(), SopUids("1.2.3", "1.2.3.4")}


@given(made=datasets(), syntax=st.sampled_from(sorted(SYNTAXES)), other=uids)
@settings(max_examples=100)
def test_the_quick_look_agrees(made, syntax, other):
    """What the quick look says yes to is what the walk finds, and it knows the usual encodings."""
    head = encode(made[0], syntax)[:HEAD_BYTES]
    found = sop_uids(head, syntax)
    if found.sop_class_uid and found.sop_instance_uid:
        usual = syntax not in {"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
        assert names(head, syntax, found) == usual
        assert not names(head, syntax, SopUids(found.sop_class_uid, other + ".9.9"))
        assert not names(head, syntax, SopUids(other + ".9.9", found.sop_instance_uid))
