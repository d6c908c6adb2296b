"""`penumbra rules`: try rules out, see why they match, and replay the past under others."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node import moments
from node.options import config_option, duration_s

if TYPE_CHECKING:  # their modules are loaded only when a command runs
    from config.model import Settings
    from node.rehearsal import Rehearsed

_APPLIED: Final = "7d"

show_values_option = click.option(
    "--show-values",
    is_flag=True,
    help="Also print values that PS3.15 counts as identifying: patient data, on your screen.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead.")


@click.group()
def command() -> None:
    """Try rules out before they count, and apply them to what came before.

    Only `apply` writes anything.

    \b
    Examples:
      penumbra rules test scan.dcm --calling-ae CT1 -c new.toml
      penumbra rules explain 1.2.840.99.1 -c node.toml
      penumbra rules replay --config new.toml --since 7d
      penumbra rules apply --since 12h --rule chest --dry-run
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)


@command.command()
@config_option
@click.argument(
    "files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE"
)
@click.option("--study", default="", metavar="UID", help="A Study that the node has, not files.")
@click.option("--calling-ae", default="", metavar="AE", help="Who would send the files.")
@click.option("--called-ae", default="", metavar="AE", help="To which AE title; the node's own.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d %H:%M", "%H:%M"]),
    help="When the files would come, by this machine's clock; now, unless said.",
)
@show_values_option
@json_option
def test(
    config_file: Path,
    files: tuple[Path, ...],
    *,
    study: str,
    calling_ae: str,
    called_ae: str,
    at: Any,
    show_values: bool,
    as_json: bool,
) -> None:
    """Hold the rules of a config file against files, or against a Study that the node has.

    For each Series: every rule in the order in which it is asked, which of its conditions held
    and which did not, and what the Series would owe. The first file of a Series speaks for it.

    \b
    Examples:
      penumbra rules test chest/*.dcm --calling-ae CT1 -c new.toml
      penumbra rules test scan.dcm --at 23:30 -c new.toml
      penumbra rules test --study 1.2.840.99.1 -c new.toml
    """  # noqa: D301
    if bool(files) == bool(study):
        raise click.UsageError("give files, or --study UID")
    if study and (calling_ae or called_ae or at):
        raise click.UsageError("--calling-ae, --called-ae and --at go with files")
    from node.rehearsal import Sender, of_files, of_study

    settings = _settings(config_file)
    if study:
        found: Iterable[Rehearsed] = of_study(settings, study)
    else:
        sender = Sender(calling_ae, called_ae or settings.node.ae_title, _seconds_of(at))
        found = of_files(settings, files, sender)
    _print(found, show_values=show_values, as_json=as_json)


@command.command()
@config_option
@click.argument("study")
@show_values_option
@json_option
def explain(config_file: Path, study: str, *, show_values: bool, as_json: bool) -> None:
    """Say why the Series of a STUDY owed what they owed: which conditions held and which did not.

    STUDY is a Study Instance UID. The rules are those that the config file has now; beside what
    they ask for stands what the node made of each Series when it settled.

    \b
    Example:
      penumbra rules explain 1.2.840.99.1 -c node.toml
    """  # noqa: D301
    from node.rehearsal import of_study

    _print(of_study(_settings(config_file), study), show_values=show_values, as_json=as_json)


@command.command()
@config_option
@click.option(
    "--since",
    "since_s",
    type=duration_s,
    metavar="DURATION",
    default="7d",
    show_default=True,
    help="How far back: 90m, 12h, 7d, 2w.",
)
@click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The node's data directory, where the config file names another one.",
)
@click.option("--all", "with_same", is_flag=True, help="Also list Series that would not change.")
@json_option
def replay(
    config_file: Path, *, since_s: float, data_dir: Path | None, with_same: bool, as_json: bool
) -> None:
    """Print what the rules of a config file would change for what was received already.

    For each Series that settled since then: the rules that asked for something and those that
    would, the jobs that would be added (+), and those that would not be made (-). Compared is with
    what the node made, under whatever rules it had; a profile or a destination counts as the same
    when its name is. Nothing is sent, and the node may run meanwhile.

    \b
    Examples:
      penumbra rules replay --config new.toml --since 7d
      penumbra rules replay -c /etc/penumbra/draft.toml --data-dir /var/lib/penumbra --since 12h
    """  # noqa: D301
    import json
    import time

    from node import rehearsal
    from node.rehearsal_words import plain_replayed, replayed_lines

    settings = _settings(config_file)
    if data_dir is not None:
        node = settings.node.model_copy(update={"data_dir": data_dir})
        settings = settings.model_copy(update={"node": node})
    begin = time.time() - since_s
    count = changed = added = missing = unread = 0
    failed: dict[str, int] = {}
    for one in rehearsal.replay(settings, begin):
        count += 1
        for rule, _ in one.undecided:
            failed[rule.name] = failed.get(rule.name, 0) + 1
        if one.change is None:
            unread += 1
        else:
            changed += bool(one.change)
            added += len(one.change.added)
            missing += len(one.change.missing)
            if not one.change and not with_same:
                continue
        click.echo(json.dumps(plain_replayed(one)) if as_json else "\n".join(replayed_lines(one)))
    for name, times in failed.items():
        click.echo(f"rule {name!r} cannot be evaluated for {times} Series", err=True)
    click.echo(
        f"{count} Series settled since {moments.local(begin)}: {changed} would change,"
        f" {added} jobs more, {missing} jobs fewer; {unread} could not be read.",
        err=as_json,
    )


