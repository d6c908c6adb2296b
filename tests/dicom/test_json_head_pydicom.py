"""Heads as DICOM JSON against pydicom's own, of real objects and of made-up ones."""

import importlib.util
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from dicom.encoding import BIG_ENDIAN, IMPLICIT
from dicom.entity import Arrival
from dicom.errors import CannotUnderstand
from dicom.json_head import head_json
from dicom.meta import read_meta
from dicom.part10 import file_meta

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT_LE = "1.2.840.10008.1.2"

Json = dict[str, Any]


def own(dataset: bytes, syntax: str) -> io.BytesIO:
    """The Part 10 file that the node makes of a dataset."""
    arrival = Arrival("1.2", "1.2.3", syntax, "", "", "", "", 0.0)
    return io.BytesIO(file_meta(arrival) + dataset)


def read(dataset: bytes, syntax: str) -> Json:
    return head_json(own(dataset, syntax), syntax)


def _real() -> Iterator[tuple[str, bytes, str]]:
    """The DICOM files of pydicom and pydicom-data that are no larger than 1 MB."""
    store = importlib.util.find_spec("data_store")
    folders = [Path(pydicom.__file__).parent, *map(Path, store.submodule_search_locations)]
    files = {file.name: file for folder in folders for file in (folder / "data").rglob("*.dcm")}
    for path in sorted(files.values()):
        if path.stat().st_size > 1 << 20:
            continue
        content = path.read_bytes()
        try:
            meta = read_meta(content)
        except CannotUnderstand:
            continue
        yield path.name, content[meta.dataset_offset :], meta.transfer_syntax_uid


def _same(mine: Json, theirs: Json) -> Iterator[str]:
    """Name what differs, but for what is explained here.

    pydicom leaves out what it cannot convert; it keeps the character set of the file, spaces
    before a backslash, pixels, and what follows them; it tells empty values and groups as "".
    """
    for name, other in theirs.items():
        tag = int(name, 16)
        if tag in {0x00080005, 0x7FE00010} or tag & 0xFFFF == 0 or tag >= 0xFFFA0000:
            continue
        told = mine.get(name)
        if told is None:
            yield name
        elif other["vr"] == "SQ" and told["vr"] == "SQ":
            pairs = zip(told.get("Value", []), other.get("Value", []), strict=True)
            yield from (inner for one, two in pairs for inner in _same(one, two))
        elif "BulkDataURI" not in told and _plain(told) != _plain(other):
            yield name


def _plain(told: Json) -> Json:
    values = [_bare(one) for one in told.get("Value", [])]
    return {"vr": str(told["vr"]), "Value": [one or None for one in values] if any(values) else 0}


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {group: text.strip() for group, text in value.items() if text.strip()}
    return value.strip() if isinstance(value, str) else value


def test_real_objects_are_told_as_pydicom_tells_them():
    """The content of every test object that pydicom has, element by element."""
    differing: dict[str, list[str]] = {}
    read_files = 0
    for name, dataset, syntax in _real():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                parsed = pydicom.dcmread(own(dataset, syntax))
                theirs = parsed.to_json_dict(suppress_invalid_tags=True)
                mine = head_json(own(dataset, syntax), syntax)
            except (CannotUnderstand, AttributeError, ValueError, OSError, EOFError):
                continue
        read_files += 1
        found = list(_same(mine, json.loads(json.dumps(theirs))))
        if found:
            differing[name] = found
    assert read_files > 60
    assert differing == {}


@st.composite
def datasets(draw: st.DrawFn, depth: int = 0) -> Dataset:
    """A dataset of public and private elements, sequences within sequences."""
    made = Dataset()
    text = st.text("abc XYZ-^äπЖ山", max_size=12).map(str.strip)
    name = st.lists(text, max_size=3).map("=".join)
    kinds: list[tuple[int, str, st.SearchStrategy[Any]]] = [
        (0x00080018, "UI", st.sampled_from(["1.2", "1.2.3.4"])),
        (0x00080060, "CS", st.sampled_from(["CT", "MR"])),
        (0x00081030, "LO", text),
        (0x00100010, "PN", name),
        (0x00180050, "DS", st.integers(-999, 999).map(str)),
        (0x00200013, "IS", st.integers(-999, 999).map(str)),
        (0x00280010, "US", st.integers(0, 65535)),
        (0x00189087, "FD", st.floats(allow_nan=False, allow_infinity=False)),
        (0x00091001, "OB", st.binary(max_size=40).map(lambda raw: raw + b"\0" * (len(raw) % 2))),
    ]
    for tag, vr, values in draw(st.lists(st.sampled_from(kinds), max_size=6)):
        made.add(DataElement(tag, vr, draw(values)))
    if depth < 3:
        items = draw(st.lists(datasets(depth + 1), max_size=2))
        if items or draw(st.booleans()):
            made.add(DataElement(0x00081140, "SQ", Sequence(items)))
            made[0x00081140].is_undefined_length = draw(st.booleans())
    return made


@settings(max_examples=60, deadline=None)
@given(made=datasets(), syntax=st.sampled_from([EXPLICIT, IMPLICIT_LE, BIG_ENDIAN]))
def test_nested_datasets_are_told_as_pydicom_tells_them(made: Dataset, syntax: str):
    """Sequences of either length, in every encoding, whatever they hold."""
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPInstanceUID = "1.2.3"
    if syntax == IMPLICIT_LE:
        _without_private(made)
    encoded = _encoded(made, syntax)
    theirs = pydicom.dcmread(own(encoded, syntax)).to_json_dict()
    assert list(_same(read(encoded, syntax), theirs)) == []


def _without_private(made: Dataset) -> None:
    made.walk(lambda dataset, one: dataset.__delitem__(one.tag) if one.tag.is_private else None)


def _encoded(made: Dataset, syntax: str) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = syntax in IMPLICIT, syntax != BIG_ENDIAN
    write_dataset(out, made)
    return out.getvalue()
