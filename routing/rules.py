"""Which rules match a Series: every one whose conditions all hold, until one says stop.

There are two rounds. When a Series is complete, the rules per Series are asked; when its Study is,
those per Study. What a rule per Series says stop to is kept from those per Study that stand behind
it as well; a rule per Study can stop no rule per Series, which was asked before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import config.rule
from config import conditions, windows
from config.conditions import Attributes, Condition, Undecided
from config.expressions import Expression, compile_expression
from config.windows import Window

ROUTE_KEYS: Final = frozenset(conditions.ROUTE_KEYS)
"""What rules may ask for that stands in no head: who sent the Series, to which title, when."""


class Per(StrEnum):
    """What must be complete before a rule is asked."""

    SERIES = "series"
    STUDY = "study"


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule: what it asks of a Series, and what then is owed."""

    name: str
    when: tuple[Condition, ...]
    """Those first that no head need be read for."""
    expr: Expression | None
    priority: int
    stop: bool
    profile: str
    reidentify: str
    send: tuple[str, ...]
    infer: tuple[str, ...]
    results_to: tuple[str, ...]
    per: Per = Per.SERIES
    during: tuple[Window, ...] = ()
    """The hours at which its jobs are done; without any, at all hours."""

    @property
    def asks_of_study(self) -> bool:
        """Whether a condition asks for what a further Series of the Study may change."""
        asked = {condition.keyword for condition in self.when}
        return bool(conditions.STUDY_KEYS & asked.union(self.expr.names if self.expr else ()))

    def matches(self, attributes: Attributes) -> bool:
        """Whether every condition holds; a rule without conditions matches every Series.

        Raises Undecided when nobody can say.
        """
        for condition in self.when:
            if not condition.holds(attributes):
                return False
        return self.expr is None or self.expr.holds(attributes)


@dataclass(frozen=True, slots=True)
class Choice:
    """The rules that a Series falls under, in the order in which they were asked."""

    matched: tuple[Rule, ...]
    undecided: tuple[tuple[Rule, Undecided], ...]
    """Those of which nobody can say: they count as not matching, and somebody should know."""


def choose(rules: Sequence[Rule], attributes: Attributes, per: Per = Per.SERIES) -> Choice:
    """Ask rules of one round in their order, and no further once one that says stop matches.

    Nor after one that says stop and is undecided: those behind it are for the rest, and whether the
    Series is of the rest nobody knows. So a fault never sends what a rule was to keep back.
    """
    matched: list[Rule] = []
    undecided: list[tuple[Rule, Undecided]] = []
    for rule in rules:
        mine = rule.per is per
        if not mine and (per is Per.SERIES or not rule.stop):
            continue
        try:
            if not rule.matches(attributes):
                continue
            if mine:
                matched.append(rule)
        except Undecided as fault:
            if mine:  # of one per Series it was told when the Series was complete
                undecided.append((rule, fault))
        if rule.stop:
            break
    return Choice(tuple(matched), tuple(undecided))


def asked_of_heads(rules: Iterable[Rule]) -> frozenset[str]:
    """Name the DICOM keywords that rules ask for."""
    asked: set[str] = set()
    for rule in rules:
        asked.update(condition.keyword for condition in rule.when)
        asked.update(rule.expr.names if rule.expr else ())
    return frozenset(asked - ROUTE_KEYS - conditions.STUDY_KEYS)


def compile_rules(rules: Iterable[config.rule.Rule]) -> list[Rule]:
    """Compile the [[rules]] of a config file, and put them in the order in which they are asked.

    Those of a valid file compile: config.load finds what is wrong with the others.
    """
    compiled = [
        compile_rule(
            rule.name,
            rule.when,
            expr=rule.expr,
            priority=rule.priority,
            stop=rule.stop,
            profile=rule.profile,
            reidentify=rule.reidentify,
            send=rule.send,
            infer=rule.infer,
            results_to=rule.results_to,
            per=Per(rule.per),
            during=rule.during,
        )
        for rule in rules
    ]
    return sorted(compiled, key=lambda rule: -rule.priority)


def compile_rule(
    name: str,
    when: Mapping[str, Any],
    *,
    expr: str | None = None,
    priority: int = 0,
    stop: bool = False,
    profile: str | None = None,
    reidentify: str | None = None,
    send: Sequence[str] = (),
    infer: Sequence[str] = (),
    results_to: Sequence[str] = (),
    per: Per = Per.SERIES,
    during: Sequence[str] = (),
) -> Rule:
    """Make a rule of a [[rules]] table. Raises ValueError when a condition cannot be used."""
    asked = [conditions.read(key, value) for key, value in when.items()]
    return Rule(
        name,
        tuple(sorted(asked, key=lambda one: one.keyword not in ROUTE_KEYS)),
        compile_expression(expr) if expr is not None else None,
        priority,
        stop,
        profile or "",
        reidentify or "",
        tuple(send),
        tuple(infer),
        tuple(results_to),
        per,
        tuple(map(windows.read, during)),
    )
