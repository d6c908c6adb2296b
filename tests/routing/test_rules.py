"""Rules match what they say, in their order; a plan is what they owe; and both can be explained."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import config.rule
from dicom.entity import Origin, SeriesKey
from routing.explain import Verdict, explain
from routing.job import Kind, NewJob
from routing.plan import Settled, plan
from routing.replay import compare
from routing.rules import ROUTE_KEYS, Per, Rule, asked_of_heads, choose, compile_rule, compile_rules

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


def test_conditions_that_need_no_head_come_first():
    """A rule for another sender is decided before a head is read."""

    def asked(keyword: str) -> list[str]:
        assert keyword in ROUTE_KEYS
        return ["CT1"]

    rule = compile_rule("r", {"Modality": "MR", "calling_ae": "MR*"}, expr='Modality == "MR"')
    assert rule.matches(asked) is False


def names(rules: Iterable[Rule]) -> str:
    return "".join(rule.name for rule in rules)


def toml_rules(*rules: dict[str, Any]) -> list[Rule]:
    return compile_rules(
        config.rule.Rule.model_validate({"send": ("x",), **rule}) for rule in rules
    )


def test_rules_are_asked_by_priority_then_as_they_stand():
    """More priority comes first; among equals the file's order stands."""
    rules = toml_rules(
        {"name": "a"},
        {"name": "b", "priority": 5},
        {"name": "c", "priority": -5},
        {"name": "d"},
        {"name": "e", "priority": 5},
    )
    assert names(rules) == "beadc"
    assert names(choose(rules, attributes).matched) == "beadc"


def rule(
    name: str,
    verdict: str,
    *,
    stop: bool = False,
    priority: int = 0,
    per: Per = Per.SERIES,
) -> Rule:
    """Make a rule that matches, does not, or cannot be evaluated."""
    expr = {"yes": "true", "no": "false", "fails": "1 / 0 == 1"}[verdict]
    return compile_rule(name, {}, expr=expr, stop=stop, priority=priority, send=["x"], per=per)


@pytest.mark.parametrize(
    ("rules", "matched", "undecided"),
    [
        ([rule("a", "yes"), rule("b", "yes")], "ab", ""),
        ([rule("a", "yes", stop=True), rule("b", "yes")], "a", ""),
        ([rule("a", "no", stop=True), rule("b", "yes")], "b", ""),
        ([rule("a", "fails"), rule("b", "yes")], "b", "a"),
        ([rule("a", "fails", stop=True), rule("b", "yes")], "", "a"),
        ([rule("a", "yes"), rule("b", "fails", stop=True), rule("c", "yes")], "a", "b"),
        ([], "", ""),
    ],
)
def test_stop_ends_the_asking(rules: list[Rule], matched: str, undecided: str):
    """A rule that says stop ends the asking where it matches, and where nobody can say."""
    found = choose(rules, attributes)
    assert names(found.matched) == matched
    assert names(failed for failed, _ in found.undecided) == undecided


