"""Identifiers of C-MOVE and C-GET: what they name, and which are refused (PS3.4 C.4.2.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom import identifier
from dicom.attributes import Level
from dicom.errors import CannotUnderstand
from dicom.identifier import BadIdentifier
from dicom.retrieve import GET_MODELS, MOVE_MODELS, is_relational, parse
from dicom.selection import Selection
from examples.peers.retrieve_scu import identifier as encoded

PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY = MOVE_MODELS.values()
IMPLICIT = "1.2.840.10008.1.2"
LEVEL, PATIENT, STUDY, SERIES, IMAGE = 0x00080052, 0x00100020, 0x0020000D, 0x0020000E, 0x00080018


def read(model, *, relational: bool = False, **keys: str) -> Selection:
    return parse(identifier.read(encoded(**keys), IMPLICIT), model, relational=relational)


@pytest.mark.parametrize(
    ("model", "keys", "expected"),
    [
        (PATIENT_ROOT, {"level": "PATIENT", "patient": "P 1"}, Selection(("P 1",))),
        (
            PATIENT_ROOT,
            {"level": "STUDY", "patient": "P", "study": "1.2\\1.3"},
            Selection(("P",), ("1.2", "1.3")),
        ),
        (PATIENT_STUDY, {"level": "STUDY", "patient": "P", "study": "1"},
         Selection(("P",), ("1",))),
        (STUDY_ROOT, {"level": "STUDY", "study": "1.2"}, Selection((), ("1.2",))),
        (STUDY_ROOT, {"level": "STUDY", "study": "1.2\\1.2\\\\1.3"}, Selection((), ("1.2", "1.3"))),
        # More than the standard asks: the patient that is named must be the Study's.
        (STUDY_ROOT, {"level": "STUDY", "patient": "P", "study": "1"}, Selection(("P",), ("1",))),
        (
            STUDY_ROOT,
            {"level": "IMAGE", "study": "1.2", "series": "1.3", "image": "1.4\\1.5"},
            Selection((), ("1.2",), ("1.3",), ("1.4", "1.5")),
        ),
        (STUDY_ROOT, {"level": "SERIES", "study": "1.2", "series": "1.3", "image": ""},
         Selection((), ("1.2",), ("1.3",))),
    ],
)  # fmt: skip
def test_unique_keys_name_what_is_retrieved(model, keys, expected):
    """The keys of the level and of those above it are the selection; each value counts once."""
    assert read(model, **keys) == expected


@pytest.mark.parametrize(
    ("model", "keys", "tag"),
    [
        (STUDY_ROOT, {"study": "1.2"}, LEVEL),
        (STUDY_ROOT, {"level": "PATIENT", "patient": "P"}, LEVEL),
        (PATIENT_STUDY, {"level": "SERIES", "patient": "P", "study": "1", "series": "2"}, LEVEL),
        (STUDY_ROOT, {"level": "study", "study": "1.2"}, LEVEL),
        (STUDY_ROOT, {"level": "STUDY"}, STUDY),
        (PATIENT_ROOT, {"level": "STUDY", "study": "1.2"}, PATIENT),
        (PATIENT_ROOT, {"level": "PATIENT", "patient": "A\\B"}, PATIENT),
        (PATIENT_ROOT, {"level": "PATIENT", "patient": "A*"}, PATIENT),
        (STUDY_ROOT, {"level": "SERIES", "study": "1.2\\1.3", "series": "1.4"}, STUDY),
        (STUDY_ROOT, {"level": "IMAGE", "study": "1.2", "image": "1.4"}, SERIES),
        (STUDY_ROOT, {"level": "STUDY", "study": "1.2", "image": "1.4"}, IMAGE),
        (STUDY_ROOT, {"level": "STUDY", "study": "*"}, STUDY),
        (STUDY_ROOT, {"level": "STUDY", "study": "1.2?"}, STUDY),
    ],
)
def test_what_breaks_a_rule_is_named(model, keys, tag):
    """A missing, superfluous or impossible key is refused, and the fault carries its tag."""
    with pytest.raises(BadIdentifier) as raised:
        read(model, **keys)
    assert raised.value.tag == tag


def test_relational_retrieval_needs_no_upper_keys():
    """Once negotiated, keys above the level may be absent or lists; the level's own may not."""
    assert read(STUDY_ROOT, relational=True, level="IMAGE", image="1.4") == Selection(
        sop_instance_uids=("1.4",)
    )
    listed = read(STUDY_ROOT, relational=True, level="SERIES", study="1\\2", series="3")
    assert listed.study_instance_uids == ("1", "2")
    with pytest.raises(BadIdentifier):
        read(STUDY_ROOT, relational=True, level="IMAGE", study="1.2")


def test_only_the_first_byte_asks_for_relational_retrieval():
    """Extended negotiation of no bytes, or of other options, asks for the hierarchical method."""
    assert is_relational(b"\1\0")
    assert not any(map(is_relational, (b"", b"\0\1", b"\2")))


def test_c_get_has_the_models_of_c_move():
    """The models differ between the two in their UIDs alone."""
    assert list(GET_MODELS.values()) == list(MOVE_MODELS.values())


_TEXT = st.text(alphabet="0123456789.\\*? '", max_size=30)


_KEYS = st.fixed_dictionaries(dict.fromkeys(("patient", "study", "series", "image"), _TEXT))


@given(st.sampled_from(sorted(Level)), _KEYS, st.booleans())
def test_no_identifier_widens_what_it_names(level, keys, relational):
    """Whatever an identifier holds, it is refused or names something at its own level."""
    try:
        found = read(PATIENT_ROOT, relational=relational, level=str(level), **keys)
    except (BadIdentifier, CannotUnderstand):
        return
    assert found.level is level
