"""What jobs say of their rule: how urgent they are, and when they may be done."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from dicom.entity import Origin, SeriesKey
from routing.job import Kind
from routing.plan import Settled, plan, timed
from routing.rules import compile_rule

KEY = SeriesKey("1.2", "1.3")
ZONE = ZoneInfo("Europe/Berlin")
RULES = [
    compile_rule(
        "night", {}, priority=5, send=["lake"], infer=["lungs"], results_to=["pacs"],
        during=["22:00-06:00"],
    ),
    compile_rule("day", {}, priority=-3, send=["pacs"]),
]  # fmt: skip


def settled(origin: Origin = Origin.DIMSE) -> Settled:
    return Settled(KEY, 1, origin, "night", lambda _: [])


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()


def test_a_rules_priority_orders_its_jobs_and_its_results_go_first():
    """Jobs rank as their rules do; what a model made ranks just above what came from outside."""
    ranks = {(job.kind, job.target): job.priority for job in plan(settled(), RULES).jobs}
    assert ranks == {
        (Kind.FORWARD, "lake"): 10, (Kind.INFER, "lungs"): 10, (Kind.FORWARD, "pacs"): -6,
    }  # fmt: skip
    (result,) = plan(settled(Origin.AI), RULES).jobs
    assert (result.target, result.priority) == ("pacs", 11)


def test_jobs_of_a_sleeping_rule_are_planned_for_its_hours():
    """All of its jobs wait for the next window; another rule's are due at once."""
    owed = plan(settled(), RULES).jobs
    noon = timed(owed, RULES, at("2026-03-04 12:00"), ZONE)
    assert {job.rule: job.not_before for job in noon} == {
        "night": at("2026-03-04 22:00"),
        "day": 0.0,
    }
    assert timed(owed, RULES, at("2026-03-04 23:00"), ZONE) == owed
    assert [job.dedup_key for job in noon] == [job.dedup_key for job in owed]


@pytest.mark.parametrize(
    ("sop_class", "targets"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.34", ["pacs", "desk"]),
        ("1.2.840.10008.5.1.4.1.1.7", ["pacs"]),
        ("1.2.840.10008.5.1.4.1.1.66.4", ["desk"]),
        ("1.2.3", ["pacs", "desk", "none"]),
    ],
)
def test_a_result_goes_to_those_who_take_its_kind(sop_class, targets):
    """A destination chooses kinds of results; what is of no kind goes to all."""
    rules = [compile_rule("each", {}, infer=["m"], results_to=["pacs", "desk", "none"])]
    taken = {"pacs": {"sr", "sc"}, "desk": {"sr", "seg"}, "none": set()}
    made = Settled(KEY, 1, Origin.AI, "each", lambda _: [], sop_class)
    assert [job.target for job in plan(made, rules, taken=taken).jobs] == targets
    assert [job.target for job in plan(made, rules).jobs] == ["pacs", "desk", "none"]


def test_kinds_of_results_hold_back_nothing_else():
    """What came from outside goes where its rule sends it, whatever results are taken there."""
    rules = [compile_rule("each", {}, send=["pacs"])]
    sent = Settled(KEY, 1, Origin.DIMSE, "", lambda _: [], "1.2.840.10008.5.1.4.1.1.88.34")
    assert [job.target for job in plan(sent, rules, taken={"pacs": {"sc"}}).jobs] == ["pacs"]
