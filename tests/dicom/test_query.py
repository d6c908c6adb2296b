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
from dicom.query import BadIdentifier, Root, answer, matches, parse


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


# The rule of PS3.4, the key, its value, an entity's value, whether they match.
MATCHING = [
    # C.2.2.2.1 Single value: neither empty, nor a range, nor with wildcards.
    ("C.2.2.2.1", "AccessionNumber", "A17", "A17", True),
    ("C.2.2.2.1", "AccessionNumber", "A17", "A170", False),
    ("C.2.2.2.1 case counts outside of PN", "AccessionNumber", "a17", "A17", False),
    ("C.2.2.2.1 accents count outside of PN", "StudyDescription", "Schadel", "Schädel", False),
    ("C.2.2.2.1 padding does not count", "AccessionNumber", "A17 ", "A17", True),
    ("C.2.2.2.1 an integer is a number", "NumberOfStudyRelatedInstances", "007", "7", True),
    ("C.2.2.2.1 an integer is a number", "NumberOfStudyRelatedInstances", "7", "8", False),
    ("C.2.2.2.1 no value, no match", "AccessionNumber", "A17", "", False),
    ("C.2.2.2.1 PN without case", "PatientName", "doe^JOHN", "Doe^John", True),
    ("C.2.2.2.1 PN without accents", "PatientName", "Muller^Jerome", "Müller^Jérôme", True),
    ("C.2.2.2.1 PN the other way", "PatientName", "Müller", "MULLER", True),
    ("C.2.2.2.1 PN empty components", "PatientName", "Doe^John^^^", "Doe^John", True),
    ("C.2.2.2.1 PN a component is no name", "PatientName", "Doe", "Doe^John", False),
    ("C.2.2.2.1 PN any group", "PatientName", "山田^太郎", "Yamada^Tarou=山田^太郎", True),
    ("C.2.2.2.1 PN group by group", "PatientName", "=山田^太郎", "Yamada^Tarou=山田^太郎", True),
    ("C.2.2.2.1 PN group by group", "PatientName", "Suzuki=山田^太郎", "Yamada=山田^太郎", False),
    ("C.2.2.2.1 PN voicing is no accent", "PatientName", "かき", "がき", False),
    # C.2.2.2.2 List of UID: any of them.
    ("C.2.2.2.2", "StudyInstanceUID", "1.2\\1.3", "1.3", True),
    ("C.2.2.2.2", "StudyInstanceUID", "1.2\\1.3", "1.4", False),
    ("C.2.2.2.2 wildcards are none in UI", "StudyInstanceUID", "1.*", "1.2", False),
    # C.2.2.2.3 Universal: an empty key matches all.
    ("C.2.2.2.3", "AccessionNumber", "", "A17", True),
    ("C.2.2.2.3", "AccessionNumber", "", "", True),
    # C.2.2.2.4 Wildcard: * any sequence, ? any one character.
    ("C.2.2.2.4", "AccessionNumber", "A*", "A17", True),
    ("C.2.2.2.4 * may be empty", "AccessionNumber", "A17*", "A17", True),
    ("C.2.2.2.4 ? is exactly one", "AccessionNumber", "A1?", "A17", True),
    ("C.2.2.2.4 ? is exactly one", "AccessionNumber", "A17?", "A17", False),
    ("C.2.2.2.4 anywhere", "AccessionNumber", "*1*", "A17", True),
    ("C.2.2.2.4 case counts outside of PN", "AccessionNumber", "a*", "A17", False),
    ("C.2.2.2.4 * alone is universal", "AccessionNumber", "*", "", True),
    ("C.2.2.2.4 ** is the same", "AccessionNumber", "**", "", True),
    ("C.2.2.2.4 no value, no match", "AccessionNumber", "?*", "", False),
    ("C.2.2.2.4 only * and ? are special", "StudyDescription", "100%_*", "100%_x", True),
    ("C.2.2.2.4 only * and ? are special", "StudyDescription", "100%*", "100 x", False),
    ("C.2.2.2.4 only * and ? are special", "StudyDescription", "[a-z]*", "b", False),
    ("C.2.2.2.4 PN without case and accents", "PatientName", "mUl*^j*", "Müller^Jérôme", True),
    ("C.2.2.2.4 PN any group", "PatientName", "山*", "Yamada^Tarou=山田^太郎", True),
    ("C.2.2.2.4 a character, not a byte", "PatientName", "山?", "山田", True),
    # C.2.2.2.5 Range: both ends belong to it.
    ("C.2.2.2.5.1", "StudyDate", "20040101-20040131", "20040131", True),
    ("C.2.2.2.5.1", "StudyDate", "20040101-20040131", "20040201", False),
    ("C.2.2.2.5.1 open start", "StudyDate", "-20040131", "19990101", True),
    ("C.2.2.2.5.1 open start", "StudyDate", "-20040131", "20040201", False),
    ("C.2.2.2.5.1 open end", "StudyDate", "20040131-", "20240101", True),
    ("C.2.2.2.5.1 single date", "StudyDate", "20040131", "20040131", True),
    ("C.2.2.2.5.1 no value, no match", "StudyDate", "19000101-", "", False),
    ("C.2.2.2.5.1 nonsense never matches", "StudyDate", "19000101-", "unknown", False),
    ("C.2.2.2.5.2", "StudyTime", "0900-1000", "095959", True),
    ("C.2.2.2.5.2 the end to its precision", "StudyTime", "0900-1000", "100059.5", True),
    ("C.2.2.2.5.2", "StudyTime", "0900-1000", "1001", False),
    ("C.2.2.2.5.2 open end", "StudyTime", "12-", "115959", False),
    ("C.2.2.2.5.2 open start", "StudyTime", "-12", "125959", True),
    ("C.2.2.2.5.2 single time", "StudyTime", "093015", "093015.25", True),
    # Attributes with several values: any of them. Several values in a key: any of them.
    ("C.6.2.1.2", "ModalitiesInStudy", "CT", "CT\\SR", True),
    ("C.6.2.1.2", "ModalitiesInStudy", "C?", "SR\\CT", True),
    ("C.6.2.1.2", "ModalitiesInStudy", "C", "CT\\SR", False),
    ("C.6.2.1.2 no wildcard spans values", "ModalitiesInStudy", "C*R", "CT\\SR", False),
    ("C.2.2.2.8", "ModalitiesInStudy", "MR\\CT", "CT\\SR", True),
    ("C.2.2.2.8", "ModalitiesInStudy", "MR\\U*", "CT\\SR", False),
]


