"""Without its pixels an object is de-identified as it is with them, and refused as it is."""

import io

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian

from deid.apply import deidentify, deidentify_head
from dicom.errors import DeidFault, NotClean

pytestmark = pytest.mark.p4

FILES = ("CT_small.dcm", "MR_small.dcm", "US1_J2KR.dcm", "JPEG2000.dcm", "rtplan.dcm",
         "reportsi.dcm", "ExplVR_BigEnd.dcm", "image_dfl.dcm")  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("base", ["basic", "research"])
def test_a_head_is_that_of_the_whole_object(compiled, name, base):
    """Each element but the pixels is the same, byte for byte, and so are the names it leaves by."""
    part10 = pydicom.data.get_testdata_file(name, download=False)
    with open(part10, "rb") as file:  # noqa: PTH123  (pydicom gives text)
        content = file.read()
    profile = compiled(base)
    try:
        whole = deidentify(content, profile)
    except DeidFault as fault:
        with pytest.raises(type(fault)):
            deidentify_head(content, profile)
        return
    head = deidentify_head(content, profile)
    assert head.sop_instance_uid == whole.sop_instance_uid
    assert head.patient_pseudonym == whole.patient_pseudonym
    read = [pydicom.dcmread(io.BytesIO(b"".join(one.chunks))) for one in (whole, head)]
    assert "PixelData" not in read[1]
    read[0].pop("PixelData", None)
    assert read[0] == read[1]


def test_a_head_is_refused_where_the_object_is(compiled, build):
    """What burned-in text keeps from leaving has no head that leaves either."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.BurnedInAnnotation = "YES"
    for profile in (compiled("basic"), compiled("research")):
        with pytest.raises(NotClean):
            deidentify_head(build(dataset, ImplicitVRLittleEndian), profile)


def test_what_is_no_object_is_a_fault(compiled):
    """Bytes that break off, or are none of DICOM, end in a DeidFault and nothing else."""
    for content in (b"", b"x" * 500, b"\0" * 128 + b"DICM" + b"\xff" * 40):
        with pytest.raises(DeidFault):
            deidentify_head(content, compiled("basic"))
