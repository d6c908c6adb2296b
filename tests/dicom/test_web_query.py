"""The parameters of a search: what each asks for, and what is refused by name."""

import contextlib
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.attributes import CATALOGUE, SEQUENCES, Level
from dicom.matching import AnyOf, Between, Empty, Like, fuzzy
from dicom.web_query import MOST_HEADS, MOST_RESULTS, BadQuery, parse

UID = "1.2.840.1"
STUDY = {"StudyInstanceUID": UID}


def asked(*parameters, level=Level.STUDY, path=None):
    """Parse, and give the criteria by keyword."""
    query = parse(level, path or {}, parameters).query
    return {key.attribute.keyword: key.criterion for key in query.matching}


KEYS = {
    "keyword": (("PatientID", "1"), {"PatientID": AnyOf(("1",))}),
    "tag": (("00100020", "1"), {"PatientID": AnyOf(("1",))}),
    "tag in small letters": (("0020000d", UID), {"StudyInstanceUID": AnyOf((UID,))}),
    "wildcard": (("PatientName", "doe*"), {"PatientName": Like(("doe*",))}),
    "universal": (("PatientID", ""), {}),
    "only stars": (("PatientName", "**"), {}),
    "UIDs by commas": (
        ("StudyInstanceUID", "1.2,1.3"), {"StudyInstanceUID": AnyOf(("1.2", "1.3"))},
    ),
    "UIDs by backslashes": (
        ("StudyInstanceUID", "1.2\\1.3"), {"StudyInstanceUID": AnyOf(("1.2", "1.3"))},
    ),
    "codes by commas": (("ModalitiesInStudy", "CT,MR"), {"ModalitiesInStudy": AnyOf(("CT", "MR"))}),
    "a comma in a text": (
        ("StudyDescription", "a,b"), {"StudyDescription": AnyOf(("a,b",))},
    ),
    "range": (
        ("StudyDate", "20260101-"), {"StudyDate": Between(dt.date(2026, 1, 1), None)},
    ),
    "SQL": (("PatientID", "'; DROP TABLE a --"), {"PatientID": AnyOf(("'; DROP TABLE a --",))}),
}  # fmt: skip


@pytest.mark.parametrize(("parameter", "wanted"), KEYS.values(), ids=KEYS)
def test_keys(parameter, wanted):
    """A key by keyword or tag is matched as PS3.4 C.2.2.2 has it (PS3.18 8.3.4.1)."""
    assert asked(parameter) == wanted


def test_the_path_narrows():
    """UIDs of the path are keys too, beside those of the query."""
    found = asked(("Modality", "CT"), level=Level.SERIES, path=STUDY)
    assert found == {"StudyInstanceUID": AnyOf((UID,)), "Modality": AnyOf(("CT",))}


BAD = {
    "a slip": ([("PatientNam", "x")], "PatientNam is no parameter"),
    "no name": ([("", "x")], "a parameter of another form"),
    "markup": ([("<b>", "x")], "a parameter of another form"),
    "a half tag": ([("0010", "x")], "0010 is no parameter"),
    "twice": ([("PatientID", "1"), ("PatientID", "2")], "PatientID stands in the query more"),
    "no date": ([("StudyDate", "yesterday")], "StudyDate (0008,0020) is not a date"),
    "no number": ([("limit", "-1")], "limit must be a whole number"),
    "a huge number": ([("offset", "9" * 10)], "offset must be a whole number"),
    "no switch": ([("fuzzymatching", "yes")], "fuzzymatching must be"),
    "a slip in a list": ([("includefield", "PatientID,Patient")], "Patient is no parameter"),
    "no sequence": ([("PatientName.StudyDate", "1")], "PatientName.StudyDate leads through"),
    "a value of a sequence": ([("RequestAttributesSequence", "1")], "is a sequence"),
    "nested too deep": ([(".".join(["RequestAttributesSequence"] * 9), "")], "is no parameter"),
    "within a sequence": (
        [("ProcedureCodeSequence.StudyDate", "soon")],
        "StudyDate (0008,0020)",
    ),
    "too many patterns": ([("PatientName", "\\".join(f"{n}*" for n in range(101)))], "PatientName"),
}


