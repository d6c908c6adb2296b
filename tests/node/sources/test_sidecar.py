"""The sidecar's schema: what is taken, and that whatever is not is told without its values."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.errors import CannotUnderstand
from dicom.moments import date_of, time_of
from node.sources import sidecar

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=8,
)
KEYS = [field.alias or name for name, field in sidecar.Sidecar.model_fields.items()]


def test_dates_and_times_are_written_as_dicom_wants_them():
    """Dates and times may come as ISO 8601 and leave as DA and TM."""
    said = sidecar.read(b'{"PatientID": "1", "StudyDate": "2026-11-21", "StudyTime": "17:05:09.5"}')
    assert (said.StudyDate, said.StudyTime) == ("20261121", "170509.5")


BAD = {
    "no patient": ({}, "PatientID is missing"),
    "empty patient": ({"PatientID": ""}, "PatientID needs"),
    "slip": ({"PatientID": "1", "PatientsName": "x"}, "did you mean 'PatientName'"),
    "kind": ({"PatientID": "1", "as": "us"}, "as must be 'secondary-capture' or 'dx'"),
    "x-ray": ({"PatientID": "1", "as": "dx"}, "ImagerPixelSpacing, PatientOrientation, Laterality"),
    "uid": ({"PatientID": "1", "StudyInstanceUID": "1.02"}, "StudyInstanceUID is no UID"),
    "backslash": ({"PatientID": "a\\b"}, "without backslash"),
    "line": ({"PatientID": "a\nb"}, "must be printable"),
    "long": ({"PatientID": "x" * 65}, "64 characters"),
    "code": ({"PatientID": "1", "BodyPartExamined": "Chest"}, "capital letters"),
    "orientation": ({"PatientID": "1", "PatientOrientation": "left"}, "rows and columns"),
    "name": ({"PatientID": "1", "PatientName": "a=b=c=d"}, "is no person's name"),
}


@pytest.mark.parametrize(("said", "words"), BAD.values(), ids=BAD)
def test_faults_are_told_with_what_mends_them(said, words):
    """Each fault names its key and what is wanted there."""
    with pytest.raises(CannotUnderstand, match=words.replace("(", r"\(")):
        sidecar.read(json.dumps(said).encode())


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), JSON) | JSON)
def test_anything_is_read_or_refused(said):
    """Whatever JSON comes, it becomes a sidecar whose values DICOM can hold, or is refused."""
    try:
        found = sidecar.read(json.dumps(said).encode())
    except CannotUnderstand:
        return
    assert 1 <= len(found.PatientID) <= 64
    for text in (found.PatientID, found.PatientName, found.StudyDescription):
        assert text.isprintable()
        assert "\\" not in text
    assert found.StudyDate is None or date_of(found.StudyDate)
    assert found.StudyTime is None or time_of(found.StudyTime)


@pytest.mark.parametrize(
    "said",
    ['{"PatientID": "1", "PatientID": "2"}', '{"PatientID": "1", "StudyID": "", "PatientID": "1"}'],
)
def test_a_patient_is_named_once(said):
    """A key that stands twice is refused: programs do not agree on which one counts."""
    with pytest.raises(CannotUnderstand, match="PatientID is said twice"):
        sidecar.read(said.encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    """What is no JSON is refused in words, whatever it is."""
    with pytest.raises(CannotUnderstand):
        sidecar.read(content)


@pytest.mark.p6
@given(st.text(alphabet="QXZ", min_size=6, max_size=40))
def test_no_value_is_in_a_reason(value):
    """The words of a fault repeat no value."""
    said = {
        "PatientID": [value],
        "PatientSex": value,
        "StudyDate": value,
        "StudyInstanceUID": value,
    }
    with pytest.raises(CannotUnderstand) as fault:
        sidecar.read(json.dumps(said).encode())
    assert value not in str(fault.value)


def test_the_schema_knows_every_key():
    """`penumbra schema sidecar` prints a JSON schema with each key, and refuses others."""
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", "schema", "sidecar"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    schema = json.loads(done.stdout)
    assert set(schema["properties"]) == set(KEYS)
    assert (schema["additionalProperties"], schema["required"]) == (False, ["PatientID"])