@pytest.mark.parametrize(("rule", "keyword", "key", "value", "expected"), MATCHING)
def test_matching_follows_the_standard(
    rule: str, keyword: str, key: str, value: str, *, expected: bool
) -> None:
    """Each kind of matching of PS3.4 C.2.2.2 decides as its section says."""
    assert matches(asked(**{keyword: key}), {keyword: value}) is expected, rule


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


def test_an_answer_holds_the_requested_keys_and_no_others() -> None:
    """A match comes back with what was asked for, the level and where to retrieve it."""
    query = asked(PatientID="", StudyDate="", ModalitiesInStudy="")
    values = {"PatientID": "P1", "ModalitiesInStudy": "CT\\SR", "PatientName": "Doe"}
    found = answer(query, values, "PENUMBRA")
    assert {one.keyword: one.value for one in found} == {
        "QueryRetrieveLevel": "STUDY",
        "RetrieveAETitle": "PENUMBRA",
        "PatientID": "P1",
        "StudyDate": "",
        "ModalitiesInStudy": ["CT", "SR"],
    }


def test_a_wrong_value_is_answered_as_it_is() -> None:
    """A value that breaks its representation is passed on, without a warning or a fault."""
    query = asked("SERIES", StudyInstanceUID="1.2", Modality="")
    found = answer(query, {"Modality": "much too long for a code string"}, "PENUMBRA")
    assert found.Modality == "much too long for a code string"


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
