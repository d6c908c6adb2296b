"""Transcoding: pixels byte for byte, values as they were, and a refusal where that cannot be."""

import importlib.metadata
import io
import shutil
import struct
import subprocess
import warnings
import zlib
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from dicom.context import TRANSFER_SYNTAXES
from dicom.encoding import DEFLATED, LONG_VRS
from dicom.errors import CannotUnderstand, Refused
from dicom.native import Native
from dicom.store_scu import encoded_dataset
from dicom.transcode import EXPLICIT_LITTLE, IMPLICIT_LITTLE, substitutes, transcode
from node.sending import describe

BIG = "1.2.840.10008.1.2.2"
DEFLATE = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
REWRITTEN = {0x00280004, 0x00280006, 0x7FE00010}
"""Photometric Interpretation, Planar Configuration, Pixel Data: they say how pixels are written."""
OBSOLETE = {0x7FE00001, 0x7FE00002, 0x7FE00003}
UNREADABLE = {
    "JPEG-lossy.dcm", "JPGExtended.dcm", "MR_truncated.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm", "SC_rgb_jpeg.dcm", "rtplan_truncated.dcm",
    "emri_small_jpeg_2k_lossless_too_short.dcm", "rtdose_expb.dcm", "rtdose_expb_1frame.dcm",
}  # fmt: skip
"""Broken on purpose, of 12 bits that no codec here reads, or ambiguous: they are refused."""
MOST_BYTES = 250_000
ODD = {"badVR.dcm"}
"""Its VRs are not the dictionary's, so that implicit VR says something else."""


def is_wanted(path):
    """Small enough to be quick, and a DICOM object."""
    return path.name not in ODD and path.stat().st_size < MOST_BYTES and describe(path)


def _files():
    """Real objects from pydicom and pydicom-data, by name."""
    inside = Path(pydicom.data.__file__).parent
    found = [*(inside / "test_files").glob("*.dcm"), *(inside / "charset_files").glob("*.dcm")]
    listed = importlib.metadata.files("pydicom-data") or []
    found += [Path(str(one.locate())) for one in listed if one.name.endswith(".dcm")]
    return {one.name: one for one in found if is_wanted(one)}


FILES = _files()
PAIRS = [
    pytest.param(path, target, id=f"{name}-{UID(target).name[:8]}")
    for name, path in sorted(FILES.items())
    for target in substitutes(describe(path).transfer_syntax_uid)
]


def made(part10, target, syntax=None):
    file = dcmread(io.BytesIO(part10), stop_before_pixels=True)
    own = syntax or str(file.file_meta.TransferSyntaxUID)
    source = (str(file.get("SOPClassUID", "1.2")), str(file.get("SOPInstanceUID", "1.3")), own)
    return b"".join(transcode([part10], encoded_dataset([part10]), source, target))


def pixels(dataset):
    """Decode pixels as they are kept; None where there are none."""
    return dataset.pixel_array if "PixelData" in dataset and "Rows" in dataset else None


def raw(dataset):
    """Values by tag, for what an object says beside its pixels."""
    with disable_value_validation():
        return {
            one.tag: one
            for one in dataset
            if one.tag.element and one.tag not in REWRITTEN | OBSOLETE
        }


def same(one, other, *, swapped):
    if one.VR == "SQ":
        return len(one.value) == len(other.value)
    if swapped and one.VR in {"OW", "UN"}:
        return len(one.value) == len(other.value)
    if one.tag.is_private or "UN" in {one.VR, other.VR}:
        return True  # implicit VR does not say what they are; their bytes are compared below
    return repr(one.value) == repr(other.value)


@pytest.mark.filterwarnings("ignore")  # of pydicom, about what is odd in these files
@pytest.mark.parametrize(("path", "target"), PAIRS)
def test_real_objects_keep_their_pixels_and_values(path, target):
    """Each real object reads the same in the other transfer syntax; what cannot be is refused."""
    whole = path.read_bytes()
    if path.name in UNREADABLE:
        with pytest.raises(Refused, match="cannot be given in"):
            made(whole, target)
        return
    before, after = dcmread(path), dcmread(io.BytesIO(made(whole, target)))
    assert after.file_meta.TransferSyntaxUID == target
    assert after.file_meta.MediaStorageSOPInstanceUID == before.get("SOPInstanceUID", "1.3")
    own = str(before.file_meta.TransferSyntaxUID)
    said, says = raw(before), raw(after)
    assert said.keys() == says.keys()
    assert [t for t in said if not same(said[t], says[t], swapped=own == BIG)] == []
    if (expected := pixels(before)) is not None:
        found = pixels(after)
        assert found.dtype.itemsize == expected.dtype.itemsize
        assert found.shape == expected.shape
        assert (found == expected).all()
    if UID(own).is_compressed and own != DEFLATE:  # what native pixels cannot be in (PS3.5 8.2)
        assert after.get("PhotometricInterpretation") not in {"YBR_RCT", "YBR_ICT", "YBR_FULL_422"}
    for tag in (0x00282110, 0x00282112, 0x00282114):  # Lossy Image Compression, ratio, method
        assert repr(after.get(tag)) == repr(before.get(tag))


