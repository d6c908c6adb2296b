"""`penumbra rules`: try rules out, see why they match, and replay the past under others."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node import moments
from node.options import config_option, duration_s

if TYPE_CHECKING:  # their modules are loaded only when a command runs
    from config.model import Settings
    from node.rehearsal import Rehearsed, Replayed
    from routing.explain import Check, Values
    from routing.job import NewJob

_MARKS: Final = {True: "holds", False: "does not", None: "unknown"}

show_values_option = click.option(
    "--show-values",
    is_flag=True,
    help="Also print values that PS3.15 counts as identifying: patient data, on your screen.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead.")


@click.group()
def command() -> None:
    """Try rules out before they count: nothing is sent, nothing is written.

    \b
    Examples:
      penumbra rules test scan.dcm --calling-ae CT1 -c new.toml
      penumbra rules explain 1.2.840.99.1 -c node.toml
      penumbra rules replay --config new.toml --since 7d
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
        click.echo(json.dumps(_plain_replayed(one)) if as_json else "\n".join(_lines(one)))
    for name, times in failed.items():
        click.echo(f"rule {name!r} cannot be evaluated for {times} Series", err=True)
    click.echo(
        f"{count} Series settled since {moments.local(begin)}: {changed} would change,"
        f" {added} jobs more, {missing} jobs fewer; {unread} could not be read.",
        err=as_json,
    )


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

    for one in found:
        if as_json:
            click.echo(json.dumps(_plain(one, show_values=show_values), ensure_ascii=False))
        else:
            click.echo("\n".join(_rehearsed_lines(one, show_values=show_values)) + "\n")


def _rehearsed_lines(one: "Rehearsed", *, show_values: bool) -> Iterator[str]:
    from dicom.entity import Origin

    yield f"Series {one.key.series_instance_uid} of Study {one.key.study_instance_uid}"
    if one.origin is Origin.AI:
        yield "  a model's result: it goes where results_to of its rule says"
    for account in one.accounts:
        yield f"  rule {account.rule.name!r} {account.verdict}"
        for check in account.checks:
            values = "; ".join(_values(check.values, show_values=show_values))
            fault = f" ({_fault(check, show_values=show_values)})" if check.fault else ""
            yield f"    {_MARKS[check.held]:<9}{check.words}{fault}   [{values}]"
    yield f"  owes: {_owed(one.owed)}"
    if one.made is not None:
        yield f"  made, revision {one.revision}: {_owed(one.made)}"


def _lines(one: "Replayed") -> Iterator[str]:
    key = one.past.key
    head = f"Series {key.series_instance_uid} of Study {key.study_instance_uid}"
    if one.change is None:
        yield f"{head}: cannot be read ({one.fault.code if one.fault else ''})"
        return
    before, after = one.change.rules_before, one.change.rules_after
    yield f"{head}, {one.past.modality or '?'}, {one.past.instances} objects"
    yield f"  rules before: {', '.join(before) or 'none'}; after: {', '.join(after) or 'none'}"
    yield from (f"  + {_job(job)}" for job in one.change.added)
    yield from (f"  - {_job(job)}" for job in one.change.missing)


def _owed(jobs: "Iterable[NewJob]") -> str:
    return "; ".join(map(_job, jobs)) or "nothing"


def _job(job: "NewJob") -> str:
    under = f" under {job.profile}" if job.profile else ""
    return f"{job.kind} to {job.target}{under}, rule {job.rule!r}"


def _values(values: "Values", *, show_values: bool) -> Iterator[str]:
    for keyword, each in values.items():
        if not each:
            yield f"{keyword} is absent"
        elif show_values or not _is_identifying(keyword):
            yield f"{keyword} is {', '.join(each)}"
        else:
            yield f"{keyword} is there"


def _fault(check: "Check", *, show_values: bool) -> str:
    return check.fault if show_values else "CEL ended in an error; --show-values tells it"


def _is_identifying(keyword: str) -> bool:
    """Whether the Basic Profile does anything to an attribute (PS3.15 Table E.1-1)."""
    from pydicom.datadict import tag_for_keyword

    from deid.table import table

    tag = tag_for_keyword(keyword)
    return tag is not None and table.load().row(tag) is not None


def _plain(one: "Rehearsed", *, show_values: bool) -> dict[str, Any]:
    return {
        "study": one.key.study_instance_uid,
        "series": one.key.series_instance_uid,
        "origin": str(one.origin),
        "rules": [
            {
                "rule": account.rule.name,
                "verdict": account.verdict.name.lower(),
                "conditions": [
                    {
                        "words": check.words,
                        "held": check.held,
                        "values": {
                            keyword: list(each)
                            if show_values or not _is_identifying(keyword)
                            else None
                            for keyword, each in check.values.items()
                        },
                        "fault": _fault(check, show_values=show_values) if check.fault else "",
                    }
                    for check in account.checks
                ],
            }
            for account in one.accounts
        ],
        "owes": [_plain_job(job) for job in one.owed],
        "made": None if one.made is None else [_plain_job(job) for job in one.made],
    }


def _plain_replayed(one: "Replayed") -> dict[str, Any]:
    found: dict[str, Any] = {
        "study": one.past.key.study_instance_uid,
        "series": one.past.key.series_instance_uid,
        "revision": one.past.revision,
        "settled_at": one.past.settled_at,
    }
    if one.change is None:
        return found | {"fault": one.fault.code if one.fault else ""}
    return found | {
        "rules_before": list(one.change.rules_before),
        "rules_after": list(one.change.rules_after),
        "added": [_plain_job(job) for job in one.change.added],
        "missing": [_plain_job(job) for job in one.change.missing],
        "undecided": [rule.name for rule, _ in one.undecided],
    }


def _plain_job(job: "NewJob") -> dict[str, str]:
    return {
        "kind": str(job.kind),
        "target": job.target,
        "profile": job.profile,
        "rule": job.rule,
    }
