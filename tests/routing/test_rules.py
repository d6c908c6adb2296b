"""A `when` table matches what it says, and a plan is what the rules owe."""

import pytest

from dicom.entity import Origin, SeriesKey
from routing.job import Kind
from routing.plan import Settled, plan
from routing.rules import compile_rule

CT = {
    "Modality": ["CT"],
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "Rows": ["512"],
    "SeriesDescription": ["Chest 1.0 B30f"],
    "calling_ae": ["CT_ROOM_2"],
}


def attributes(keyword: str) -> list[str]:
    return CT.get(keyword, [])


@pytest.mark.parametrize(
    ("when", "matches"),
    [
        ({}, True),
        ({"Modality": "CT"}, True),
        ({"Modality": ["MR", "CT"]}, True),
        ({"Modality": "MR"}, False),
        ({"Modality": "C"}, False),
        ({"Modality": "C*"}, True),
        ({"Modality": "ct"}, False),
        ({"ImageType": "AXIAL"}, True),
        ({"ImageType": "LOCALIZER"}, False),
        ({"Rows": 512}, True),
        ({"Rows": [256, 1024]}, False),
        ({"SeriesDescription": "Chest*"}, True),
        ({"SeriesDescription": "Chest ?.? B30f"}, True),
        ({"calling_ae": "CT_ROOM_*"}, True),
        ({"Modality": "CT", "calling_ae": "MR_*"}, False),
        ({"PatientComments": "*"}, False),
        ({"Modality": "[C]T"}, True),
    ],
)
def test_conditions(when: dict[str, object], matches: bool):
    """Values are alternatives, conditions all hold, an absent attribute never matches."""
    assert compile_rule("r", when).matches(attributes) is matches


RULES = [
    compile_rule(
        "chest",
        {"Modality": "CT"},
        profile="research",
        send=["lake"],
        infer=["lungs"],
        results_to=["pacs", "lake"],
    ),
    compile_rule("all", {}, send=["archive"]),
    compile_rule("mr", {"Modality": "MR"}, send=["nowhere"]),
]
KEY = SeriesKey("1.2", "1.2.3")


def test_plan_owes_what_every_matching_rule_says():
    """A Series from outside owes the sends, under the profile, and the inferences."""
    jobs = plan(Settled(KEY, 1, Origin.DIMSE, "", attributes), RULES).jobs
    assert [(job.kind, job.target, job.profile) for job in jobs] == [
        (Kind.FORWARD, "lake", "research"),
        (Kind.INFER, "lungs", ""),
        (Kind.FORWARD, "archive", ""),
    ]


def test_a_rule_that_reidentifies_owes_the_way_back():
    """Results of others on de-identified objects are led back under the profile that is named."""
    rule = compile_rule("back", {}, reidentify="linked", send=["pacs"])
    (job,) = plan(Settled(KEY, 1, Origin.DIMSE, "", attributes), [rule]).jobs
    assert (job.kind, job.target, job.profile) == (Kind.REIDENTIFY, "pacs", "linked")


def test_a_result_goes_where_its_rule_says_and_nowhere_else():
    """A result is sent by the rule that asked for it, with its identity, and never inferred."""
    jobs = plan(Settled(KEY, 1, Origin.AI, "chest", attributes), RULES).jobs
    assert [(job.kind, job.target, job.profile) for job in jobs] == [
        (Kind.FORWARD, "pacs", ""),
        (Kind.FORWARD, "lake", ""),
    ]
    assert plan(Settled(KEY, 1, Origin.AI, "gone", attributes), RULES).jobs == ()
