"""The file meta says where the dataset begins, however it was written."""

from pathlib import Path

import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from dicom.entity import Arrival
from dicom.errors import CannotUnderstand
from dicom.meta import (
    OWN_END,
    OWN_START_BYTES,
    dataset_offset,
    own_dataset_offset,
    read_meta,
)  # fmt: skip
from dicom.part10 import file_meta

FILES = Path(pydicom.data.__file__).parent / "test_files"


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "no_meta_group_length.dcm", "image_dfl.dcm", "ExplVR_BigEnd.dcm"]
)
def test_real_files(name):
    """With or without its group length, the meta of a real file is read as pydicom reads it."""
    content = (FILES / name).read_bytes()
    found, expected = read_meta(content), dcmread(FILES / name, stop_before_pixels=True).file_meta
    assert found.sop_instance_uid == expected.MediaStorageSOPInstanceUID
    assert found.sop_class_uid == expected.MediaStorageSOPClassUID
    assert found.transfer_syntax_uid == expected.TransferSyntaxUID
    assert content[found.dataset_offset :][:1] != b"\2"


def test_a_head_is_enough(part10):
    """The group is read of a file's first bytes; one that breaks off inside it is not."""
    whole = part10(b"dataset")
    offset = read_meta(whole).dataset_offset
    assert whole[offset:] == b"dataset"
    assert read_meta(whole[:offset]).dataset_offset == offset
    for length in range(offset):
        with pytest.raises(CannotUnderstand):
            read_meta(whole[:length])


@given(st.binary(max_size=400))
def test_no_bytes_break_it(content):
    """Any bytes are read or refused."""
    for file in (content, b"\0" * 128 + b"DICM" + content):
        try:
            assert read_meta(file).dataset_offset <= len(file)
        except CannotUnderstand:
            continue


@pytest.mark.parametrize("begins", [b"\x08\0", b"\2\0\x10\0UI\4\x001.2\0", b"\2\0\0\0\4\0\0\0"])
def test_our_own_meta_ends_where_we_ended_it(begins):
    """A dataset that begins as a file meta would is not taken for more of it."""
    told = Arrival("1.2.3", "1.2.3.4", "1.2.840.10008.1.2.1", "", "", "", "", 0.0)
    meta = file_meta(told)
    assert own_dataset_offset(meta + begins) == len(meta)
    assert own_dataset_offset(memoryview(meta)[:OWN_START_BYTES]) == len(meta)
    for length in (0, 131, OWN_START_BYTES - 1):
        with pytest.raises(CannotUnderstand):
            own_dataset_offset(meta[:length])
    with pytest.raises(CannotUnderstand, match="no file of this node"):
        own_dataset_offset((FILES / "no_meta_group_length.dcm").read_bytes())


@pytest.mark.parametrize("begins", [b"\x08\0", b"\2\0\x10\0UI\4\x001.2\0", b""])
def test_any_dataset_is_found_where_it_begins(begins):
    """In our own file as we wrote it; by a walk in others, whatever they declare."""
    told = Arrival("1.2.3", "1.2.3.4", "1.2.840.10008.1.2.1", "", "", "", "", 0.0)
    meta = file_meta(told)
    assert meta.endswith(OWN_END)
    assert dataset_offset(meta + begins) == dataset_offset(memoryview(meta + begins)) == len(meta)
    other = meta.replace(OWN_END, b"\2\0\x13\0SH\4\0ELSE")
    for declared in (0, 7, len(other) - OWN_START_BYTES, len(OWN_END), 2**32 - 1):
        lying = bytearray(other + b"\x08\0\5\0CS\0\0" + OWN_END)
        lying[OWN_START_BYTES - 4 : OWN_START_BYTES] = declared.to_bytes(4, "little")
        assert dataset_offset(bytes(lying)) == len(other)
    for length in (0, 131, OWN_START_BYTES, len(meta) - 1):
        with pytest.raises(CannotUnderstand):
            dataset_offset(meta[:length])
