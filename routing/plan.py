"""From a complete Series and the rules to the jobs that are owed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Final

from config.conditions import Attributes, Undecided
from dicom import result_kinds
from dicom.entity import Origin, SeriesKey
from routing.job import Kind, NewJob, priority_of
from routing.rules import Per, Rule, choose
from routing.windows import opens_at

PLANNED: Final = frozenset({Kind.FORWARD, Kind.REIDENTIFY, Kind.INFER})
"""The kinds of jobs that rules ask for; others follow from these, or from what arrives."""


Taken = Mapping[str, Collection[str]]
"""The kinds of results that destinations are sent (dicom/result_kinds.py), by name; one that is
not here is sent all."""
ALL: Final[Taken] = {}


@dataclass(frozen=True, slots=True)
class Settled:
    """One revision of a Series that counts as complete."""

    key: SeriesKey
    revision: int
    origin: Origin
    made_by: str
    """For a result: the rule that asked for it."""
    attributes: Attributes
    sop_class_uid: str = ""
    """Of its Instances; it says what kind of result a Series of results is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a revision of a Series owes, and which rules could not say."""

    jobs: tuple[NewJob, ...]
    undecided: tuple[tuple[Rule, Undecided], ...] = ()


def plan_both(series: Settled, rules: Sequence[Rule], taken: Taken = ALL) -> Plan:
    """List what a Series owes in all, its Study being complete as well.

    Its attributes must be able to answer for the Study too.
    """
    first, second = (plan(series, rules, per, taken) for per in Per)
    return Plan(first.jobs + second.jobs, first.undecided + second.undecided)


def with_staging(jobs: Sequence[NewJob], destination: str) -> list[NewJob]:
    """Have each Series staged first that is owed to somebody; "" stages nothing."""
    owed = [job for job in jobs if job.kind in {Kind.FORWARD, Kind.REIDENTIFY}]
    first = {
        job.series: NewJob(
            Kind.STAGE, job.series, job.revision, "", destination, priority=job.priority + 1
        )
        for job in owed
        if destination
    }
    return [*first.values(), *jobs]


def plan(series: Settled, rules: Sequence[Rule], per: Per = Per.SERIES, taken: Taken = ALL) -> Plan:
    """List what one revision of a Series owes once it is complete, or once its Study is.

    A Series from outside owes the `send` and `infer` of every rule that matches; a rule of which
    nobody can say counts as not matching. A result owes the `results_to` of the rule that asked for
    it, but for destinations that take no results of its kind, and is never inferred again; it keeps
    its identity, because it goes back to where the patient is known.
    """
    key, revision = series.key, series.revision
    if series.origin is Origin.AI and per is Per.STUDY:
        return Plan(())
    if series.origin is Origin.AI:
        return Plan(
            tuple(
                NewJob(
                    Kind.FORWARD,
                    key,
                    revision,
                    rule.name,
                    destination,
                    priority=priority_of(rule.priority, is_result=True),
                )
                for rule in rules
                if rule.name == series.made_by
                for destination in rule.results_to
                if _takes(destination, series.sop_class_uid, taken)
            )
        )
    jobs: list[NewJob] = []
    choice = choose(rules, series.attributes, per)
    for rule in choice.matched:
        kind = Kind.REIDENTIFY if rule.reidentify else Kind.FORWARD
        profile = rule.reidentify or rule.profile
        rank = priority_of(rule.priority, is_result=False)
        jobs += [
            NewJob(kind, key, revision, rule.name, destination, profile, priority=rank)
            for destination in rule.send
        ]
        jobs += [
            NewJob(Kind.INFER, key, revision, rule.name, model, priority=rank)
            for model in rule.infer
        ]
    return Plan(tuple(jobs), choice.undecided)


def _takes(destination: str, sop_class_uid: str, taken: Taken) -> bool:
    kind = result_kinds.kind_of(sop_class_uid)
    return kind is None or destination not in taken or kind in taken[destination]


def timed(
    jobs: Sequence[NewJob], rules: Sequence[Rule], now: float, zone: tzinfo | None = None
) -> tuple[NewJob, ...]:
    """Let jobs wait for the hours of their rules, where they are not within them now."""
    begin = {rule.name: opens_at(rule.during, now, zone) for rule in rules if rule.during}
    return tuple(
        replace(job, not_before=at) if (at := begin.get(job.rule, now)) > now else job
        for job in jobs
    )
