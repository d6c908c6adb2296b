"""The engine against every real object of pydicom and pydicom-data."""

import importlib.util
import io
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from deid.apply import deidentify
from deid.markers import TAGS
from dicom.errors import DeidFault
from dicom.uid import STANDARD_ROOT, is_valid

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom's remarks about odd inputs

REFUSED = {
    # No composite object of a patient: nothing to tell it apart by.
    "chrSQEncoding.dcm": "is missing",
    "chrSQEncoding1.dcm": "is missing",
    "fall.dcm": "is missing",
    "hotiron.dcm": "is missing",
    "hotmetalblue.dcm": "is missing",
    "pet.dcm": "is missing",
    "pet20step.dcm": "is missing",
    "spring.dcm": "is missing",
    "summer.dcm": "is missing",
    "JPEGLSNearLossless_08.dcm": "is missing",
    "JPEGLSNearLossless_16.dcm": "is missing",
    "SC_rgb_jls_lossy_line.dcm": "is missing",
    "SC_rgb_jls_lossy_sample.dcm": "is missing",
    "UN_sequence.dcm": "is missing",
    "DICOMDIR": "is missing",
    "DICOMDIR-bigEnd": "is missing",
    "DICOMDIR-empty.dcm": "is missing",
    "DICOMDIR-implicit": "is missing",
    "DICOMDIR-nopatient": "is missing",
    "DICOMDIR-reordered": "is missing",
    "empty_charset_LEI.dcm": "is missing",
    "nested_priv_SQ.dcm": "is missing",
    "no_meta_group_length.dcm": "is missing",
    "priv_SQ.dcm": "is missing",
    # Broken files.
    "winter.dcm": "stands where it must not",
    "MR_truncated.dcm": "longer than what holds it",
    "rtplan_truncated.dcm": "longer than what holds it",
    "SC_rgb_jpeg.dcm": "value representation that is none",
    "DICOMDIR-nooffset": "longer than its sequence",
    "meta_missing_tsyntax.dcm": "no transfer syntax",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "breaks off",
    "badVR.dcm": "no number of frames",
    # Structured reports need an option that is not in the basic profile.
    "reportsi.dcm": "Clean Structured Content",
    "reportsi_with_empty_number_tags.dcm": "Clean Structured Content",
    "test-SR.dcm": "Clean Structured Content",
}
NOBODY = {"anonymized", "anonymous", "patient", "name", "test"}
"""Placeholders that the objects' makers wrote in place of names."""
PROTOCOL_WORDS = {"perfusion", "text"}
"""The "family names" of a phantom and of a template; why they are none says deid/identity.py."""
KINDS = re.compile("Class|CodingScheme|DeviceUID")
"""UIDs of kinds of things, and of devices, which research keeps."""
REPORTS = {"reportsi.dcm", "reportsi_with_empty_number_tags.dcm", "test-SR.dcm"}
DCIODVFY = Path(sys.executable).parent / "dciodvfy"
PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}


def pytest_generate_tests(metafunc):
    for fixture, refused in (("real_file", False), ("refused_file", True)):
        if fixture in metafunc.fixturenames:
            files = [f for f in real_files() if (f.name in REFUSED) == refused]
            metafunc.parametrize(fixture, files, ids=[file.name for file in files])


BASES = {
    "basic": (),
    "research": (),
    "trial": (),
    "teaching": ("clean-pixel-data", "clean-visual-features"),  # these refuse, they change nothing
}


@pytest.fixture
def accepted_files():
    return [file for file in real_files() if file.name not in REFUSED]


def real_files() -> list[Path]:
    """List the DICOM files of pydicom and pydicom-data, of 38 like slices of one series none."""
    store = importlib.util.find_spec("data_store")
    folders = [Path(pydicom.__file__).parent, *map(Path, store.submodule_search_locations)]
    found = []
    for folder in folders:
        for file in sorted((folder / "data").rglob("*")):
            if file.is_file() and not file.name.startswith("IM0000"):
                with file.open("rb") as opened:
                    found += [file] if opened.read(132)[128:] == b"DICM" else []
    return found


def read(part10):
    return pydicom.dcmread(io.BytesIO(bytes(part10)))


def strings(dataset):
    """Every value outside the pixels as text, decoded by pydicom, lower case."""
    return [
        str(element.value).lower()
        for element in dataset.iterall()
        if element.tag not in PIXELS | TAGS and element.VR != "SQ"
    ]


def identity(dataset):
    """Words that name people, and numbers that name patients, by the plainest rules."""
    words = set()
    for element in dataset.iterall():
        if element.VR == "PN" and element.value:
            values = [element.value] if element.VM == 1 else element.value
            words |= {
                w for value in values for w in re.split(r"[\^=\s]+", str(value)) if len(w) > 3
            }
        elif element.keyword in {"PatientID", "OtherPatientIDs", "AccessionNumber"}:
            words |= {part for part in str(element.value).split("\\") if len(part) > 5}
    return {word.lower() for word in words} - NOBODY - PROTOCOL_WORDS


