"""Identity is found wherever it hides in a file, and nothing is found in a clean one."""

import base64
import gzip
import io
import json
import tracemalloc
import zipfile
import zlib
from urllib.parse import quote

import pydicom
import pytest
from click.testing import CliRunner
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from deid.scan import inside, wanted
from deid.scan.scanner import Finding, Listed, Scanner, find_files
from node.cli import penumbra


def nested(*tags: int, **facts: object) -> Dataset:
    """Put facts into sequences inside each other."""
    dataset = Dataset()
    for name, value in facts.items():
        setattr(dataset, name, value)
    for tag in reversed(tags):
        outer = Dataset()
        outer[tag] = DataElement(tag, "SQ", Sequence([dataset]))
        dataset = outer
    return dataset


def private(vr: str, value: bytes) -> Dataset:
    dataset = Dataset()
    dataset.private_block(0x0029, "SOME VENDOR", create=True).add_new(0x10, vr, value)
    return dataset


def pdf(shown: bytes) -> bytes:
    stream = zlib.compress(b"BT /F1 12 Tf " + shown + b" ET")
    return (
        b"%PDF-1.4\n4 0 obj <</Filter/FlateDecode/Length "
        + str(len(stream)).encode() + b">>\nstream\n" + stream + b"\nendstream endobj\n%%EOF"
    )  # fmt: skip