@command.command()
@config_option
@click.option(
    "--since",
    "since_s",
    type=duration_s,
    metavar="DURATION",
    help="How far back: 90m, 12h, 7d, 2w. By default 7d; with --study, as far as it goes.",
)
@click.option("--study", default="", metavar="UID", help="Only this Study.")
@click.option("--rule", default="", metavar="NAME", help="Only what this rule asks for.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before writing.")
def apply(
    config_file: Path,
    *,
    since_s: float | None,
    study: str,
    rule: str,
    dry_run: bool,
    yes: bool,
) -> None:
    """Write the jobs that the rules ask for now, and did not when a Series settled.

    For what came while a rule was wrong or not there yet: mend the rule, restart the node, and
    apply. Jobs that were made are not made again, done or not, and what has a receipt is not sent
    again. A Study that has not settled yet gets the jobs of rules per Study by itself. A Series
    about which a rule failed may leave the spool again once all rules could be asked about it and
    all that they ask for was written. The node may run meanwhile; it is recorded as an event with
    who did it.

    \b
    Examples:
      penumbra rules apply --since 12h --rule chest --dry-run
      penumbra rules apply --study 1.2.840.99.1 --yes -c node.toml
    """  # noqa: D301
    import time

    from node import applying, person
    from node.rehearsal_words import job_words

    settings = _settings(config_file)
    since_s = since_s if since_s is not None or study else duration_s(_APPLIED)
    begin = 0.0 if since_s is None else time.time() - since_s
    found: list[applying.Missed] = []
    for one in applying.missed(settings, begin, study=study, rule=rule):
        uid = one.key.series_instance_uid
        if one.unread:
            click.echo(f"Series {uid}: cannot be read ({one.unread})", err=True)
        for name in one.failed:
            click.echo(f"Series {uid}: rule {name!r} cannot be evaluated", err=True)
        for each in one.decided:
            click.echo(f"Series {uid}: rule {each.rule!r} failed, and no longer does")
        if one.jobs:
            words = (f"  + {job_words(job)}" for job in one.jobs)
            click.echo("\n".join([f"Series {uid}", *words]))
        if one.jobs or one.decided:
            found.append(one)
    count = sum(len(one.jobs) for one in found)
    if dry_run or not found:
        click.echo(f"{count} jobs for {len(found)} Series would be written.")
        return
    if not yes:
        click.confirm(f"Write {count} jobs for {len(found)} Series?", abort=True)
    written = applying.write(settings, found, person.running_this())
    there = f"; {count - written} stood there under another profile" if written < count else ""
    click.echo(f"{written} jobs were written{there}.")


def _settings(config_file: Path) -> "Settings":
    from config.load import load

    return load(config_file, with_secrets=False)


def _seconds_of(at: Any) -> float:
    from datetime import datetime

    now = datetime.now().astimezone()
    if at is None:
        return now.timestamp()
    if at.year == 1900:  # strptime's year where only a time of day was given
        at = at.replace(year=now.year, month=now.month, day=now.day)
    moment: float = at.timestamp()
    return moment


def _print(found: "Iterable[Rehearsed]", *, show_values: bool, as_json: bool) -> None:
    import json

    from node.rehearsal_words import plain, rehearsed_lines

    for one in found:
        if as_json:
            click.echo(json.dumps(plain(one, show_values=show_values), ensure_ascii=False))
        else:
            click.echo("\n".join(rehearsed_lines(one, show_values=show_values)) + "\n")
