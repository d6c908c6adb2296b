"""Why each rule did or did not match a Series: every condition, and whether it held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.conditions import Attributes, Undecided
from routing.rules import Per, Rule

Values = Mapping[str, tuple[str, ...]]
"""An attribute's values by keyword: a patient's data, to be shown with care."""


class Verdict(StrEnum):
    """What came of a rule."""

    MATCHES = "matches"
    DOES_NOT = "does not match"
    UNDECIDED = "cannot be evaluated, so it counts as not matching"
    NOT_ASKED = "is not asked: a rule before it says stop"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a rule, and how it fared."""

    words: str
    """What is asked for, as it stands in the config file."""
    held: bool | None
    """None when it could not be said."""
    values: Values
    fault: str = ""
    """Why it could not be said; may quote a value."""


@dataclass(frozen=True, slots=True)
class Account:
    """One rule, and how it fared."""

    rule: Rule
    verdict: Verdict
    checks: tuple[Check, ...]


def explain(rules: Sequence[Rule], attributes: Attributes) -> list[Account]:
    """Say of each rule, in the order in which they are asked, how each of its conditions fared.

    Every condition is looked at, also where an earlier one decided: choose() comes to the same
    verdicts with less. Raises Undecided where an attribute cannot be had at all.
    """
    accounts: list[Account] = []
    stopped: set[Per] = set()
    for rule in rules:
        checks = tuple(_checks(rule, attributes))
        verdict = Verdict.NOT_ASKED if rule.per in stopped else _verdict(checks)
        if rule.stop and verdict in {Verdict.MATCHES, Verdict.UNDECIDED}:
            stopped |= {Per.STUDY, rule.per}  # one per Study stops none per Series
        accounts.append(Account(rule, verdict, checks))
    return accounts


def _verdict(checks: Sequence[Check]) -> Verdict:
    if any(check.held is False for check in checks):
        return Verdict.DOES_NOT
    return Verdict.UNDECIDED if any(check.held is None for check in checks) else Verdict.MATCHES


def _checks(rule: Rule, attributes: Attributes) -> list[Check]:
    checks = [
        Check(
            f"{one.keyword} = {one.words}",
            one.holds(attributes),
            {one.keyword: tuple(attributes(one.keyword))},
        )
        for one in rule.when
    ]
    if rule.expr is not None:
        held, fault = None, ""
        try:
            held = rule.expr.holds(attributes)
        except Undecided as undecided:
            fault = undecided.detail or str(undecided)
        values = {name: tuple(attributes(name)) for name in rule.expr.names}
        checks.append(Check(f"expr = {rule.expr.text}", held, values, fault))
    return checks
