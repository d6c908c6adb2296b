"""Names of delivered objects hold UIDs and nothing else, whatever a scanner calls its objects."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.object_names import DEFAULT
from storage.destinations.base import Outgoing
from storage.keys import conflict_key, object_key, study_folder


def key_of(study, series="1.2", instance="1.3"):
    return object_key(Outgoing("1.1", instance, series, study, "1.2.840.10008.1.2", (), ""))


def test_uids_stand_as_they_are():
    """An object's place is told by its three UIDs."""
    assert key_of("1.2.3", "1.2.3.4", "1.2.3.4.5") == "1.2.3/1.2.3.4/1.2.3.4.5.dcm"


@pytest.mark.parametrize("uid", ["1.2.003", "1." * 31 + "1"])
def test_forgivable_uids_stand_too(uid):
    """Leading zeros break the standard but no file system."""
    assert key_of(uid).startswith(f"{uid}/")


@pytest.mark.p6
@pytest.mark.parametrize(
    "uid", ["", "..", ".", "/etc", "../../x", "DOE^JOHN", "19610517", "1." * 40 + "1", "1..2", "ü"]
)
def test_what_is_no_uid_tells_nothing(uid):
    """A name, a path or an overlong text becomes a digest of the same kind."""
    first = key_of(uid).split("/")[0]
    assert len(first) == 33
    assert first.isalnum()
    assert key_of(uid) == key_of(uid)


@given(st.text(), st.text(), st.text())
def test_no_text_climbs(study, series, instance):
    """Any three texts give a relative path of three short, visible, ASCII names."""
    key = key_of(study, series, instance)
    parts = PurePosixPath(key).parts
    assert len(parts) == key.count("/") + 1 == 3
    assert all(part[0] not in "./-" and part.isascii() and len(part) <= 68 for part in parts)


@given(st.text(), st.text())
def test_different_uids_have_different_names(one, other):
    """Two objects share a name only when they share their UIDs."""
    assert (key_of(one) == key_of(other)) == (one == other)


@pytest.mark.p7
def test_a_conflict_has_a_name_of_its_own():
    """Other bytes under the same UIDs are told apart by their digest."""
    key = key_of("1.2.3")
    assert conflict_key(key, "ab" * 32) == key[:-4] + "-abababababab.dcm"


def of(**facts):
    return Outgoing("1.1", "1.3", "1.2", "1.1", "1.2.840.10008.1.2", (), "", **facts)


@pytest.mark.p6
@pytest.mark.parametrize("modality", ["", "DOE", "ct", "../..", "CT\\MR", "CT/../x"])
def test_what_is_no_modality_is_other(modality):
    """A name or a path where the Modality should be does not get into a name."""
    assert object_key(of(modality=modality), "{Modality}/{SOPInstanceUID}.dcm") == "other/1.3.dcm"


@pytest.mark.parametrize(
    ("rule", "word"),
    [("to lake", "to-lake"), ("../..", "none"), ("a/b", "a-b"), ("", "none"), ("lake_1", "lake_1")],
)
def test_names_of_the_config_are_fit_for_paths(rule, word):
    """Whatever a rule or a destination is called, its name is one part of a path."""
    template = "{rule}/{destination}/{SOPInstanceUID}.dcm"
    assert object_key(of(rule=rule), template, rule) == f"{word}/{word}/1.3.dcm"


@given(st.text(), st.text(), st.text(), st.floats(0, 4e9))
def test_no_value_climbs_out_of_a_template(modality, rule, uid, came):
    """Any values whatever make a name of as many parts as the template has, all of them visible."""
    template = "{year}/{month}-{day}/{Modality}/{rule}_{destination}/{SOPInstanceUID}.dcm"
    outgoing = replace(of(modality=modality, rule=rule, received_at=came), sop_instance_uid=uid)
    parts = object_key(outgoing, template, rule).split("/")
    assert len(parts) == 5
    assert all(part and part[0] not in "./-" and part.isascii() for part in parts)


@pytest.mark.parametrize(
    ("template", "folder"),
    [
        (DEFAULT, "1.1"),
        ("dicom/{destination}/{StudyInstanceUID}/{SOPInstanceUID}.dcm", "dicom/lake/1.1"),
        ("{year}/{StudyInstanceUID}/{SOPInstanceUID}.dcm", "manifests/1.1"),
        ("{Modality}/{SOPInstanceUID}.dcm", "manifests/1.1"),
    ],
)
def test_a_study_has_one_folder(template, folder):
    """What is told of a whole Study lies where all of its Series agree on."""
    assert study_folder("1.1", template, "lake") == folder
