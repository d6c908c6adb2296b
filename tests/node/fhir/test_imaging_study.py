"""Studies become ImagingStudies that are FHIR R4, however odd they are."""

import datetime as dt
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.fhir import words
from node.fhir.imaging_study import Manner, imaging_study
from storage.index.imaging import SeriesRecord, StudyRecord

MANNER = Manner(
    patient_names=True, issuers={"HOSP": "urn:oid:1.2.99"}, dicom_web="http://h/dicom-web"
)
BARE = Manner(patient_names=False, issuers={}, dicom_web="")

TEXTS = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.sampled_from(["", " ", "\x00", "\xa0", "\u2028x", "a\\b", "\ud800", "CT", "L", "R", "CHEST",
                     "+0100", "-1200", "+1400", "+1430", "+9999", "A^B=C^D"]),
)  # fmt: skip
UIDS = st.one_of(
    st.from_regex(r"[0-2](\.(0|[1-9][0-9]{0,8})){1,6}", fullmatch=True),
    st.text(min_size=1, max_size=80),
)
NUMBERS = st.one_of(st.none(), st.integers(-(10**12), 10**12))
DATES = st.one_of(st.none(), st.dates())
TIMES = st.one_of(st.none(), st.times())


def rows(texts, uids=(), dates=(), times=(), numbers=()):
    fields = dict.fromkeys(texts.split(), TEXTS)
    fields |= dict.fromkeys(uids, UIDS) | dict.fromkeys(dates, DATES)
    fields |= dict.fromkeys(times, TIMES) | dict.fromkeys(numbers, NUMBERS)
    return st.fixed_dictionaries(fields)


INSTANCES = rows("ContentLabel SOPClassUID", ["SOPInstanceUID"], numbers=["InstanceNumber"])
SERIES = st.builds(
    SeriesRecord,
    rows(
        "Modality SeriesDescription BodyPartExamined Laterality", ["SeriesInstanceUID"],
        ["SeriesDate"], ["SeriesTime"], ["SeriesNumber", "NumberOfSeriesRelatedInstances"],
    ),
    st.lists(INSTANCES, max_size=2).map(tuple),
)  # fmt: skip
STUDIES = st.builds(
    StudyRecord,
    rows(
        "TimezoneOffsetFromUTC AccessionNumber StudyDescription PatientID IssuerOfPatientID"
        " PatientName ModalitiesInStudy",
        ["StudyInstanceUID"], ["StudyDate"], ["StudyTime"],
        ["NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"],
    ),
    st.lists(SERIES, max_size=2).map(tuple),
    st.one_of(st.none(), st.datetimes()),
)  # fmt: skip


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(STUDIES, st.sampled_from([MANNER, BARE]))
def test_any_study_is_valid(valid, record, manner):
    """Whatever objects say of themselves, the resource keeps to the schema, and can be written."""
    valid(json.loads(json.dumps(imaging_study(record, manner, version="1.2")).encode()))


@pytest.mark.parametrize(
    ("date", "time", "offset", "wanted"),
    [
        (dt.date(2026, 3, 4), dt.time(5, 6, 7), "+0100", "2026-03-04T05:06:07+01:00"),
        (dt.date(2026, 3, 4), dt.time(5, 6, 7, 12), "-0930", "2026-03-04T05:06:07.000012-09:30"),
        (dt.date(2026, 3, 4), dt.time(0, 0), "+1400", "2026-03-04T00:00:00+14:00"),
        (dt.date(2026, 3, 4), dt.time(5, 6, 7), None, "2026-03-04"),
        (dt.date(2026, 3, 4), dt.time(5, 6, 7), "+1430", "2026-03-04"),
        (dt.date(2026, 3, 4), dt.time(5, 6, 7), "Berlin", "2026-03-04"),
        (dt.date(2026, 3, 4), None, "+0100", "2026-03-04"),
        (dt.date(4, 3, 4), None, None, "0004-03-04"),
        (None, dt.time(5, 6, 7), "+0100", None),
    ],
)  # fmt: skip
def test_a_moment_has_a_time_only_with_an_offset(date, time, offset, wanted):
    """Without TimezoneOffsetFromUTC only the day is said: FHIR knows no time without a zone."""
    assert words.started(date, time, offset) == wanted


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_ids_are_ids_and_differ(one, other):
    """Each text has an id that FHIR allows, a UID its own, and two never the same."""
    first, second = words.resource_id(one), words.resource_id(other)
    assert len(first) <= 64
    assert set(first) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    assert (first == second) == (one == other)
    assert words.resource_id("1.2.840.1") == "1.2.840.1"