def uids(dataset):
    return {
        uid
        for element in dataset.iterall()
        if element.VR == "UI" and element.value and not KINDS.search(element.keyword)
        for uid in ([element.value] if element.VM == 1 else element.value)
        if not uid.startswith(STANDARD_ROOT)
    }


def was_stripped(result):
    """Whether segments were cut out of compressed pixels (tests/deid/test_segments.py)."""
    return any("segments beside the image" in what for _, what in result.account)


def test_every_real_object_comes_out_clean(real_file, profile, other_profile):
    """Each real object leaves clean, readable and with its own pixels; a retry changes nothing."""
    raw = real_file.read_bytes()
    result = deidentify(raw, profile)
    part10 = b"".join(result.chunks)
    before, after = read(raw), read(part10)
    assert part10[:128] == b"\0" * 128
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    assert after.PatientIdentityRemoved == "YES"
    assert after.PatientID == after.PatientName
    assert not any(element.tag.is_private for element in after.iterall())
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        assert after.get(keyword) == before.get(keyword) or was_stripped(result)
    text = "\n".join(strings(after))
    assert [word for word in identity(before) if word in text] == []
    left = uids(before)
    assert not left & uids(after)
    head = part10 if "PixelData" not in after else part10[: -len(after.PixelData)]
    assert [uid for uid in left if len(uid) > 16 and uid.encode() in head] == []
    assert all(is_valid(uid) for uid in uids(after))
    assert part10 == b"".join(deidentify(raw, profile).chunks)
    assert after.PatientID != read(b"".join(deidentify(raw, other_profile).chunks)).PatientID


def test_an_object_that_cannot_be_cleared_is_refused_for_a_known_reason(refused_file, profile):
    """What is broken, no patient's object, or beyond this version is refused in words."""
    with pytest.raises(DeidFault, match=re.escape(REFUSED[refused_file.name])):
        deidentify(refused_file.read_bytes(), profile)


@cache
def known(file: Path) -> Counter[str]:
    """Errors of an input, which several profiles are compared with."""
    return complaints(file)


def complaints(file: Path) -> Counter[str]:
    """dciodvfy's errors, without the values they quote."""
    done = subprocess.run([DCIODVFY, "-new", file], capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    return Counter(re.sub(r"<[^<>()]*>", "", each) for each in lines if each.startswith("Error"))


@pytest.mark.parametrize("base", BASES)
def test_dciodvfy_finds_no_error_that_the_input_did_not_have(
    compiled, tmp_path, accepted_files, base
):
    """No shipped profile breaks an IOD: each SOP class in each transfer syntax, once."""
    profile = compiled(base, without=BASES[base])
    if "clean-structured-content" in profile.options:
        accepted_files += [file for file in real_files() if file.name in REPORTS]
    clean, seen, worse = tmp_path / "clean.dcm", set(), {}
    for file in accepted_files:
        head = pydicom.dcmread(file, stop_before_pixels=True)
        syntax = head.file_meta.TransferSyntaxUID
        kind = (head.get("SOPClassUID"), head.get("Modality"), syntax)
        if kind in seen or syntax == DeflatedExplicitVRLittleEndian:  # dciodvfy cannot inflate
            continue
        seen.add(kind)
        clean.write_bytes(b"".join(deidentify(file.read_bytes(), profile).chunks))
        new = complaints(clean) - known(file)
        worse |= {file.name: new} if new else {}
    assert len(seen) > 30
    assert worse == {}


def test_every_real_object_comes_out_clean_under_a_profile_with_options(compiled):
    """What stays by options is never the identity, and private attributes are safe ones."""
    profile = compiled("research")
    for file in real_files():
        if file.name in REFUSED and file.name not in REPORTS:
            continue
        before, result = read(file.read_bytes()), deidentify(file.read_bytes(), profile)
        after = read(b"".join(result.chunks))
        text = "\n".join(strings(after))
        assert [word for word in identity(before) if word in text] == [], file.name
        assert not uids(before) & uids(after), file.name
        same = after.get("PixelData") == before.get("PixelData")
        assert same or was_stripped(result), file.name
        safe = {"LO"} | {each.VR for each in after.iterall() if each.tag.is_private}
        assert safe <= {"LO", "SH", "CS", "DS", "IS", "FD", "FL", "US", "SS", "UL", "UN", "SQ"}


def test_uids_stay_consistent_over_the_objects_of_a_study(profile):
    """Objects that shared a Study or Series share one afterwards, and others do not."""
    root = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
    files = [f for f in sorted(root.rglob("*")) if f.is_file() and f.name.isdigit()]
    pairs = set()
    for file in files:
        before, result = pydicom.dcmread(file), deidentify(file.read_bytes(), profile)
        pairs |= {
            (before.StudyInstanceUID, result.study_instance_uid),
            (before.SeriesInstanceUID, result.series_instance_uid),
            (before.SOPInstanceUID, result.sop_instance_uid),
            (before.PatientID, read(b"".join(result.chunks)).PatientID),
        }
    assert len(files) > 20
    assert len({old for old, _ in pairs}) == len({new for _, new in pairs}) == len(pairs)
