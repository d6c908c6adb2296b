"""`penumbra explain`: say in words why the node did what it did."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from node import moments
from node.options import config_option
from node.tables import print_table


@click.group()
def command() -> None:
    """Say in words why the node did what it did, and what to change.

    \b
    Examples:
      penumbra explain association -c node.toml
      penumbra explain study 1.2.840.99.1 -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)


@command.command()
@config_option
@click.argument("study")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def study(config_file: Path, study: str, *, as_json: bool) -> None:
    """Say what became of a STUDY: when its Series were complete, why, and the jobs that followed.

    STUDY is a Study Instance UID. For each Series and for the whole Study: how many objects were
    announced and by whom, each time that it was taken for complete with the reason and what was
    missing then, and every job as it stands. `penumbra rules explain` says why rules matched.

    \b
    Examples:
      penumbra explain study 1.2.840.99.1 -c node.toml
      penumbra explain study 1.2.840.99.1 --json | jq '.series[].revisions[].words'
    """  # noqa: D301
    import json

    from config.load import load
    from node import study_account

    found = study_account.read(load(config_file, with_secrets=False), study)
    if as_json:
        click.echo(json.dumps(study_account.plain(found)))
    else:
        click.echo("\n".join(study_account.lines(found)))


@command.command()
@config_option
@click.argument("identifier", metavar="[ID]", required=False, default="")
@click.option("--last", type=click.IntRange(1), default=20, metavar="N", help="So many at most.")
@click.option("--from", "caller", default="", metavar="AE", help="Only this calling AE title.")
@click.option("--bad", "only_bad", is_flag=True, help="Only those that did not go well.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
def association(
    config_file: Path, *, identifier: str, last: int, caller: str, only_bad: bool, as_json: bool
) -> None:
    """List who associated or tried to, what came of it, and what mends it; newest last.

    Each rejection stands there with its reason and the setting that changes it, each association
    with its objects and how it ended. With an ID, or its beginning, everything about that one.
    The running node answers: it remembers the last 1000 that it let in, and the last 1000 that
    did not go well, until it stops. What is older is in its log.

    \b
    Examples:
      penumbra explain association -c node.toml
      penumbra explain association --from CT1 --last 5
      penumbra explain association --bad --json | jq .fix
      penumbra explain association 3f2a
    """  # noqa: D301
    import json

    from config.load import load
    from node.control_client import SOCKET_NAME, ControlClient

    data_dir = load(config_file, with_secrets=False).node.data_dir
    found = ControlClient(data_dir / SOCKET_NAME).associations(
        limit=last, caller=caller, only_bad=only_bad, prefix=identifier
    )
    if as_json:
        for one in found:
            click.echo(json.dumps(one, ensure_ascii=False))
    elif not found:
        click.echo("None is remembered since the node started.")
    elif identifier:
        for one in found:
            click.echo("\n".join(f"{name:<11} {words}" for name, words in details(one)) + "\n")
    else:
        _print_table(found)


def verdict(one: Mapping[str, Any]) -> str:
    """Say what came of it in a word: rejected, no TLS, open, released, aborted, lost."""
    return str(one["outcome"] or one["verdict"])


def details(one: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say everything about an association: a name and words each; what is empty is left out."""
    yield "id", one["id"]
    yield "when", moments.local(one["at"]) + (f", {one['seconds']:g} s" if one["outcome"] else "")
    yield "who", _who(one)
    yield "from", one["address"] + (f", as {one['tls_name']} by TLS" if one["tls_name"] else "")
    yield "verdict", verdict(one) + (f" ({one['cause']})" if one["cause"] else "")
    if one["accepted_contexts"] or one["refused_contexts"]:  # STOW-RS has none
        yield (
            "contexts",
            f"{one['accepted_contexts']} accepted, {one['refused_contexts']} refused",
        )
    for context in one["refused"]:
        yield "refused", f"{context['abstract_syntax']}: {context['why']}; {context['fix']}"
    if one["statuses"]:
        yield "objects", _objects(one) + f", {one['size_bytes'] / 1e6:.1f} MB stored"
    if one["words"]:
        yield "words", one["words"]
    if one["fix"]:
        yield "fix", one["fix"]


def _print_table(found: Sequence[Mapping[str, Any]]) -> None:
    rows = (
        (
            one["id"][:8],
            moments.local(one["at"]),
            _who(one),
            one["address"],
            verdict(one),
            _objects(one),
            one["words"],
            one["fix"],
        )
        for one in found
    )
    bad = [number for number, one in enumerate(found) if one["is_bad"]]
    titles = ("id", "when", "who", "from", "verdict", "objects", "words", "fix")
    print_table(titles, rows, bad=bad)


def _who(one: Mapping[str, Any]) -> str:
    return f"{one['calling_ae']} > {one['called_ae']}" if one["calling_ae"] else "?"


def _objects(one: Mapping[str, Any]) -> str:
    counts = one["statuses"]
    return ", ".join(
        str(count) if status == "0x0000" else f"{count} x {status}"
        for status, count in counts.items()
    )
