"""The overview: what came in, what is owed and held, the disk, the targets, who called."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from node.web.pages import amounts
from node.web.pages.chart import draw
from node.web.pages.html import Child, Markup, tag, together
from node.web.pages.layout import Cell, badge, card, table
from storage.index.saved import Plot

Facts = Mapping[str, Any]

_HOURS: Final = Plot("bars", "hour", "objects", "Modality")
_OUTCOMES: Final = {"released": "good", "open": "none"}
_DISK_WORDS: Final = {"ok": "room enough"}


@dataclass(frozen=True, slots=True)
class Target:
    """A destination or a model: what is owed to it, and how it does."""

    name: str
    kind: str
    waiting: int = 0
    running: int = 0
    held: int = 0
    delivered: int = 0
    """Objects in the last 24 hours."""
    last_at: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the overview shows."""

    facts: Facts
    """As `penumbra status --json` has it."""
    associations: Sequence[Facts]
    """The latest, oldest first: see node/history.py."""
    targets: Sequence[Target] = ()
    hours: Sequence[Sequence[object]] = ()
    """Hour, modality and objects of the last day."""
    trouble: Sequence[str] = field(default=())
    """Why some of it cannot be shown."""


def overview(seen: Seen) -> Markup:
    """Make the page's content."""
    node = seen.facts.get("node", {})
    up = amounts.duration(node.get("uptime_s", 0))
    about = f"Version {node.get('version', '?')}, up for {up}, port {node.get('port', '?')}"
    columns = {"hour": "TIMESTAMP", "Modality": "VARCHAR", "objects": "BIGINT"}
    drawn = draw(_HOURS, "Received in the last 24 hours", columns, seen.hours)
    nothing = tag("p", "Nothing came in the last 24 hours.", class_="soft")
    return together(
        tag("h1", str(node.get("ae_title", "Overview"))),
        tag("p", about, class_="soft"),
        (_notice(words) for words in _troubles(seen)),
        tag("div", _tiles(seen.facts), class_="tiles"),
        card("Received in the last 24 hours", drawn or nothing),
        card("Destinations and models", _targets(seen)),
        card("Last associations", _associations(seen.associations)),
    )


def _troubles(seen: Seen) -> Iterable[str]:
    node, disk = seen.facts.get("node", {}), seen.facts.get("disk", {})
    if node.get("trouble"):
        yield f"Filing stands: {node['trouble']}"
    if disk.get("state", "ok") != "ok":
        yield f"The disk is short of room ({disk['state']}): see [node] refuse_below_mb."
    yield from seen.trouble


def _notice(words: str) -> Markup:
    return tag("div", words, class_="notice bad", role="alert")


def _tiles(facts: Facts) -> Iterable[Markup]:
    received, jobs = facts.get("received", {}), facts.get("jobs", {})
    owed, held = jobs.get("waiting", 0) + jobs.get("running", 0), jobs.get("held", 0)
    disk, index = facts.get("disk", {}), facts.get("index", {})
    spool, node = facts.get("spool", {}), facts.get("node", {})
    lag = index.get("lag_records", 0)
    yield _tile(
        "Received", amounts.whole(received.get("instances", 0)),
        f"objects in {amounts.whole(received.get('series', 0))} Series of"
        f" {amounts.whole(received.get('studies', 0))} Studies",
    )  # fmt: skip
    yield _tile("Owed", amounts.whole(owed), f"jobs; {jobs.get('running', 0)} of them running")
    yield _tile(
        "Held", amounts.whole(held), "jobs wait for a person" if held else "nothing waits for you",
        "bad" if held else "",
    )  # fmt: skip
    state = str(disk.get("state", "ok"))
    yield _tile(
        "Disk", amounts.size(spool.get("free_bytes", 0)),
        f"free; {_DISK_WORDS.get(state, state)}; spool {amounts.size(spool.get('bytes', 0))}",
        "" if state == "ok" else "bad",
    )  # fmt: skip
    yield _tile("Open associations", amounts.whole(node.get("associations", 0)),
                f"{len(node.get('workers', ()))} workers")  # fmt: skip
    yield _tile(
        "Index", amounts.whole(index.get("instances", 0)),
        f"objects; {amounts.whole(lag)} not filed yet" if lag else "objects; nothing waits",
        "warn" if lag > _MUCH_LAG else "",
    )  # fmt: skip


_MUCH_LAG: Final = 5000


def _tile(label: str, value: str, more: str, kind: str = "") -> Markup:
    return tag(
        "div",
        tag("div", label, class_="label"),
        tag("div", value, class_="value"),
        tag("div", more, class_="more"),
        class_=f"tile {kind}".strip(),
    )


def _targets(seen: Seen) -> Markup:
    names = ("Name", "State", "Waiting", "Running", "Held", "Objects in 24 h", "Last delivery")
    kinds = ("", "", "number", "number", "number", "number", "time")
    away, paused = seen.facts.get("unreachable", {}), seen.facts.get("paused", {})
    rows = []
    for one in seen.targets:
        contents: tuple[Child, ...] = (
            together(one.name, " ", tag("span", one.kind, class_="soft")),
            _state(one, away.get(one.name), paused.get(one.name)),
            amounts.whole(one.waiting),
            amounts.whole(one.running),
            amounts.whole(one.held),
            amounts.whole(one.delivered),
            one.last_at or "-",
        )
        rows.append([Cell(content, kind) for content, kind in zip(contents, kinds, strict=True)])
    heads = [Cell(name, kind) for name, kind in zip(names, kinds, strict=True)]
    return table(heads, rows, "No destination and no model is configured.")


def _state(one: Target, away: Facts | None, paused: str | None) -> Markup:
    if away is not None:
        since = amounts.moment(float(away.get("since", 0)))
        words = f" {away.get('fault', '')} since {since}"
        return together(badge("does not answer", "bad"), tag("span", words, class_="soft"))
    if paused is not None:
        return together(badge("paused", "warn"), tag("span", f" {paused}", class_="soft"))
    if one.held:
        return badge("jobs held", "warn")
    return badge("working" if one.running else "ready", "good")


def _associations(associations: Sequence[Facts]) -> Markup:
    names = ("Began", "Calling AE", "Address", "Outcome", "Objects", "Size", "Words")
    kinds = ("time", "", "", "", "number", "number", "")
    rows = []
    for one in reversed(associations):
        statuses: Mapping[str, int] = one.get("statuses", {})
        outcome = str(one.get("outcome") or one.get("verdict", ""))
        kind = _OUTCOMES.get(outcome, "bad")
        contents: tuple[Child, ...] = (
            amounts.moment(float(one.get("at", 0))),
            str(one.get("calling_ae", "")) or "-",
            str(one.get("address", "")),
            badge(outcome, "warn" if kind == "good" and one.get("is_bad") else kind),
            amounts.whole(sum(statuses.values())),
            amounts.size(one.get("size_bytes", 0)),
            str(one.get("words", "")),
        )
        rows.append([Cell(content, kind) for content, kind in zip(contents, kinds, strict=True)])
    heads = [Cell(name, kind) for name, kind in zip(names, kinds, strict=True)]
    return table(heads, rows, "Nobody has called since the node started.")
