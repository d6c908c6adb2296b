"""From a complete Series and the rules to the jobs that are owed."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.conditions import Attributes, Undecided
from dicom.entity import Origin, SeriesKey
from routing.job import Kind, NewJob
from routing.rules import Rule, choose


@dataclass(frozen=True, slots=True)
class Settled:
    """One revision of a Series that counts as complete."""

    key: SeriesKey
    revision: int
    origin: Origin
    made_by: str
    """For a result: the rule that asked for it."""
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Plan:
    """What a revision of a Series owes, and which rules could not say."""

    jobs: tuple[NewJob, ...]
    undecided: tuple[tuple[Rule, Undecided], ...] = ()


def plan(series: Settled, rules: Sequence[Rule]) -> Plan:
    """List what one revision of a Series owes.

    A Series from outside owes the `send` and `infer` of every rule that matches; a rule of which
    nobody can say counts as not matching. A result owes the `results_to` of the rule that asked for
    it and is never inferred again; it keeps its identity, because it goes back to where the patient
    is known.
    """
    key, revision = series.key, series.revision
    if series.origin is Origin.AI:
        return Plan(
            tuple(
                NewJob(Kind.FORWARD, key, revision, rule.name, destination)
                for rule in rules
                if rule.name == series.made_by
                for destination in rule.results_to
            )
        )
    jobs: list[NewJob] = []
    choice = choose(rules, series.attributes)
    for rule in choice.matched:
        kind = Kind.REIDENTIFY if rule.reidentify else Kind.FORWARD
        profile = rule.reidentify or rule.profile
        jobs += [
            NewJob(kind, key, revision, rule.name, destination, profile)
            for destination in rule.send
        ]
        jobs += [NewJob(Kind.INFER, key, revision, rule.name, model) for model in rule.infer]
    return Plan(tuple(jobs), choice.undecided)
