"""Make HTML out of tags, so that every text in it is escaped, whoever wrote the text."""

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Markup(str):
    """HTML that is safe as it stands: made by `tag` alone, out of escaped texts."""

    __slots__ = ()


Child = Markup | str | int | float | None
"""A text is escaped; None is nothing."""


def tag(
    name: str, /, *children: Child | Iterable[Child], **attributes: str | float | None
) -> Markup:
    """Make an element. Of an attribute `_` becomes `-`, or at its end nothing; None leaves it."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{together(*children)}</{name}>")


def together(*children: Child | Iterable[Child]) -> Markup:
    """Join what stands side by side."""
    return Markup("".join(_written(child) for child in children))


def document(language: str, head: Markup, body: Markup) -> str:
    """Make a whole page."""
    return f"<!doctype html>\n{tag('html', head, body, lang=language)}\n"


def _written(child: Child | Iterable[Child]) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, (str, int, float)):
        return escape(str(child))
    return "".join(_written(one) for one in child)