def test_many_kinds_are_among_the_real_objects():
    """The test above sees each native syntax, RLE, and lossless and lossy ones of every JPEG."""
    kinds = {describe(path).transfer_syntax_uid for path in FILES.values()}
    jpegs = {f"1.2.840.10008.1.2.4.{number}" for number in ("50", "70", "80", "81", "90", "91")}
    assert kinds >= {IMPLICIT_LITTLE, EXPLICIT_LITTLE, BIG, DEFLATE, RLE} | jpegs
    assert len(PAIRS) > 150


TWINS = [
    ("SC_rgb_rle.dcm", "SC_rgb.dcm"), ("SC_rgb_rle_2frame.dcm", "SC_rgb_2frame.dcm"),
    ("MR_small_RLE.dcm", "MR_small.dcm"), ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
    ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"), ("emri_small_RLE.dcm", "emri_small.dcm"),
    ("emri_small_jpeg_ls_lossless.dcm", "emri_small.dcm"),
    ("emri_small_jpeg_2k_lossless.dcm", "emri_small.dcm"),
    ("rtdose_rle.dcm", "rtdose.dcm"), ("MR_small_bigendian.dcm", "MR_small.dcm"),
    ("MR_small_expb.dcm", "MR_small.dcm"), ("image_dfl.dcm", None),
]  # fmt: skip


@pytest.mark.parametrize(("compressed", "twin"), TWINS)
def test_pixels_are_those_of_the_uncompressed_twin(compressed, twin):
    """Where a file exists compressed and not, the bytes of Pixel Data come out as in the other."""
    if compressed not in FILES or (twin and twin not in FILES):
        pytest.skip("this release of pydicom has no such pair")
    after = dcmread(io.BytesIO(made(FILES[compressed].read_bytes(), EXPLICIT_LITTLE)))
    if twin is None:
        assert pixels(after).any()
        return
    before = dcmread(FILES[twin])
    if after.get("PlanarConfiguration") == before.get("PlanarConfiguration"):
        assert after.PixelData == before.PixelData
    assert (pixels(after) == pixels(before)).all()


