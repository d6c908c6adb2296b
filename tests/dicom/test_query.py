"""C-FIND identifiers: what they ask for, which are refused, and how a match is answered."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom.attributes import CATALOGUE, UNIQUE_KEYS, Level
from dicom.matching import fold, name_candidates
from dicom.query import BadIdentifier, Root, matches, parse


def identifier(level: str = "STUDY", **keys: object) -> Dataset:
    """Build an identifier in Unicode, with values that pydicom would not let pass."""
    dataset = Dataset()
    dataset.add_new(0x00080005, "CS", "ISO_IR 192")
    dataset.add_new(0x00080052, "LO", level)
    for keyword, value in keys.items():
        one = CATALOGUE[keyword]
        vr = "PN" if one.vr == "PN" else "LO"  # any text, the same bytes
        dataset[one.tag] = DataElement(one.tag, vr, value, validation_mode=0)
    return dataset


def asked(level: str = "STUDY", root: Root = Root.STUDY, **keys: object):
    """Parse an identifier that was encoded and decoded, as a peer's would be."""
    buffer = io.BytesIO()
    identifier(level, **keys).save_as(buffer, implicit_vr=True, little_endian=True)
    sent = dcmread(io.BytesIO(buffer.getvalue()), force=True)
    return parse(sent, root)


def test_a_datetime_range_is_told_from_an_offset() -> None:
    """C.2.2.2.5.3: a hyphen before a UTC offset makes no range."""
    upper = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3"}
    for key, value, expected in [
        ("20040101-0500", "20040101120000", True),
        ("2004-2005", "20051231235959", True),
        ("20040101-0500-20040201-0500", "20040115", True),
        ("-2004", "2005", False),
    ]:
        query = asked("IMAGE", AcquisitionDateTime=key, **upper)
        assert matches(query, {**upper, "AcquisitionDateTime": value}) is expected, key


@pytest.mark.parametrize(
    ("root", "level", "keys", "offending"),
    [
        (Root.STUDY, "", {}, "QueryRetrieveLevel"),
        (Root.STUDY, "PATIENT", {}, "QueryRetrieveLevel"),
        (Root.STUDY, "study", {}, "QueryRetrieveLevel"),
        (Root.PATIENT, "VOLUME", {}, "QueryRetrieveLevel"),
        (Root.STUDY, "SERIES", {}, "StudyInstanceUID"),
        (Root.STUDY, "SERIES", {"StudyInstanceUID": ""}, "StudyInstanceUID"),
        (Root.STUDY, "SERIES", {"StudyInstanceUID": "1.2\\1.3"}, "StudyInstanceUID"),
        (Root.STUDY, "IMAGE", {"StudyInstanceUID": "1.2"}, "SeriesInstanceUID"),
        (Root.PATIENT, "STUDY", {}, "PatientID"),
        (Root.PATIENT, "STUDY", {"PatientID": "P*"}, "PatientID"),
        (Root.PATIENT, "IMAGE", {"PatientID": "P1"}, "StudyInstanceUID"),
        (Root.STUDY, "STUDY", {"StudyDate": "yesterday"}, "StudyDate"),
        (Root.STUDY, "STUDY", {"StudyDate": "20040230"}, "StudyDate"),
        (Root.STUDY, "STUDY", {"StudyDate": "2004*"}, "StudyDate"),
        (Root.STUDY, "STUDY", {"StudyDate": "-"}, "StudyDate"),
        (Root.STUDY, "STUDY", {"StudyDate": "20040101-20040102-20040103"}, "StudyDate"),
        (Root.STUDY, "STUDY", {"StudyTime": "2500-"}, "StudyTime"),
        (Root.STUDY, "STUDY", {"NumberOfStudyRelatedSeries": "many"}, "NumberOfStudyRelatedSeries"),
        (
            Root.STUDY,
            "STUDY",
            {"PatientName": "\\".join(f"a{n}*" for n in range(101))},
            "PatientName",
        ),
    ],
)
def test_a_broken_identifier_names_its_element(
    root: Root, level: str, keys: dict[str, str], offending: str
) -> None:
    """An identifier that breaks a rule is refused with 0xA900 and the element at fault."""
    with pytest.raises(BadIdentifier) as caught:
        asked(level, root, **keys)
    assert caught.value.status == 0xA900
    assert str(caught.value).startswith(offending)


@pytest.mark.p6
def test_a_refusal_holds_no_value() -> None:
    """What a requester typed is not in the words of a refusal."""
    with pytest.raises(BadIdentifier) as caught:
        asked(StudyDate="Doe^John")
    assert "Doe" not in str(caught.value)


def test_unknown_keys_are_ignored_and_said_to_be() -> None:
    """Private, unknown, lower-level and sequence keys neither match nor come back (C.2.2.1.3)."""
    dataset = identifier(PatientID="P1", Modality="CT")
    dataset.add_new(0x00091001, "LO", "private")
    dataset.RequestAttributesSequence = Sequence([Dataset()])
    dataset.add_new(0x00080054, "AE", "SOMEONE")
    query = parse(dataset, Root.STUDY)
    assert [one.keyword for one in query.returning] == ["PatientID"]
    assert set(query.unsupported) == {0x00091001, 0x00400275, CATALOGUE["Modality"].tag}


@pytest.mark.parametrize("root", Root)
def test_unique_keys_open_every_level(root: Root) -> None:
    """A single value in each unique key above is all that a level asks for."""
    for level in root.levels:
        above = [UNIQUE_KEYS[one] for one in root.levels if one.depth < level.depth]
        query = asked(level, root, **dict.fromkeys(above, "1.2"))
        assert (query.level, query.root) == (level, root)


@given(st.text(max_size=40))
def test_folding_twice_changes_nothing(text: str) -> None:
    """Folded text is its own folded form, whatever the script."""
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet="aÄ=^*?\\ 山", max_size=20))
def test_no_name_makes_the_spellings_raise(text: str) -> None:
    """Any name has spellings without empty ones, the first group among them."""
    assert all(name_candidates(text))


@given(st.dictionaries(st.sampled_from(sorted(CATALOGUE)), st.text(max_size=20), max_size=6))
def test_any_identifier_is_read_or_refused(keys: dict[str, str]) -> None:
    """Whatever stands in an identifier, it becomes a Query or a BadIdentifier."""
    try:
        query = parse(identifier(Level.STUDY, **keys), Root.STUDY)
    except BadIdentifier:
        return
    assert {one.keyword for one in query.returning} <= keys.keys()
