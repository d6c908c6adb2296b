"""The report says what was done, how often, and nothing about whom."""

import json
from dataclasses import replace

import pytest

from deid.evidence.description import describe
from deid.evidence.page import render
from deid.evidence.report import INSIDE, OUTSIDE, build, moment
from deid.evidence.signature import canonical

MADE = {"made_at": 0.0, "software": "0.1.0", "node": "PENUMBRA"}


@pytest.fixture
def report(make_study):
    return build(make_study(), **MADE)


def test_counts(report):
    """Objects are counted by their outcome, and deliveries by objects."""
    assert report["counts"] == {
        "objects": 4, "clean": 3, "quarantined": 1, "delivered": 2, "delivered_before": 0,
        "series": 1,
    }  # fmt: skip
    assert report["self_check"] == {"passed": 3, "failed": 1, "not_reached": 0}


def test_actions_are_grouped_and_weighed(report):
    """Each path stands under what was done to it, with the number of objects it was done in."""
    rows = {
        group: [(row["path"], row["action"], row["objects"]) for row in found]
        for group, found in report["actions"].items()
    }
    assert rows == {
        "removed": [("(0010,1010)", "X", 2), ("(0019,100A)", "X", 2)],
        "emptied": [("(0008,0050)", "Z", 1)],
        "replaced": [("(0008,1140)/(0008,1155)", "U", 2), ("(0010,0010)", "P", 3)],
        "shifted": [("(0008,0020)", "S", 2)],
        "cleaned": [("(0008,1030)", "C", 2)],
        "kept": [("(0008,0060)", "K", 2)],
        "other": [("(0008,0060)", "Q", 1)],
    }


def test_elements_have_names(report):
    """Paths are said in the words of the standard; private elements are called that."""
    named = {row["path"]: row["name"] for rows in report["actions"].values() for row in rows}
    assert named["(0008,1140)/(0008,1155)"] == (
        "Referenced Image Sequence > Referenced SOP Instance UID"
    )
    assert named["(0019,100A)"] == "private element"


def test_remarks_options_and_findings_are_weighed(report):
    """What an account remarks, applies and finds is counted by objects."""
    assert report["remarks"] == [
        {
            "path": "(0028,0301)",
            "name": "Burned In Annotation",
            "words": "burned-in text was not looked for",
            "objects": 2,
        }
    ]
    assert report["options_applied"] == [{"words": "modified-dates", "objects": 2}]
    assert report["validation"] == [{"words": "(0020,000D) is no valid UID", "objects": 2}]


def test_the_profile_is_named_with_its_digest(report):
    """The report says what the digest stood for, reasons included."""
    assert report["profile"]["digest"] == "f" * 64
    assert report["profile"]["exceptions"][0]["reason"] == "dose <models>"


def test_what_was_said_before_is_told(report):
    """An outcome that a later one took the place of is not hidden."""
    assert [(each["number"], each["reason"]) for each in report["overruled"]] == [(1, "breaks off")]


def test_an_object_that_left_before_it_was_quarantined_is_counted(make_study):
    """A quarantine that came too late is told first of all."""
    study = make_study()
    sent, bad = study.objects[0], study.objects[2]
    late = make_study(objects=(replace(bad, original=sent.original),), overruled=(sent,))
    report = build(late, **MADE)
    assert report["counts"]["delivered_before"] == 1
    page = render(report, b"", "k")
    assert "had been delivered before" in page
    assert "not delivered under" not in page


@pytest.mark.p6
def test_original_uids_are_left_out(make_study):
    """A report for outside holds no original UID; one for inside does, and says so."""
    outside = build(make_study(), **MADE)
    assert "1.2.840.77777" not in canonical(outside).decode()
    assert outside["audience"] == OUTSIDE
    inside = build(make_study(), **MADE, with_originals=True)
    assert inside["audience"] == INSIDE
    assert inside["quarantined"][0]["original"]["sop_instance_uid"] == "1.2.840.77777.1.3"


def test_a_study_of_which_nothing_came_through(make_study):
    """A report can consist of quarantined objects alone."""
    study = make_study()
    report = build(
        make_study(study_instance_uid="", objects=study.objects[2:3], overruled=()), **MADE
    )
    assert report["counts"]["clean"] == 0
    assert report["actions"] == {}


def test_the_same_facts_give_the_same_bytes(make_study):
    """A report is a pure function of its facts, and holds no floats."""
    first, second = (canonical(build(make_study(), **MADE)) for _ in range(2))
    assert first == second
    json.loads(first, parse_float=pytest.fail)


def test_moments_are_utc():
    """Times are written in UTC."""
    assert moment(1_700_000_000.9) == "2023-11-14T22:13:20Z"


def test_a_compiled_profile_is_described(profile):
    """A profile is described by its rules and reasons, without its key."""
    from config.profiles import Profile, ProfileException
    from config.shapes import Secret

    settings = Profile(
        key=Secret(env="SECRET_NAME"),
        exceptions=(ProfileException(tag="PatientSex", action="keep", reason="dose"),),
    )
    described = describe(profile, settings)
    assert described["digest"] == profile.digest
    assert described["exceptions"] == [{"tag": "PatientSex", "action": "keep", "reason": "dose"}]
    assert described["departures"]
    assert "SECRET_NAME" not in json.dumps(described)
