"""`penumbra status`: what the node received, owes and holds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node import moments
from node.options import config_option
from node.tables import print_facts

if TYPE_CHECKING:
    from config.model import Settings

_DISK: Final = {
    "slow": "short of room: storing is slowed down",
    "refusing": "short of room: who comes to store is asked to come back later",
    "full": "full: objects are refused with 0xA700",
}
_WORRYING: Final = frozenset({"trouble", "disk", "quarantined", "rules", "paused", "unreachable"})


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(config_file: Path, *, as_json: bool) -> None:
    """Show what the node received, what it owes, what it holds, and how much room is left.

    A running node answers itself; otherwise the ledger is read, and the first line says that no
    node runs.

    \b
    Examples:
      penumbra status -c node.toml
      penumbra status --json | jq .jobs.held
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import json

    from config.load import load

    facts = read(load(config_file, with_secrets=False))
    if as_json:
        click.echo(json.dumps(facts))
    else:
        told = list(lines(facts))
        print_facts(told, bad={name for name, words in told if _is_bad(name, words)})


def read(settings: "Settings") -> dict[str, Any]:
    """Ask the running node, or count in the ledger where none runs."""
    from dicom.errors import Unreachable
    from node.control_client import SOCKET_NAME, ControlClient
    from node.ledger import summary

    try:
        return ControlClient(settings.node.data_dir / SOCKET_NAME).status()
    except Unreachable as fault:
        node = {"running": False, "ae_title": settings.node.ae_title, "trouble": str(fault)}
        return {"node": node, **(summary(settings) or {})}


def _is_bad(name: str, words: str) -> bool:
    return name in _WORRYING or (name == "held" and not words.startswith("0 "))


def lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say the facts in words: a name and a sentence each; what is not known is left out."""
    node = facts["node"]
    yield "node", _node(node)
    if node.get("trouble"):
        yield "trouble", str(node["trouble"])
    if received := facts.get("received"):
        words = ", ".join(
            _count(received.get(key), key) for key in ("instances", "series", "studies")
        )
        settling = received.get("open_series")
        yield "received", words + (f"; {settling} series not complete yet" if settling else "")
    if jobs := facts.get("jobs"):
        states = ("waiting", "running", "done", "dropped")
        yield "jobs", ", ".join(f"{jobs.get(state, 0)} {state}" for state in states)
        held = jobs.get("held", 0)
        yield "held", f"{held} jobs: penumbra held" if held else "0 jobs"
    yield from _hindered(facts)
    if quarantined := facts.get("quarantined"):
        reasons = ", ".join(f"{code} {count}" for code, count in quarantined.items())
        yield "quarantined", f"{_count(sum(quarantined.values()), 'instances')}: {reasons}"
    if receipts := facts.get("receipts"):
        yield "proven", _count(receipts.get("instances"), "instances") + " at destinations"
    yield from _sources(facts.get("sources", {}))
    yield from _worklist(facts.get("worklist", {}))
    yield from _lakes(facts.get("lakes", {}))
    if trouble := facts.get("account", {}).get("trouble"):
        yield "account", f"stands: {trouble}"
    if spool := facts.get("spool"):
        room = f"{_size(spool['bytes'])} in {spool['segments']} segments"
        yield "spool", f"{room}, {_size(spool['free_bytes'])} free"
    if (disk := facts.get("disk")) and disk["state"] != "ok":
        yield "disk", _DISK[disk["state"]]
    if index := facts.get("index"):
        lag = index.get("lag_records")
        yield (
            "index",
            _count(index.get("instances"), "instances") + (f", {lag} behind" if lag else ""),
        )
    if events := facts.get("events"):
        yield "events", f"last {events['last_id']}, {events['unpublished']} not published"


def _hindered(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say what keeps jobs from being done, or made."""
    if paused := facts.get("paused"):
        yield "paused", "; ".join(f"{name} ({reason})" for name, reason in paused.items())
    if failed := facts.get("rules_failed"):
        named = ", ".join(f"{name} {count} times" for name, count in failed.items())
        yield "rules", f"could not be evaluated since the start: {named}; see `rules apply`"
    for name, one in (facts.get("unreachable") or {}).items():
        since = f"does not answer since {moments.local(one['since'])}"
        yield "unreachable", f"{name} {since} ({one['words']}); {_wait(one['waiting'])}"
    for name, one in (facts.get("asleep") or {}).items():
        until = moments.local(one["until"])
        yield "asleep", f"{_wait(one['waiting'], f'of rule {name!r}')} for its hours, {until}"


def _lakes(lakes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say what lakes have, and since when."""
    for name, one in lakes.items():
        withheld = f", {one['withheld']} may not leave" if one["withheld"] else ""
        since = f"last got something {moments.local(one['exported_at'])}"
        yield "lake", f"{name}: {one['rows']} rows{withheld}; {since}"


def _node(node: Mapping[str, Any]) -> str:
    if not node["running"]:
        return f"{node['ae_title']} is not running"
    words = f"{node['ae_title']} {node['version']}, up {_time(node['uptime_s'])}, pid {node['pid']}"
    if "port" in node:
        ports = [str(node["port"])] if node["port"] else []
        ports += [f"{node['tls_port']} (TLS)"] if node.get("tls_port") else []
        words += f", port {' and '.join(ports)}, {node.get('associations', 0)} associations"
    return words


def _sources(sources: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, one in sources.items():
        at = one.get("looked_at")
        looked = f", last looked {moments.local(at)}" if at else ", not looked through yet"
        words = (
            f"{one['taken']} taken, {one['waiting']} waiting, {one['rejected']} rejected{looked}"
        )
        trouble = f"; in trouble: {one['trouble']}" if one["trouble"] else ""
        yield f"source {name}", words + trouble


def _worklist(worklist: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say how many entries are in which state, where there are any, and what is in the way."""
    entries = worklist.get("entries") or {}
    words = ", ".join(f"{count} {state.lower()}" for state, count in entries.items())
    trouble = worklist.get("trouble")
    if any(entries.values()) or trouble:
        yield "worklist", words + (f"; in trouble: {trouble}" if trouble else "")


def _count(count: object, name: str) -> str:
    singular = {"instances": "instance", "studies": "study"}.get(name, name)
    return f"{count if isinstance(count, int) else 0} {singular if count == 1 else name}"


def _wait(count: int, which: str = "") -> str:
    jobs, verb = ("job", "waits") if count == 1 else ("jobs", "wait")
    return " ".join(filter(None, (str(count), jobs, which, verb)))


def _time(seconds: float) -> str:
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    return f"{days} d {h} h" if days else f"{h} h {m} min" if h else f"{m} min {s} s"


def _size(size_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"