def zipped(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr(name, content)
    return target.getvalue()


def named_gzip(content: bytes) -> bytes:
    target = io.BytesIO()
    with gzip.GzipFile("a file's name", "wb", fileobj=target, mtime=0) as packed:
        packed.write(content)
    return target.getvalue()


PADDING = b"lorem ipsum dolor sit amet " * 40
NAME = "Mustermann^Anne"


@pytest.mark.parametrize(
    ("dataset", "where"),
    [
        (nested(PatientName=NAME), "(0010,0010)"),
        (nested(0x00081140, 0x0040A730, PatientComments="for Bo Lee"),
         "(0008,1140)[1]/(0040,A730)[1]/(0010,4000)"),
        (private("LO", "Dr Lee"), "(0029,1010)"),
        (private("UN", b"seen by Lee"), "(0029,1010)"),
        (private("OB", b"Lee\0"), "(0029,1010)"),
        (nested(StudyDescription="Lee, knee"), "(0008,1030)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_depth_of_a_dataset(scan, part10, dataset, where, syntax):
    """Public, nested and private elements are named by their path, in every encoding."""
    found = scan(part10(dataset, syntax))
    assert where in {place for place, _ in found}
    assert {number for _, number in found} <= {2, 8}


def test_declared_character_sets(scan, part10, line):
    """A name in a declared character set is found in its element."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=山田^太郎"
    assert ("(0010,0010)", line["kanji"]) in scan(part10(dataset))


def test_an_undeclared_character_set(scan, part10, line):
    """A name in a character set that the object does not name is found in the bytes."""
    dataset = Dataset()
    dataset.PatientComments = "患者 山田太郎".encode("shift_jis").decode("latin-1")
    assert ("bytes of the dataset", line["kanji"]) in scan(part10(dataset))


def test_preamble_and_file_meta(scan, part10, line):
    """What stands before the dataset is searched as well, short words too."""
    content = bytearray(part10(Dataset()))
    content[10:19] = b"x Lee, Bo"
    assert ("preamble", line["short"]) in scan(bytes(content))
    dataset = pydicom.dcmread(io.BytesIO(part10(Dataset())))
    dataset.file_meta.SourceApplicationEntityTitle = "MUSTERMANN"
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    found = scan(target.getvalue())
    assert {
        ("file meta (0002,0016)", line["name"]),
        ("bytes of the file meta", line["name"]),
    } <= found


def test_trailing_bytes(scan, part10, line):
    """What stands behind the dataset is searched."""
    content = part10(Dataset()) + b"\xfc\xff\xfc\xffMUSTERMANN"
    assert ("bytes of the dataset", line["name"]) in scan(content)


@pytest.mark.parametrize(
    ("content", "how"),
    [
        (gzip.compress(PADDING + b"Mustermann", mtime=0), "gzip: "),
        (b"\x07junk" + gzip.compress(PADDING + b"Mustermann", mtime=0), "gzip: "),
        (named_gzip(PADDING + b"Mustermann"), "gzip: "),
        (zipped("a.txt", PADDING + b"Mustermann"), "zip member: "),
        (zipped("b.zip", zipped("a.txt", PADDING + b"Mustermann")), "zip member: zip member: "),
        (b"\0\0" + zlib.compress(PADDING + b"Mustermann") + b"\0", "zlib: "),
        (zlib.compress(PADDING + b"Mustermann")[:-4] + bytes(9), "zlib: "),
        (zlib.compress(bytes(range(256)) + b"Mustermann" + bytes(range(256)), 0)[:-60], "zlib: "),
        (zlib.compress(PADDING + "Mustermann".encode("utf-16-le"), 1), "zlib: "),
        (b"\xff\xfe" + "seen by Lee".encode("utf-16-le"), "text"),
        (b"data: " + base64.b64encode(PADDING + b"Mustermann"), "base64: "),
        (b"v=" + base64.b64encode(b"xxMustermannxx"), "base64: "),
        (b"v=" + base64.encodebytes(PADDING + b"Mustermann"), "base64: "),
        (pdf(b"(Mustermann) Tj"), "zlib: "),
        (pdf(b"[(Mus)-20(ter)5(mann)] TJ"), "zlib: PDF text"),
        (pdf(b"<4d75737465726d616e6e> Tj"), "zlib: PDF text"),
    ],
)
def test_packed_content(scan, content, how):
    """What is deflated, zipped, gzipped, in base64 or shown by a PDF is unpacked and searched."""
    found = scan(content, "report.bin")
    assert any(place.startswith(how) for place, _ in found), found
    assert {number for _, number in found} <= {2, 8}


def test_an_encapsulated_pdf(scan, part10, line):
    """A PDF inside a DICOM object is unpacked like one that lies by itself."""
    dataset = Dataset()
    dataset.EncapsulatedDocument = pdf(b"(Mustermann) Tj")
    found = scan(part10(dataset))
    assert ("zlib: bytes", line["name"]) in found


def test_a_dicom_object_in_an_archive(scan, part10, line):
    """An object in an archive is read as DICOM, short words included."""
    dataset = Dataset()
    dataset.StudyDescription = "Lee"
    found = scan(zipped("a.dcm", part10(dataset)))
    assert ("zip member: (0008,1030)", line["short"]) in found


@pytest.mark.p6
def test_a_name_in_a_file_name_is_found_and_hidden(scanner, tmp_path):
    """A file that is called after a patient is found, and told by its place, not by its name."""
    (tmp_path / "batch" / "Mustermann_Anne").mkdir(parents=True)
    (tmp_path / "batch" / "Mustermann_Anne" / "1.dcm").write_bytes(b"x")
    (listed,), left_out = find_files([tmp_path])
    (finding,) = scanner.scan(listed)
    assert (finding.where, finding.line, left_out) == ("file name", 2, [])
    assert finding.file == f"{tmp_path}/batch/[entry 1, name hidden]/1.dcm"


@pytest.mark.parametrize("content", [b"", b"x", b"DICM" * 50, bytes(500), b"\x02\0\0\0" * 40])
def test_odd_files_hold_nothing(scan, content):
    """An empty, tiny or broken file is no fault and holds nobody."""
    assert {number for _, number in scan(content) if isinstance(number, int)} == set()


def test_clean_objects_hold_nothing(scan):
    """Real objects of other people hold none of these."""
    for name in ("CT_small.dcm", "reportsi.dcm", "image_dfl.dcm", "examples_palette.dcm"):
        file = pydicom.data.get_testdata_file(name, download=False)
        with open(file, "rb") as opened:  # noqa: PTH123  (a path as text)
            assert scan(opened.read()) == set(), name


def test_what_cannot_be_opened_is_told(scan):
    """An archive of a kind that cannot be opened is a gap, never silently clean."""
    assert scan(b"7z\xbc\xaf\x27\x1c" + bytes(40)) == {
        ("byte 0", "a 7z archive cannot be opened here")
    }


@pytest.fixture
def run(tmp_path, identity):
    """Run the command over a folder."""
    file = tmp_path / "patients.txt"
    file.write_text(identity, "utf-8")

    def run(*arguments: object):
        words = [str(each) for each in arguments]
        return CliRunner().invoke(penumbra, ["scan", *words, "--identity", str(file)])

    return run


def test_exit_statuses(run, tmp_path):
    """0 for clean, 3 for found, 1 where not everything was looked into, 2 for wrong usage."""
    folder = tmp_path / "in"
    folder.mkdir()
    assert run(folder).exit_code == 2
    (folder / "a").write_bytes(b"nobody")
    assert run(folder).exit_code == 0
    (folder / "b").write_bytes(b"7z\xbc\xaf\x27\x1c")
    assert run(folder).exit_code == 1
    (folder / "c").write_bytes(b"Mustermann")
    assert run(folder).exit_code == 3
    assert run(folder, "--ocr-frames", 2).exit_code == 2


def test_the_identity_file_is_not_searched(run, tmp_path):
    """The identity file may lie in the folder that is searched."""
    assert "no files there" in run(tmp_path).output


@pytest.mark.p6
def test_output_names_places_never_values(run, tmp_path, line, part10):
    """Table and JSON tell file, place, line and kind; no part of the identity."""
    folder = tmp_path / "in" / "Mustermann"
    folder.mkdir(parents=True)
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID = NAME, "PAT-4711-X"
    dataset.PatientBirthDate = "19570312"
    (folder / "a.dcm").write_bytes(part10(dataset))
    table, as_json = run(tmp_path / "in"), run(tmp_path / "in", "--json")
    assert (table.exit_code, as_json.exit_code) == (3, 3)
    for output in (table.output, as_json.output):
        assert not any(word in output.lower() for word in ("muster", "anne", "4711", "19570312"))
    facts = json.loads(as_json.output)
    assert facts["files"] == 1
    assert {each["line"] for each in facts["findings"]} == {line["name"], line["id"], line["date"]}
    assert {each["kind"] for each in facts["findings"]} == {"name", "id", "date"}


@pytest.mark.p6
def test_a_reader_that_quotes_values_is_silenced(scan, part10, caplog, capfd):
    """What pydicom has to say about an odd value, which it quotes, is said to nobody."""
    dataset = Dataset()
    dataset.add_new(0x00200013, "IS", None)
    content = part10(dataset).replace(
        b"\x20\x00\x13\x00IS\x00\x00", b"\x20\x00\x13\x00IS\x0a\x00Mustermann"
    )
    content = content.replace(b"1.2.840.10008.5.1.4.1.1.7\0", b"Mustermann, Anne 12345 abc")
    assert scan(content)
    assert "Muster" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.p6
def test_links_to_folders_are_gaps(run, tmp_path):
    """A link to a folder is not followed, and is told, its name hidden where it tells something."""
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a").write_bytes(b"nobody")
    (tmp_path / "here" / "Mustermann").symlink_to(tmp_path / "there")
    done = run(tmp_path / "here", "--json")
    assert done.exit_code == 1
    (gap,) = json.loads(done.output)["not_looked_into"]
    assert gap["why"] == "a link: name it itself"
    assert gap["file"].endswith("here/[entry 1, name hidden]")


def test_memory_stays_flat(scan, monkeypatch):
    """Neither a large file, nor what a small one unpacks to, is ever held in memory whole."""
    size = 16 << 20
    monkeypatch.setattr(inside, "_IN_MEMORY", 1 << 20)
    content = gzip.compress(bytes(size) + b"Mustermann", 1) + bytes(size)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        assert ("gzip: bytes", 2) in scan(content)
        assert tracemalloc.get_traced_memory()[1] - before < size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "written",
    [
        NAME.encode("utf-32-le"),
        NAME.encode("utf-32-be"),
        NAME.encode().hex().encode(),
        NAME.encode().hex(" ").upper().encode(),
        b"7" + NAME.encode().hex().encode(),
        "Łukasiewicz".encode("cp1250"),
        "Ямадавич".encode("cp1251"),
        "Ямадавич".encode("cp866"),
        quote("Łukasiewicz").encode(),
        quote("Ямадавич").lower().encode(),
    ],
)
def test_other_writings(tmp_path, written):
    """Text of four bytes a letter, as hex digits, in a URL, or in a code page of a PC is found."""
    names = f"name: {NAME}\nname: Łukasiewicz\nname: Ямадавич\n"
    noise = bytes(range(200, 256)) * 3
    file = tmp_path / "a.bin"
    file.write_bytes(noise + written + noise)
    found = Scanner(wanted.read(names.encode())).scan(Listed(file, tmp_path))
    assert found
    assert all(isinstance(each, Finding) for each in found)


@pytest.mark.parametrize("vr", ["OW", "UN", "OB"])
def test_text_in_turned_bytes(scan, part10, line, vr):
    """Text in words of the other byte order is found, in short private elements too."""
    dataset = Dataset()
    block = dataset.private_block(0x0019, "ACME", create=True)
    value = NAME.encode() + b" " * (len(NAME) % 2)
    turned = b"".join(value[at : at + 2][::-1] for at in range(0, len(value), 2))
    block.add_new(0x01, vr, b"\x01\x02" + turned)
    assert ("(0019,1001)", line["name"]) in scan(part10(dataset))