def test_a_study_says_all_that_is_known(desk, make_entry, valid):
    """Identifiers, subject, codes, counts, series and instances are where R4 has them."""
    study = {
        "StudyDate": "20260304", "StudyTime": "050607", "TimezoneOffsetFromUTC": "+0100",
        "AccessionNumber": "A1", "StudyDescription": "Thorax", "PatientID": "P1",
        "IssuerOfPatientID": "HOSP", "PatientName": "Doe^Jane",
    }  # fmt: skip
    series = {"SeriesNumber": "2", "BodyPartExamined": "CHEST", "Laterality": "L"}
    made = desk(
        make_entry(1, 1.7e9, InstanceNumber="1", **study, **series),
        make_entry(2, 1.7e9 + 5, InstanceNumber="2", **study, **series),
        make_entry(3, SeriesInstanceUID="1.4", Modality="ACME", **study),
        patient_names=True,
        issuers={"HOSP": "urn:oid:1.2.99"},
    )
    found = made.study("1.2", "https://node")
    assert found is not None
    told = valid(found.resource)
    assert found.version == told["meta"]["versionId"] == "0.3"
    assert told["meta"]["lastUpdated"] == "2023-11-14T22:13:25.000Z"
    assert told["identifier"] == [
        {"use": "official", "system": "urn:dicom:uid", "value": "urn:oid:1.2"},
        {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                              "code": "ACSN"}]}, "value": "A1"},
    ]  # fmt: skip
    assert told["subject"] == {
        "type": "Patient",
        "identifier": {"value": "P1", "system": "urn:oid:1.2.99", "assigner": {"display": "HOSP"}},
        "display": "Doe Jane",
    }
    assert told["started"] == "2026-03-04T05:06:07+01:00"
    assert {one["code"] for one in told["modality"]} == {"CT", "ACME"}
    assert (told["numberOfSeries"], told["numberOfInstances"]) == (2, 3)
    assert told["contained"][0]["address"] == "https://node/dicom-web"
    assert told["endpoint"] == [{"reference": "#dicom-web"}]
    first = next(one for one in told["series"] if one["uid"] == "1.3")
    assert (first["number"], first["modality"]["system"]) == (2, words.DCM)
    assert first["bodySite"]["code"] == "51185008"
    assert first["laterality"]["display"] == "Left"
    assert [one["number"] for one in first["instance"]] == [1, 2]
    assert first["instance"][0]["sopClass"] == {
        "system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2"
    }  # fmt: skip


@pytest.mark.p6
def test_names_are_told_only_where_the_config_says_so(desk, make_entry, valid):
    """By default a subject is an identifier, without a name."""
    made = desk(make_entry(1, PatientID="P1", PatientName="Doe^Jane"))
    found = made.study("1.2", "")
    assert found is not None
    assert "Doe" not in json.dumps(valid(found.resource))
    assert found.resource["subject"]["identifier"]["value"] == "P1"


def test_what_is_no_uid_is_found_by_its_id(desk, make_entry, valid):
    """A Study whose UID has characters that FHIR forbids has an id of its own, and is found."""
    odd = "no uid/" + "9" * 60
    made = desk(make_entry(1, StudyInstanceUID=odd))
    (one,) = made.search(_everything(), "").resources
    assert one["id"].startswith("x-")
    found = made.study(one["id"], "")
    assert found is not None
    assert valid(found.resource)["id"] == one["id"]
    assert made.study("x-" + "0" * 40, "") is None
    assert math.isfinite(len(found.version))


def _everything():
    from node.fhir.search import read

    return read([], {})
