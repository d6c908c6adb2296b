"""The catalogue is read as pydicom reads it; a dataset that was cut is known by its lengths."""

import io
import re
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import BinaryIO

import data_store
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.filewriter import dcmwrite

from dicom import head, walk
from dicom.attributes import CATALOGUE, DERIVED, SEQUENCES
from dicom.encoding import DEFLATED
from dicom.entity import Arrival
from dicom.errors import CannotUnderstand
from dicom.part10 import HEAD_LIMIT_BYTES, file_meta, read_head, text

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
        cut for cut in range(2, len(whole)) if not breaks_off(whole[:cut], transfer_syntax_uid)
    ]
    # In big endian a tag may begin with a zero, and that alone is taken for padding.
    zeros = [cut for cut in unseen if whole[cut - 1 : cut] == b"\0" and cut - 1 in unseen]
    assert len(zeros) == (5 if transfer_syntax_uid == BIG else 0)
    assert len(unseen) - len(zeros) == 6, "the gaps between seven elements"


TRUNCATED = {
    "rtplan_truncated.dcm",
    "MR_truncated.dcm",
    "emri_small_jpeg_2k_lossless_too_short.dcm",
}


def real_files() -> list[Path]:
    """List pydicom's own Part 10 files whose meta group says where the dataset begins."""
    folders = [Path(pydicom.data.__file__).parent, Path(data_store.__path__[0])]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return [file for file in files if file.read_bytes()[128:140] == b"DICM\2\0\0\0UL\4\0"]


def decoded(dataset: Dataset) -> dict[str, str]:
    """Read the catalogue with pydicom's own decoding alone; numbers in text as written."""
    out = {}
    for keyword in (CATALOGUE.keys() - DERIVED) & set(dataset.dir()):
        element = dataset[keyword]
        if element.VR != "SQ" and not element.is_empty:
            values = element.value if element.VM > 1 else [element.value]
            is_number = element.VR in {"DS", "IS"}
            texts = [getattr(one, "original_string", one) if is_number else one for one in values]
            out[keyword] = "\\".join(str(text).strip() for text in texts)
    return {keyword: text for keyword, text in out.items() if text}


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
    # pydicom drops an empty last group of a name.
    assert {key: text.rstrip("=") for key, text in plain(found).items()} == decoded(dcmread(path))


def part10(dataset: bytes, transfer_syntax_uid: str) -> io.BytesIO:
    told = Arrival("1.2.3", "1.2.3", transfer_syntax_uid, "", "", "", "", 0.0)
    return io.BytesIO(file_meta(told) + dataset)