@pytest.mark.parametrize(("parameters", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_understood_is_refused_by_name(parameters, words):
    """A parameter that breaks a rule is refused, and its name and not its value is told."""
    with pytest.raises(BadQuery) as fault:
        parse(Level.STUDY, {}, parameters)
    assert words in str(fault.value)
    for name, value in parameters:
        assert name == "includefield" or len(value) < 3 or value not in str(fault.value)


@pytest.mark.parametrize("value", ["x/../y", "", "1" * 65, "1 OR 1=1"])
def test_a_path_that_names_no_uid_is_refused(value):
    """What stands in the path must be usable as a UID."""
    with pytest.raises(BadQuery, match="StudyInstanceUID in the URL is no UID"):
        parse(Level.SERIES, {"StudyInstanceUID": value}, [])


def test_what_is_not_supported_is_ignored_and_said():
    """Attributes that are not indexed, or of a lower level, are named in one warning."""
    found = parse(
        Level.STUDY,
        {},
        [("PixelSpacing", "1"), ("Modality", "CT"), ("ConceptCodeSequence.CodeValue", "1"),
         ("00091001", "x"), ("includefield", "Modality")],
    )  # fmt: skip
    (warning,) = found.warnings
    for name in ("PixelSpacing", "Modality", "ConceptCodeSequence", "00091001"):
        assert warning.count(name) == 1
    assert found.query.matching == ()


@pytest.mark.parametrize("name", ["fuzzymatching", "emptyvaluematching", "multiplevaluematching"])
def test_each_way_of_matching_is_done(name):
    """Each way of matching that can be asked for is there, so that none is warned of."""
    for value in ("true", "false"):
        assert parse(Level.STUDY, {}, [(name, value)]).warnings == ()


def test_fuzzy_matching_is_done_where_it_is_asked_for():
    """With fuzzymatching a name is matched by its words, otherwise as it is (PS3.18 8.3.4.2)."""
    name = ("PatientName", "jane doe")
    assert asked(name) == {"PatientName": AnyOf(("jane doe",))}
    assert asked(name, ("fuzzymatching", "true")) == {"PatientName": fuzzy("jane doe")}
    assert asked(name, ("fuzzymatching", "false")) == asked(name)


def test_empty_values_are_found():
    """Two quotation marks find what has no value (PS3.4 C.2.2.2.7)."""
    assert asked(("AccessionNumber", '""'), ("emptyvaluematching", "true")) == {
        "AccessionNumber": Empty()
    }


def test_a_range_of_dates_and_times_is_one():
    """Ranges of a date and of its time are matched as moments."""
    found = asked(("StudyDate", "20260101-20260102"), ("StudyTime", "0800-0900"))
    assert list(found) == ["StudyDate"]
    ends = [str(end) for end in (found["StudyDate"].first, found["StudyDate"].last)]
    assert ends == ["2026-01-01 08:00:00", "2026-01-02 09:00:59.999999"]


@pytest.mark.parametrize("name", ["RequestAttributesSequence.ScheduledProcedureStepID",
                                  "00400275.00400009"])  # fmt: skip
def test_attributes_within_sequences(name):
    """Names with dots are attributes of a sequence's item, several of one item together."""
    more = ("RequestAttributesSequence.RequestedProcedureID", "")
    (key,) = parse(Level.SERIES, {}, [(name, "SPS 1"), more]).query.sequences
    assert key.attribute.keyword == "RequestAttributesSequence"
    ((inner, wanted),) = ((one.attribute.keyword, one.wanted) for one in key.keys)
    assert (inner, wanted) == ("ScheduledProcedureStepID", AnyOf(("SPS 1",)))


def test_the_level_is_the_resources():
    """A QueryRetrieveLevel or a character set in the query changes nothing."""
    found = parse(Level.STUDY, {}, [("QueryRetrieveLevel", "IMAGE"), ("00080005", "GB18030")])
    assert (found.query.level, found.query.character_set) == (Level.STUDY, ())


def test_paging():
    """limit and offset are taken as they are, up to a limit of the node's own."""
    assert parse(Level.STUDY, {}, [("limit", "5"), ("offset", "7")]).limit == 5
    assert parse(Level.STUDY, {}, [("limit", "5"), ("offset", "7")]).offset == 7
    assert parse(Level.STUDY, {}, [("limit", "0")]).limit == 0
    assert parse(Level.STUDY, {}, [("limit", "99999999")]).limit == MOST_RESULTS


def told(level, path, *parameters):
    return [one.keyword for one in parse(level, path, parameters).query.returning]


def test_what_is_always_told():
    """Results tell what Tables 10.6.3-3 to -5 list, also of levels that the path leaves out."""
    assert {"StudyDate", "PatientName", "NumberOfStudyRelatedInstances"} <= set(
        told(Level.STUDY, {})
    )
    inside, everywhere = told(Level.SERIES, STUDY), told(Level.SERIES, {})
    assert {"StudyInstanceUID", "SeriesInstanceUID", "Modality"} <= set(inside)
    assert "PatientName" not in inside
    assert "PatientName" in everywhere
    assert {"SOPInstanceUID", "Rows", "InstanceNumber"} <= set(told(Level.IMAGE, STUDY))


def test_instances_tell_what_is_not_indexed():
    """For Instances includefield names any attribute: their heads have it, for so many at most."""
    names = ("includefield", "PatientID,KVP,00091001")
    found = parse(Level.IMAGE, {}, [names])
    assert (found.unindexed, found.warnings) == ({0x00180060, 0x00091001}, ())
    assert found.limit == MOST_HEADS
    whole = parse(Level.IMAGE, {}, [("includefield", "all"), ("limit", "2")])
    assert (whole.whole, whole.limit) == (True, 2)
    above = parse(Level.SERIES, {}, [names])
    assert not above.needs_heads
    assert "KVP" in above.warnings[0]


def test_includefield():
    """includefield adds attributes by name, in lists, several times, or all that are indexed."""
    assert "StudyDescription" not in told(Level.STUDY, {})
    more = told(
        Level.STUDY, {}, ("includefield", "StudyDescription,00101010"), ("includefield", "")
    )
    assert {"StudyDescription", "PatientAge"} <= set(more)
    whole = told(Level.SERIES, {}, ("includefield", "all"))
    every = CATALOGUE | SEQUENCES
    assert set(whole) == {k for k, one in every.items() if Level.SERIES.holds(one.level)}
    assert whole == sorted(whole, key=lambda keyword: every[keyword].tag)


NAMES = st.one_of(st.sampled_from([*CATALOGUE, "limit", "offset", "includefield"]), st.text())


@given(
    st.lists(st.tuples(NAMES, st.text(alphabet="*?\\,-'\"0129.^=aä\x00 "))),
    st.sampled_from(list(Level)[1:]),
)
def test_nothing_but_a_refusal_is_raised(parameters, level):
    """Whatever stands in a query, it is a search or a BadQuery."""
    with contextlib.suppress(BadQuery):
        assert 0 <= parse(level, {}, parameters).limit <= MOST_RESULTS