JUDGES = {
    "1.2.840.10008.1.2.4.57": "dcmdjpeg", "1.2.840.10008.1.2.4.70": "dcmdjpeg",
    "1.2.840.10008.1.2.4.80": "dcmdjpls", RLE: "dcmdrle",
    BIG: "dcmconv", DEFLATE: "dcmconv", IMPLICIT_LITTLE: "dcmconv",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", JUDGES)
def test_dcmtk_makes_the_same_of_it(syntax, tmp_path):
    """DCMTK's own tools, given the same object, write the same Pixel Data."""
    tool = shutil.which(JUDGES[syntax])
    if tool is None:
        pytest.skip(f"{JUDGES[syntax]} is not installed (Debian: apt-get install dcmtk)")
    compared = 0
    for path in FILES.values():
        if path.name in UNREADABLE or describe(path).transfer_syntax_uid != syntax or compared > 4:
            continue
        judged = tmp_path / path.name
        done = subprocess.run([tool, "+te", path, judged], capture_output=True, check=False)
        if done.returncode or "PixelData" not in (theirs := dcmread(judged)):
            continue
        ours = dcmread(io.BytesIO(made(path.read_bytes(), EXPLICIT_LITTLE)))
        if ours.get("PlanarConfiguration") == theirs.get("PlanarConfiguration"):
            assert ours.PixelData == theirs.PixelData, path.name
            compared += 1
    assert compared or syntax == "1.2.840.10008.1.2.4.57"


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_substitutes_are_native_and_others(syntax):
    """What an object can be given in instead is never its own syntax, and never compressed."""
    found = substitutes(syntax)
    assert set(found) <= {EXPLICIT_LITTLE, IMPLICIT_LITTLE} - {syntax}
    assert found in {(), (EXPLICIT_LITTLE, IMPLICIT_LITTLE), (EXPLICIT_LITTLE,), (IMPLICIT_LITTLE,)}
    if ".4.10" in syntax and syntax.rpartition(".")[2] in {"100", "101", "102", "103"}:
        assert found == (), "video cannot be decoded"


def dataset():
    """An object with what is hard: private and long values, nested sequences, ambiguous VRs."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    image.PatientName = "A^B"
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "deep"
    outer = Dataset()
    outer.PurposeOfReferenceCodeSequence = Sequence([inner])
    image.SourceImageSequence = Sequence([outer, Dataset()])
    image.add_new(0x00091010, "LO", "x")
    image.add_new(0x00090010, "LO", "CREATOR")
    image.PixelRepresentation, image.BitsAllocated, image.BitsStored = 1, 16, 16
    image.SmallestImagePixelValue = -5
    image.Rows, image.Columns, image.SamplesPerPixel, image.HighBit = 2, 2, 1, 15
    image.PhotometricInterpretation = "MONOCHROME2"
    image.PixelData = b"\1\2\3\4\5\6\7\x08"
    image["PixelData"].VR = "OW"
    return image


def written(image, syntax):
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("first", [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
@pytest.mark.parametrize("second", [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
def test_there_and_back_says_the_same(first, second):
    """Signed values, sequences and private values survive implicit VR and the way back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = written(dataset(), first)
    other = made(whole, second) if first != second else whole
    back = dcmread(io.BytesIO(made(other, first) if first != second else other))
    assert back.SmallestImagePixelValue == -5
    assert back.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeMeaning == "deep"
    assert len(back.SourceImageSequence) == 2
    assert back.PixelData == b"\1\2\3\4\5\6\7\x08"
    assert bytes(str(back[0x00091010].value), "ascii").strip(b"b' ") in {b"x", b"x "}


def test_a_value_too_long_for_its_vr_is_kept():
    """A public value longer than its explicit VR can say is written as UN, byte for byte."""
    long = b"1.5\\" * 20_000 + b"1 "
    tag = b"\x28\x00\x10\x00"  # Rows, of all things
    whole = memoryview(tag + len(long).to_bytes(4, "little") + long)
    out = b"".join(Native(whole, IMPLICIT_LITTLE, explicit=True).pieces())
    assert out == tag + b"UN\0\0" + len(long).to_bytes(4, "little") + long


@pytest.mark.parametrize("syntax", sorted(DEFLATED))
def test_a_bomb_is_refused(syntax):
    """What is no deflated dataset, or inflates to no dataset, is refused and not sent."""
    if not substitutes(syntax):
        return
    whole = written(dataset(), EXPLICIT_LITTLE)
    head = whole[: whole.index(b"1.2.840.10008.1.2.1") - 8]
    assert head
    for body in (b"\xff" * 100, zlib.compress(b"\0" * 100, wbits=-15)):
        with pytest.raises(Refused):
            transcode([b""], [memoryview(body)], ("1.2", "1.3", syntax), EXPLICIT_LITTLE)


def test_a_deflated_dataset_that_breaks_off_is_refused():
    """Where the end is missing, what came before it does not pass for the whole object."""
    deflate = zlib.compressobj(wbits=-15)
    first = deflate.compress(element(0x00100020, b"LO", b"N1"))
    first += deflate.flush(zlib.Z_FULL_FLUSH)
    whole = first + deflate.compress(element(0x00180050, b"DS", b"1 ")) + deflate.flush()
    source = ("1.2", "1.3", DEFLATE)
    assert transcode([b""], [memoryview(whole)], source, EXPLICIT_LITTLE)
    for torn in (first, whole[:-3]):
        with pytest.raises(Refused, match="breaks off"):
            transcode([b""], [memoryview(torn)], source, EXPLICIT_LITTLE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm"]
)
def test_samples_longer_than_the_dataset_says_are_refused(name):
    """A codestream of 16 bits in an object of 8 is not cut to 8, as decoders do without a word."""
    image = dcmread(FILES[name])
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    buffer = io.BytesIO()
    image.save_as(buffer)
    with pytest.raises(Refused, match=r"its samples have 16 bits|cannot be decoded here"):
        made(buffer.getvalue(), EXPLICIT_LITTLE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("colours", ["YBR_PARTIAL_422", "YBR_PARTIAL_420", "NONSENSE"])
def test_colours_that_native_pixels_cannot_have_are_refused(colours):
    """Pixels of full resolution never claim to be subsampled, or to be what nobody knows."""
    image = dcmread(FILES["SC_rgb_dcmtk_+eb+cy+np.dcm"])
    image.PhotometricInterpretation = colours
    buffer = io.BytesIO()
    image.save_as(buffer)
    with pytest.raises(Refused, match=r"native pixels cannot be in|cannot be decoded here"):
        made(buffer.getvalue(), EXPLICIT_LITTLE)


BIG_VALUES = {
    (0x00280009, b"AT"): (b"\x00\x18\x10\x63", b"\x18\x00\x63\x10"),
    (0x00189073, b"FD"): (bytes(range(8)), bytes(range(8))[::-1]),
    (0x00189087, b"FL"): (bytes(range(4)), bytes(range(4))[::-1]),
    (0x0040A161, b"OL"): (bytes(range(8)), b"\3\2\1\0\7\6\5\4"),
    (0x00660016, b"OF"): (bytes(range(8)), b"\3\2\1\0\7\6\5\4"),
    (0x00660022, b"OD"): (bytes(range(8)), bytes(range(8))[::-1]),
    (0x00720082, b"SV"): (bytes(range(8)), bytes(range(8))[::-1]),
    (0x00720083, b"UV"): (bytes(range(8)), bytes(range(8))[::-1]),
    (0x7FE00001, b"OV"): (bytes(range(8)), bytes(range(8))[::-1]),
    (0x00081161, b"UL"): (bytes(range(4)), bytes(range(4))[::-1]),
    (0x00189219, b"SS"): (b"\1\2", b"\2\1"),
    (0x00283006, b"OW"): (b"\1\2\3\4", b"\2\1\4\3"),
    (0x00420011, b"OB"): (b"\1\2\3\4", b"\1\2\3\4"),
    (0x00091001, b"UN"): (b"\1\2\3\4", b"\1\2\3\4"),
    (0x00080102, b"SH"): (b"DCM ", b"DCM "),
}


@pytest.mark.parametrize(("tag", "vr"), BIG_VALUES)
def test_numbers_in_big_endian_are_turned_round(tag, vr):
    """Every VR of numbers is swapped in its own units, and text and bytes are not (PS3.5 7.3),
    also within a sequence of either kind of length."""
    before, after = BIG_VALUES[tag, vr]
    inside = element(tag, vr, before, ">")
    item = struct.pack(">HHL", 0xFFFE, 0xE000, len(inside)) + inside
    ends = struct.pack(">HHL", 0xFFFE, 0xE0DD, 0)
    for nested in (
        inside,
        struct.pack(">HH2sxxL", 0x0008, 0x1115, b"SQ", len(item)) + item,
        struct.pack(">HH2sxxL", 0x0008, 0x1115, b"SQ", 0xFFFFFFFF) + item + ends,
    ):
        out = b"".join(Native(memoryview(nested), BIG, explicit=True).pieces())
        assert element(tag, vr, after) in out
        assert dcmread(io.BytesIO(out), force=True) is not None


def element(tag, vr, value, order="<"):
    """Write an element in explicit VR."""
    if vr in LONG_VRS:
        return struct.pack(order + "HH2sxxL", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    return struct.pack(order + "HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def test_a_private_sequence_survives_without_its_vr():
    """UN of undefined length is a sequence in implicit VR (PS3.5 6.2.2), also where explicit VR
    is read and written: its items say what they said."""
    inside = struct.pack("<HHL", 0x0009, 0x1002, 4) + b"abcd"
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(inside)) + inside
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    creator = element(0x00090010, b"LO", b"CREATOR ")
    whole = creator + struct.pack("<HH2sxxL", 9, 0x1001, b"UN", 0xFFFFFFFF) + item + end
    plain = b"".join(Native(memoryview(whole), EXPLICIT_LITTLE, explicit=False).pieces())
    again = b"".join(Native(memoryview(plain), IMPLICIT_LITTLE, explicit=True).pieces())
    direct = b"".join(Native(memoryview(whole), EXPLICIT_LITTLE, explicit=True).pieces())
    assert again == direct
    assert element(0x00091002, b"UN", b"abcd") in again
    assert again.startswith(creator)


@given(st.binary(max_size=300), st.sampled_from([IMPLICIT_LITTLE, EXPLICIT_LITTLE, BIG, RLE]))
def test_garbage_is_refused_or_rewritten(data, syntax):
    """Any bytes either have lengths that fit, or are refused; nothing else happens."""
    for explicit in (True, False):
        try:
            out = b"".join(Native(memoryview(data), syntax, explicit=explicit).pieces())
        except CannotUnderstand:
            continue
        assert isinstance(out, bytes)
