"""Compare what a rule asks for with what an object says."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

When = Mapping[str, tuple[str, ...]]
"""Keyword to patterns, any of which will do; "" stands for an absent or empty attribute."""


def matches(when: When, facts: Mapping[str, tuple[str, ...]]) -> bool:
    r"""Whether every keyword of a rule is met by the facts of an object.

    Patterns know `*` and `?` and no case. They are held against each value of an attribute and
    against all of them together, as "ORIGINAL\\PRIMARY*" is for ImageType.
    """
    return all(_any(patterns, facts.get(keyword, ())) for keyword, patterns in when.items())


def _any(patterns: tuple[str, ...], values: tuple[str, ...]) -> bool:
    texts = {each.upper() for each in ("\\".join(values), *values)}
    return any(fnmatchcase(text, pattern.upper()) for pattern in patterns for text in texts)
