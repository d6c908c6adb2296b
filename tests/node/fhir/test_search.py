"""A search finds what R4 says it finds, and nothing is ignored that would narrow it."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.fhir.desk import bundle
from node.fhir.search import MOST, BadSearch, read

ISSUERS = {"HOSP": "urn:oid:1.2.99"}
DCM = "http://dicom.nema.org/resources/ontology/DCM"


@pytest.fixture(scope="module")
def three(desk, make_entry):
    """Three Studies of two patients."""
    return desk(
        make_entry(1, 1.7e9, StudyInstanceUID="1.1", StudyDate="20260101", PatientID="A",
                   IssuerOfPatientID="HOSP", AccessionNumber="acc1"),
        make_entry(2, 1.7e9 + 86400, StudyInstanceUID="1.2", StudyDate="20260215", PatientID="A",
                   Modality="MR", SeriesInstanceUID="1.2.1"),
        make_entry(3, 1.7e9 + 86400, StudyInstanceUID="1.2", StudyDate="20260215", PatientID="A",
                   Modality="SR", SeriesInstanceUID="1.2.2"),
        make_entry(4, 1.7e9 + 9 * 86400, StudyInstanceUID="1.3", PatientID="B",
                   SeriesInstanceUID="1.3.1"),
        issuers=ISSUERS,
    )  # fmt: skip


def find(desk, *asked):
    page = desk.search(read(list(asked), ISSUERS), "")
    return [one["id"] for one in page.resources]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ([], ["1.1", "1.2", "1.3"]),
        ([("_id", "1.2")], ["1.2"]),
        ([("_id", "1.2,1.3")], ["1.2", "1.3"]),
        ([("identifier", "urn:oid:1.2")], ["1.2"]),
        ([("identifier", "urn:dicom:uid|urn:oid:1.3")], ["1.3"]),
        ([("identifier", "acc1")], ["1.1"]),
        ([("identifier", "|acc1")], ["1.1"]),
        ([("identifier", "urn:x|acc1")], []),
        ([("identifier", "acc1,urn:oid:1.3")], ["1.1", "1.3"]),
        ([("patient.identifier", "A")], ["1.1", "1.2"]),
        ([("patient.identifier", "urn:oid:1.2.99|A")], ["1.1"]),
        ([("subject:identifier", "|A")], ["1.2"]),
        ([("patient.identifier", "urn:other|A")], []),
        ([("patient.identifier", "A' OR '1'='1")], []),
        ([("modality", "CT")], ["1.1", "1.3"]),
        ([("modality", "SR,XA")], ["1.2"]),
        ([("modality", f"{DCM}|MR")], ["1.2"]),
        ([("modality", "urn:x|MR")], []),
        ([("modality", "MR"), ("modality", "SR")], ["1.2"]),
        ([("started", "2026")], ["1.1", "1.2"]),
        ([("started", "2026-01")], ["1.1"]),
        ([("started", "eq2026-02-15")], ["1.2"]),
        ([("started", "ne2026-02-15")], ["1.1"]),
        ([("started", "gt2026-01-01")], ["1.2"]),
        ([("started", "ge2026-01-01"), ("started", "lt2026-02")], ["1.1"]),
        ([("started", "le2026-01")], ["1.1"]),
        ([("started", "sa2026-01"), ("started", "eb2027")], ["1.2"]),
        ([("started", "lt2026-01-01")], []),
        ([("_lastUpdated", "gt2023-11-15")], ["1.3"]),
        ([("_lastUpdated", "ge2023-11-15T22:13:20Z")], ["1.2", "1.3"]),
        ([("_lastUpdated", "lt2023-11-15T23:13:20 01:00")], ["1.1"]),
        ([("_lastUpdated", "2023-11-14")], ["1.1"]),
        ([("status", "available")], ["1.1", "1.2", "1.3"]),
        ([("status", "available"), ("_summary", "count"), ("_total", "accurate")], []),
        ([("series", "urn:oid:1.2.1,9.9")], ["1.2"]),
        ([("series", "1.2")], []),
        ([("instance", "urn:dicom:uid|urn:oid:1.9.1")], ["1.1"]),
        ([("status", "cancelled")], []),
        ([("_count", "0")], []),
    ],
)  # fmt: skip
def test_a_search_finds_what_it_asks_for(three, asked, wanted):
    """Each parameter of R4's ImagingStudy that the node knows, alone and together."""
    assert find(three, *asked) == wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patient", "Patient/1"), ("PatientID", "A"), ("_include", "x"), ("started", "today"),
        ("started", "2026-13"), ("started", "2026-01-01T99:00"), ("_count", "-1"),
        ("_count", "x"), ("identifier", ""), ("modality", ""), ("patient.identifier", "a|"),
        ("started", "2026,2027"), ("_id", ",".join("1" * 21)), ("started", "0000-01-01"),
        ("_lastUpdated", "ne2026-01-01"), ("_summary", "true"), ("_sort", "started"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(name, value):
    """A parameter that is not known, or a value that is none, is a fault, not everything."""
    with pytest.raises(BadSearch):
        read([(name, value)], ISSUERS)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["started", "_id", "identifier", "modality", "_after",
                                           "patient.identifier", "_lastUpdated", "status"]),
                          st.text(max_size=24)), max_size=4))  # fmt: skip
def test_any_text_is_answered_or_refused(asked):
    """Nothing but BadSearch comes of whatever stands in a URL."""
    with contextlib.suppress(BadSearch):
        read(asked, ISSUERS)


def test_pages_hold_each_study_once(three, valid):
    """Links lead from page to page; a Bundle says how many there are, and is FHIR."""
    asked = [("_count", "2")]
    page = three.search(read(asked, ISSUERS), "")
    first = valid(bundle(page, "http://h/fhir", asked))
    assert (first["total"], len(first["entry"])) == (3, 2)
    assert first["entry"][0]["fullUrl"] == "http://h/fhir/ImagingStudy/1.1"
    assert all("instance" not in one for one in first["entry"][0]["resource"]["series"])
    (following,) = [one["url"] for one in first["link"] if one["relation"] == "next"]
    assert following == "http://h/fhir/ImagingStudy?_count=2&_after=1.2"
    last = three.search(read([*asked, ("_after", "1.2")], ISSUERS), "")
    told = valid(bundle(last, "http://h/fhir", asked))
    assert [one["resource"]["id"] for one in told["entry"]] == ["1.3"]
    assert [one["relation"] for one in told["link"]] == ["self"]
    nothing = three.search(read([("_id", "none")], ISSUERS), "")
    assert "entry" not in valid(bundle(nothing, "http://h/fhir", []))
    assert read([("_count", "99999")], {}).count == MOST
    assert json.dumps(first)
