"""Which rules match a Series: `when` tables over DICOM keywords and AE titles."""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Attributes = Callable[[str], Sequence[str]]
"""Gives an attribute's values as text by keyword; empty when the Series has none."""

Wanted = str | int | Sequence[str | int]

ROUTE_KEYS: Final = frozenset({"calling_ae", "called_ae"})
"""Conditions that are no DICOM keywords: who sent the Series, and to which title."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a `when` table: it holds when any value of the attribute fits any pattern."""

    keyword: str
    patterns: tuple[re.Pattern[str], ...]

    def holds(self, attributes: Attributes) -> bool:
        """Whether a Series with these attributes meets the condition."""
        values = [value.strip() for value in attributes(self.keyword)]
        return any(pattern.fullmatch(value) for pattern in self.patterns for value in values)


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule: what it asks of a Series, and what then is owed."""

    name: str
    when: tuple[Condition, ...]
    profile: str
    reidentify: str
    send: tuple[str, ...]
    infer: tuple[str, ...]
    results_to: tuple[str, ...]

    def matches(self, attributes: Attributes) -> bool:
        """Whether every condition holds; a rule without conditions matches every Series."""
        return all(condition.holds(attributes) for condition in self.when)


def compile_condition(keyword: str, wanted: Wanted) -> Condition:
    """Make a condition of a value or a list of values; `*` and `?` are wildcards."""
    values = [wanted] if isinstance(wanted, (str, int)) else wanted
    return Condition(
        keyword, tuple(re.compile(fnmatch.translate(str(value).strip())) for value in values)
    )


def compile_rule(
    name: str,
    when: Mapping[str, Wanted],
    *,
    profile: str | None = None,
    reidentify: str | None = None,
    send: Sequence[str] = (),
    infer: Sequence[str] = (),
    results_to: Sequence[str] = (),
) -> Rule:
    """Make a rule of a [[rules]] table."""
    conditions = tuple(compile_condition(key, value) for key, value in when.items())
    return Rule(
        name, conditions, profile or "", reidentify or "",
        tuple(send), tuple(infer), tuple(results_to),
    )  # fmt: skip
