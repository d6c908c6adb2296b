"""What the engine lets out holds nothing that the scanner can find of the original's identity."""

import importlib.util
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.valuerep import PersonName

from deid.apply import deidentify
from deid.scan import wanted
from deid.scan.scanner import Finding, Listed, Scanner
from dicom.errors import DeidFault

pytestmark = [pytest.mark.p4, pytest.mark.filterwarnings("ignore")]

MOST_BYTES = 600_000
PLACEHOLDERS = {"anonymous", "anonymized", "patient", "name", "test", "unknown", "none"}
PHANTOMS = {"pancreas_0001", "perfusion"}
"""Names of objects that are no people's; a body part or protocol of that name stays."""
DUMMY_DATE = "20000101"
"""Some objects' birth dates, and what the engine writes where a date must stand."""
KEYWORDS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "PatientBirthDate")
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


def identity_of(file: Path) -> str:
    """Write an identity file of what an object says of its patient, as another reader sees it."""
    dataset = pydicom.dcmread(file, force=True)
    lines = set()

    def look(item, element):
        del item
        if element.VR == "PN":
            values = element.value if element.VM > 1 else [element.value]
            lines.update(f"name: {value}" for value in values if _tells(value))

    dataset.walk(look)
    for keyword in KEYWORDS:
        value = str(dataset.get(keyword, "")).strip()
        if len(value) >= 5 and value != DUMMY_DATE:
            lines.add(value)
    lines.update(f"uid: {dataset[keyword].value}" for keyword in UIDS if dataset.get(keyword))
    return "\n".join(sorted(lines))


def _tells(value: PersonName | str | None) -> bool:
    words = str(value or "").lower().replace("^", " ").replace("=", " ").split()
    return any(len(word) > 2 for word in words) and not (PLACEHOLDERS | PHANTOMS) & set(words)


def objects() -> list[Path]:
    """List the smaller objects of pydicom and pydicom-data."""
    store = importlib.util.find_spec("data_store")
    folders = [Path(pydicom.__file__).parent, *map(Path, store.submodule_search_locations)]
    found = [file for folder in folders for file in sorted((folder / "data").rglob("*.dcm"))]
    return [file for file in found if 0 < file.stat().st_size < MOST_BYTES]


def test_no_output_holds_its_original(profile, tmp_path):
    """Of every smaller real object the identity is found in it, and not in what it became."""
    found_before = looked_at = 0
    for file in objects():
        try:
            clean = deidentify(file.read_bytes(), profile)
        except DeidFault:
            continue
        try:
            lines = wanted.read(identity_of(file).encode())
        except wanted.Unusable:
            continue
        scanner = Scanner(lines)
        out = tmp_path / "out.dcm"
        out.write_bytes(b"".join(clean.chunks))
        left = [each for each in scanner.scan(Listed(out, tmp_path)) if isinstance(each, Finding)]
        assert left == [], file.name
        found_before += bool(scanner.scan(Listed(file, file.parent)))
        looked_at += 1
    assert looked_at > 60
    assert found_before == looked_at


def test_the_scanner_sees_what_a_careless_tool_leaves(tmp_path):
    """An object whose top-level name and number alone were replaced is not clean to it."""
    file = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    scanner = Scanner(wanted.read(identity_of(file).encode()))
    dataset = pydicom.dcmread(file)
    dataset.PatientName, dataset.PatientID = "Nobody", "0"
    out = tmp_path / "out.dcm"
    dataset.save_as(out)
    assert scanner.scan(Listed(out, tmp_path))
