"""`penumbra held`: the jobs that wait for a person."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.options import config_option

if TYPE_CHECKING:  # their modules are loaded only when the command runs
    from collections.abc import Callable, Iterable

    from storage.ledger.held import Group, Held, Which

_LINES_AT_ONCE = 2000


@click.command()
@config_option
@click.option("--target", metavar="NAME", help="Only what is owed to this destination or model.")
@click.option("--fault", metavar="CODE", help="Only what was held for this fault.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="List so many; count all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, without the summary.")
def command(
    config_file: Path, *, target: str | None, fault: str | None, limit: int | None, as_json: bool
) -> None:
    """List what the node set aside, and why; first how many jobs, by target and fault.

    A job is held when trying again cannot help (a peer refuses, an object is not clean, a Series
    does not suit a model), or when it has failed by itself for `[jobs] give_up_h`. Mend the cause,
    then `penumbra retry`; or give the debt up with `penumbra drop`. What waits for a destination
    that does not answer is not held: `penumbra status` shows it, and it goes on by itself.

    \b
    Examples:
      penumbra held -c node.toml
      penumbra held --target lake --fault refused --limit 20
      penumbra held --json | jq .study
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from contextlib import closing

    from config.load import load
    from node.ledger import open_ledger
    from storage.ledger.held import Which

    which = Which(target, fault)
    with closing(open_ledger(load(config_file, with_secrets=False))) as ledger:
        if as_json:
            _print(ledger.held, which, limit, _as_json)
        else:
            _print_for_people(ledger.held, which, limit)


def _print_for_people(held: "Held", which: "Which", limit: int | None) -> None:
    groups = held.groups(which)
    if not groups:
        click.echo("Nothing is held.")
        return
    click.echo("\n".join(_summary(groups)) + "\n")
    _print(held, which, limit, _as_text(groups))
    if limit is not None and (rest := sum(group.count for group in groups) - limit) > 0:
        click.echo(f"... and {rest} more")


def _print(
    held: "Held", which: "Which", limit: int | None, line: "Callable[[tuple[Any, ...]], str]"
) -> None:
    """Write a line per job, many at once: a hundred thousand take less than a second."""
    for some in _batches(map(line, held.rows(which, limit))):
        click.echo("\n".join(some))


def _batches(lines: "Iterable[str]") -> Iterator[list[str]]:
    batch: list[str] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _LINES_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _summary(groups: "list[Group]") -> Iterator[str]:
    from node import moments

    total = sum(group.count for group in groups)
    yield f"{total} held"
    width = max(len(group.target) for group in groups)
    for group in groups:
        since = moments.local(group.since)
        yield f"  {group.count:>7}  {group.target:<{width}}  {group.fault}, since {since}"


def _as_text(groups: "list[Group]") -> "Callable[[tuple[Any, ...]], str]":
    from functools import lru_cache

    from node import moments

    width = max(len(group.target) for group in groups)
    local = lru_cache(maxsize=1024)(moments.local)

    def line(row: tuple[Any, ...]) -> str:
        number, kind, _, target, _, series, _, fault, words, at = row
        what = f"{kind:<10} {target:<{width}}  {local(int(at))}"
        return f"{number:>8}  {what}  {fault}: {words}  (Series {series})"

    return line


def _as_json(row: tuple[Any, ...]) -> str:
    """Write a job as an object; put together by hand, for there may be very many."""
    from json.encoder import encode_basestring as text

    number, kind, rule, target, study, series, attempts, fault, words, at = row
    return (
        f'{{"id": {number}, "kind": {text(kind)}, "rule": {text(rule)}, "target": {text(target)},'
        f' "study": {text(study)}, "series": {text(series)}, "attempts": {attempts},'
        f' "fault": {text(fault)}, "words": {text(words)}, "held_at": {at!r}}}'
    )
