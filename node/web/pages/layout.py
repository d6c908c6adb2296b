"""What all pages share: their head and foot, and the headers that keep a browser inside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import HTMLResponse, Response

from config.api import ApiPermission
from node.web.pages.html import Child, Markup, document, tag, together

PREFIX: Final = "/pages"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'none'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_PLACES: Final = (("Overview", f"{PREFIX}/", "status"), ("Reports", f"{PREFIX}/reports", "sql"))
"""Each with the permission that opens it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is shown: on which node, where in the navigation, and to whom."""

    node_name: str
    here: str
    may: frozenset[ApiPermission]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table."""

    content: Child
    kind: str = ""
    """number, time, key, or nothing."""


def page(
    title: str, place: Place, content: Child, *, status: int = 200, every_s: int = 0
) -> Response:
    """Make a page; with `every_s` it comes anew by itself."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="refresh", content=every_s) if every_s else None,
        tag("title", f"{title} - {place.node_name}"),
        tag("link", rel="stylesheet", href=f"{PREFIX}/style.css"),
        tag("link", rel="icon", href=f"{PREFIX}/icon.svg", type="image/svg+xml"),
    )
    links = (
        tag("a", name, href=href, aria_current="page" if name == place.here else None)
        for name, href, needs in _PLACES
        if needs in place.may
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", class_="skip", href="#content"),
        tag(
            "header",
            tag("div", tag("span", "Penumbra ", tag("span", place.node_name), class_="name"),
                tag("nav", links, aria_label="Pages")),
            class_="top",
        ),
        tag("main", content, id="content"),
        tag("footer", "Times are in UTC. Not for diagnosis."),
    )  # fmt: skip
    return HTMLResponse(document("en", head, body), status, headers=HEADERS)


def table(names: Sequence[Cell], rows: Sequence[Sequence[Cell]], nothing: str) -> Markup:
    """Make a table, or say that there is nothing."""
    if not rows:
        return tag("p", nothing, class_="soft")
    head = tag("thead", tag("tr", (_cell("th", one, scope="col") for one in names)))
    body = tag("tbody", (tag("tr", (_cell("td", one) for one in row)) for row in rows))
    # It can be wider than a telephone: whoever has only keys must be able to move it too.
    return tag("div", tag("table", head, body), class_="scroll", tabindex=0, role="region",
               aria_label="table")  # fmt: skip


def _cell(name: str, one: Cell, scope: str | None = None) -> Markup:
    return tag(name, one.content, class_=one.kind or None, scope=scope)


def badge(words: str, kind: str) -> Markup:
    """Make a word with a colour: good, warn, bad or none."""
    return tag("span", words, class_=f"badge {kind}")


def card(title: str, *content: Child) -> Markup:
    """Make a part of a page with a title of its own."""
    return tag("section", tag("h2", title), together(*content), class_="card")