SOME_RULES = st.lists(
    st.builds(
        rule,
        st.sampled_from("abcdef"),
        st.sampled_from(["yes", "no", "fails"]),
        stop=st.booleans(),
        priority=st.integers(-1, 1),
        per=st.sampled_from(Per),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(SOME_RULES)
def test_an_explanation_tells_what_was_chosen(rules: list[Rule]):
    """The verdicts that are explained are those by which jobs are made, and every time the same."""
    accounts = explain(rules, attributes)
    assert [one.rule for one in accounts] == rules
    assert explain(rules, attributes) == accounts
    for per in Per:
        found = choose(rules, attributes, per)
        of = {
            verdict: [
                one.rule for one in accounts if one.verdict is verdict and one.rule.per is per
            ]
            for verdict in Verdict
        }
        assert of[Verdict.MATCHES] == list(found.matched)
        assert of[Verdict.UNDECIDED] == [failed for failed, _ in found.undecided]
        assert not any(one.stop for one in found.matched[:-1])


@settings(deadline=None, max_examples=40)
@given(SOME_RULES)
def test_rules_per_study_change_nothing_for_a_series(rules: list[Rule]):
    """What a Series owes when it is complete does not depend on rules that are asked later."""
    per_series = [one for one in rules if one.per is Per.SERIES]
    with_all, without = choose(rules, attributes), choose(per_series, attributes)
    assert with_all.matched == without.matched
    assert [one for one, _ in with_all.undecided] == [one for one, _ in without.undecided]
    assert all(one.per is Per.STUDY for one in choose(rules, attributes, Per.STUDY).matched)


@pytest.mark.parametrize(
    ("rules", "matched"),
    [
        ([rule("a", "yes", per=Per.STUDY), rule("b", "yes")], "a"),
        ([rule("b", "yes", stop=True), rule("a", "yes", per=Per.STUDY)], ""),
        ([rule("b", "fails", stop=True), rule("a", "yes", per=Per.STUDY)], ""),
        ([rule("b", "no", stop=True), rule("a", "yes", per=Per.STUDY)], "a"),
        ([rule("a", "yes", stop=True, per=Per.STUDY), rule("c", "yes", per=Per.STUDY)], "a"),
    ],
)
def test_what_is_kept_back_is_kept_from_rules_per_study(rules: list[Rule], matched: str):
    """A rule per Series that says stop ends the asking of those per Study behind it too."""
    assert names(choose(rules, attributes, Per.STUDY).matched) == matched


def test_what_fails_is_owed_nothing_and_told():
    """A rule of which nobody can say makes no job; the plan names it."""
    owed = plan(
        Settled(KEY, 1, Origin.DIMSE, "", attributes), [rule("a", "fails"), rule("b", "yes")]
    )
    assert [(job.rule, job.target) for job in owed.jobs] == [("b", "x")]
    ((failed, fault),) = owed.undecided
    assert (failed.name, fault.code) == ("a", "undecided")


def test_heads_are_asked_for_what_rules_name():
    """Only DICOM keywords are read from heads, those within expressions too."""
    rules = [
        compile_rule("a", {"Modality": "CT", "time": "08:00-18:00"}),
        compile_rule("b", {}, expr='Rows > 5 && calling_ae == "X" && PatientSex == "F"'),
    ]
    assert asked_of_heads(rules) == {"Modality", "Rows", "PatientSex"}


def test_an_explanation_shows_each_condition():
    """Each condition stands there as it is written, with whether it held and the values."""
    one = compile_rule(
        "r", {"Modality": "CT", "Rows": {"from": 600}}, expr="SliceLocation > 1", send=["x"]
    )
    (account,) = explain([one], attributes)
    assert account.verdict is Verdict.DOES_NOT
    assert [(check.words, check.held, dict(check.values)) for check in account.checks] == [
        ('Modality = "CT"', True, {"Modality": ("CT",)}),
        ("Rows = { from = 600 }", False, {"Rows": ("512",)}),
        ("expr = SliceLocation > 1", None, {"SliceLocation": ()}),
    ]
    assert account.checks[2].fault


JOBS = st.lists(
    st.builds(
        NewJob,
        st.sampled_from([Kind.FORWARD, Kind.INFER]),
        st.just(KEY),
        st.just(1),
        st.sampled_from("rs"),
        st.sampled_from("xyz"),
        st.sampled_from(["", "p"]),
    ),
    max_size=5,
)


@given(JOBS, JOBS)
def test_a_change_is_what_differs(before: list[NewJob], after: list[NewJob]):
    """Comparing a plan with itself tells nothing; the other way round is the contrary."""
    change, back = compare(before, after), compare(after, before)
    assert not compare(before, before)
    assert (change.added, change.missing) == (back.missing, back.added)
    assert bool(change) is bool(back)
    kept = [job for job in before if job not in change.missing]
    debts = [{(job.kind, job.target, job.profile) for job in jobs}
             for jobs in ([*kept, *change.added], after)]  # fmt: skip
    assert debts[0] == debts[1]


def test_a_rule_of_another_name_changes_nothing():
    """What counts is what is done to which target under which profile."""
    before = NewJob(Kind.FORWARD, KEY, 1, "old", "lake", "research")
    after = NewJob(Kind.FORWARD, KEY, 1, "new", "lake", "research")
    change = compare([before], [after])
    assert not change
    assert (change.rules_before, change.rules_after) == (("old",), ("new",))
    assert compare([before], [NewJob(Kind.FORWARD, KEY, 1, "old", "lake")])