def as_pydicom(dataset: bytes, transfer_syntax_uid: str) -> head.Texts:
    return head.of_dataset(
        read_dataset(
            io.BytesIO(dataset),
            is_implicit_VR=transfer_syntax_uid == IMPLICIT,
            is_little_endian=transfer_syntax_uid != BIG,
            stop_when=lambda tag, *_: tag == 0x7FE00010,
        )
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damage_is_a_fault_or_a_reading(syntax: str, data: st.DataObject):
    """Whatever bytes come, there is a fault, or what pydicom reads in them; mapped or as a file."""
    damaged = bytearray(encoded(syntax, undefined=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(damaged)
    try:
        found = head.read(memoryview(whole), syntax, lambda: part10(whole, syntax))
    except CannotUnderstand as fault:
        with pytest.raises(CannotUnderstand, match=re.escape(str(fault))):
            head.read_file(part10(whole, syntax), syntax)
        return
    assert plain(found) == plain(as_pydicom(whole, syntax))
    assert found == head.read_file(part10(whole, syntax), syntax)
    assert set(found) <= {*CATALOGUE, *SEQUENCES}


def plain(texts: head.Texts) -> head.Texts:
    """Leave damaged sequences out: pydicom guesses at them."""
    return {keyword: text for keyword, text in texts.items() if keyword in CATALOGUE}


def simple(**values: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.4", "1.2.5"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def written(dataset: Dataset, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    stream = io.BytesIO()
    dcmwrite(stream, dataset, implicit_vr=transfer_syntax_uid == IMPLICIT,
             little_endian=transfer_syntax_uid != BIG)  # fmt: skip
    return stream.getvalue()


ORDINARY = simple(PatientID="A")
PIXELS = b"\xe0\x7f\x10\x00OW\0\0\x04\0\0\0abcd"
OTHER_ID = b"\x10\x00\x20\x00LO\x02\x00B "


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("dataset", "syntax", "expected"),
    [
        (written(ORDINARY), IMPLICIT, {"PatientID": "A"}),
        (written(ORDINARY, IMPLICIT), EXPLICIT, {"PatientID": "A"}),
        (written(ORDINARY) + b"\0", EXPLICIT, {"PatientID": "A"}),
        (written(ORDINARY, IMPLICIT) + bytes(9), IMPLICIT, {"PatientID": "A"}),
        (written(ORDINARY) + bytes(200_000), EXPLICIT, {"PatientID": "A"}),
        (written(ORDINARY) + PIXELS + OTHER_ID, EXPLICIT, {"PatientID": "A"}),
        (written(ORDINARY) + b"\xfe\xff\x0d\xe0\0\0\0\0" + OTHER_ID, EXPLICIT, {"PatientID": "A"}),
        (written(ORDINARY) + b"\x28\0\x10\0IS\4\x00512 ", EXPLICIT, {"Rows": "512"}),
        (written(ORDINARY) + b"\x28\0\x10\0SS\2\0\0\2", EXPLICIT, {"Rows": "512"}),
        (written(ORDINARY) + b"\x28\0\x10\0UN\0\0\2\0\0\0\0\2", EXPLICIT, {"Rows": "512"}),
        (written(simple()) + b"\x10\0\x20\0US\2\0\x07\0", EXPLICIT, {"PatientID": "7"}),
    ],
    ids=[
        "explicit for implicit", "implicit for explicit", "a zero behind", "nine zeros behind",
        "many zeros behind", "again behind the pixels", "behind a stray delimiter",
        "words for a number", "signed", "unknown", "a number for words",
    ],
)  # fmt: skip
def test_what_is_not_as_declared_is_read_as_pydicom_reads_it(dataset, syntax, expected):
    """A sender's slips hide no object, and no value gets in that pydicom would not see."""
    found = head.read(memoryview(dataset), syntax, lambda: part10(dataset, syntax))
    assert expected.items() <= found.items()
    assert found["StudyInstanceUID"] == "1.2.4"
    assert found == as_pydicom(dataset, syntax)
    assert found == head.read_file(part10(dataset, syntax), syntax)


def test_explicit_for_implicit_is_walked():
    """A cut is seen as well where explicit VR was sent in an implicit context (PS3.5 7.1)."""
    whole = written(ORDINARY)
    assert breaks_off(whole[:-1], IMPLICIT)


def deflated(dataset: bytes, fill: int = 0) -> bytes:
    squeeze = zlib.compressobj(9, wbits=-15)
    step = bytes(1 << 20)
    packed = [squeeze.compress(dataset)]
    packed += [squeeze.compress(step) for _ in range(fill)]
    return b"".join(packed) + squeeze.flush()


@pytest.mark.parametrize("tag", [b"\x29\0", b"\x11\0"], ids=["in order", "odd"])
@pytest.mark.parametrize("syntax", sorted(DEFLATED))
def test_a_deflated_dataset_is_unfolded_no_further_than_its_head(syntax, tag):
    """Pixels that unfold to gigabytes take no memory; a head that does is a fault in words."""
    megabytes = 150
    pixels = b"\xe0\x7f\x10\x00OB\0\0" + (megabytes << 20).to_bytes(4, "little")
    private = tag + b"\x10\x10OB\0\0" + (megabytes << 20).to_bytes(4, "little")
    harmless = part10(deflated(written(ORDINARY) + pixels, megabytes), syntax)
    bomb = part10(deflated(written(ORDINARY) + private, megabytes), syntax)
    assert len(bomb.getvalue()) < 1 << 20
    tracemalloc.start()
    try:
        assert head.read_file(harmless, syntax)["PatientID"] == "A"
        assert head.pick(harmless, syntax, ["PatientID"]).PatientID == "A"
        for reads in (head.read_file, lambda *those: head.pick(*those, ["PatientID"])):
            with pytest.raises(CannotUnderstand, match="unfolds to more than 32 MB"):
                reads(bomb, syntax)
        assert tracemalloc.get_traced_memory()[1] < 3 * HEAD_LIMIT_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (deflated(written(ORDINARY))[:-9], "breaks off"),
        (deflated(written(ORDINARY)[:-1]), "breaks off"),
        (b"\xff" * 90, "inflated"),
    ],
)
def test_a_deflated_dataset_that_is_cut(packed, words):
    """Cut before or behind its compression, a dataset breaks off."""
    with pytest.raises(CannotUnderstand, match=words):
        head.read_file(part10(packed, min(DEFLATED)), min(DEFLATED))


def test_an_odd_head_is_parsed_within_bounds():
    """What only the forgiving parser reads may not take all memory either."""
    (huge := bytearray(written(ORDINARY))).extend(OTHER_ID * 2)
    # An item of defined length in a sequence of undefined length is parsed whole.
    huge += b"\x10\0\x02\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\x04"
    huge += b"\x11\0\x10\x10OB\0\0\0\0\0\x03" + bytes(64 << 20)
    with pytest.raises(CannotUnderstand, match="32 MB to parse"):
        head.pick(part10(bytes(huge), EXPLICIT), EXPLICIT, ["PatientID"])


def test_sequences_without_end_are_a_fault(monkeypatch):
    """Millions of items of undefined length are given up after so many bytes, all together."""
    monkeypatch.setattr(walk, "HEAD_LIMIT_BYTES", 1 << 20)
    items = b"\xfe\xff\0\xe0\0\0\0\0" * (3 << 15)
    sequence = b"SQ\0\0\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    one = written(ORDINARY) + b"\x21\0\x02\x10" + sequence
    assert head.read(memoryview(one), EXPLICIT, never)["PatientID"] == "A"
    with pytest.raises(CannotUnderstand, match="describes itself in more than 1 MB"):
        head.read(memoryview(one + b"\x21\0\x03\x10" + sequence), EXPLICIT, never)
    frames = memoryview(one + b"\0\x52\x30\x92" + sequence)
    assert head.read(frames, EXPLICIT, never)["PatientID"] == "A"


def test_elements_without_end_are_a_fault():
    """A dataset of millions of empty elements is given up early."""
    head_of = struct.Struct("<HH2sH").pack
    many = b"".join(
        head_of(0x1001 + n // 65536, n % 65536, b"LO", 0) for n in range(walk.ELEMENT_LIMIT + 1)
    )
    with pytest.raises(CannotUnderstand, match="more than 100000 elements"):
        head.read(memoryview(many), EXPLICIT, never)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_picked_attributes_are_as_pydicom_reads_them(syntax):
    """Whatever a rule asks for, it gets the text that the whole head would give."""
    dataset = simple(
        SpecificCharacterSet="ISO_IR 100", PatientName="M\u00fcller^J\u00f6rg", Rows=512,
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0], SliceThickness="1.50", EchoTime="2",
        ImageType=["ORIGINAL", "PRIMARY"], BurnedInAnnotation="NO", PatientID="A",
        RecommendedDisplayFrameRateInFloat=12.5,
    )  # fmt: skip
    dataset.add_new(0x7FE00010, "OW", bytes(8))
    file = part10(written(dataset, syntax), syntax)
    keywords = [one.keyword for one in dataset if one.keyword != "PixelData"]
    whole = read_head(part10(written(dataset, syntax), syntax))
    picked = head.pick(file, syntax, [*keywords, "StudyDate"])
    assert {one: text(picked, one) for one in keywords} == {
        one: text(whole, one) for one in keywords
    }
    assert text(picked, "PatientName") == "M\u00fcller^J\u00f6rg"
    assert text(picked, "StudyDate") == ""
    assert len(head.pick(file, syntax, ["PatientID"])) == 2


def test_nothing_is_no_dataset():
    """An object without any element is refused in words."""
    with pytest.raises(CannotUnderstand, match="no elements"):
        head.read(memoryview(b""), EXPLICIT, never)
