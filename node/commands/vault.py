"""`penumbra vault`: ask who stands behind a pseudonym, forget a patient, change the key."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from node import moments
from node.options import config_option
from node.tables import print_table

if TYPE_CHECKING:  # loaded only when a command runs
    from deid.vault.audit import Asker
    from deid.vault.facts import Found
    from deid.vault.vault import Vault
    from dicom.sealed import AuditEntry

_COLUMNS: Final = ("project", "patient", "kind", "pseudonym", "original")

purpose_option = click.option(
    "--purpose",
    required=True,
    metavar="TEXT",
    help="Why you ask; kept in the audit trail for good, so name no patient.",
)
project_option = click.option(
    "--project", metavar="NAME", help="Only in this project; in all of them unless said."
)


@click.group()
def command() -> None:
    """Ask the vault for the way back from pseudonyms, forget a patient, change its key.

    The vault (`vault.db` in the data directory) holds, encrypted, what profiles with
    `reversible = true` replaced. Whoever has the key that [vault] names can read it. Who asked,
    when and why is written down before any answer. The node may run meanwhile.

    \b
    Examples:
      penumbra vault lookup PQ3WZ7LUXA2MDTV5HKRYC --purpose "incidental finding, ticket 118"
      penumbra vault audit -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)


@command.command()
@click.argument("pseudonym")
@purpose_option
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
@config_option
def lookup(
    pseudonym: str, purpose: str, project: str | None, config_file: Path, *, as_json: bool
) -> None:
    """Print what stands behind a pseudonym or a UID that the node made.

    The output is patient data: mind where it goes. Nothing of it is logged or kept.

    \b
    Example:
      penumbra vault lookup PQ3WZ7LUXA2MDTV5HKRYC --purpose "incidental finding, ticket 118"
    """  # noqa: D301
    import json

    with _vault(config_file) as vault:
        found = vault.lookup(pseudonym, _asker(purpose), project)
    if as_json:
        for each in found:
            click.echo(json.dumps(_row(each), ensure_ascii=False))
        return
    print_table(_COLUMNS, (_row(each).values() for each in found))


@command.command()
@click.argument("patient", metavar="PATIENT")
@purpose_option
@project_option
@click.option("--yes", is_flag=True, help="Do not ask whether you are sure.")
@config_option
def forget(
    patient: str, purpose: str, project: str | None, config_file: Path, *, yes: bool
) -> None:
    """Forget PATIENT, named by pseudonym or by original ID: nobody finds the way back again.

    The key of the patient's rows is deleted and wiped from the file, and with it every row.
    Objects of this patient that leave later have no way back either. Objects that left before are
    untouched; withdraw those where they are. A backup of vault.db made before still holds the
    patient's key, wrapped under the vault's: make a new vault key, `penumbra vault rotate`, and
    destroy the old key; then no older backup can be opened.

    \b
    Example:
      penumbra vault forget PQ3WZ7LUXA2MDTV5HKRYC --purpose "consent withdrawn, ticket 131"
    """  # noqa: D301
    with _vault(config_file) as vault:
        asker = _asker(purpose)
        if not yes:
            click.confirm("This cannot be undone. Forget this patient?", abort=True, err=True)
        gone = vault.forget(patient, asker, project)
    for of_project, pseudonym in gone:
        where = f" in project {of_project}" if of_project else ""
        click.echo(f"{pseudonym} is forgotten{where}.")
    click.echo(
        "Backups of vault.db made before can still be opened: rotate the vault's key and destroy"
        " the old one.",
        err=True,
    )


@command.command()
@click.option(
    "--purpose",
    default="change of the vault key",
    show_default=True,
    metavar="TEXT",
    help="Why; kept in the audit trail for good.",
)
@config_option
def rotate(purpose: str, config_file: Path) -> None:
    """Bring every row under the key that [vault] key names now.

    First name the new key as [vault] key and the one before in [vault] old_keys, and restart the
    node, so that it knows both. This may be stopped and repeated at any moment, and is quick: only
    the patients' wrapped keys are written anew. Afterwards take the old key out of old_keys.

    \b
    Example:
      penumbra vault rotate -c node.toml
    """  # noqa: D301
    from rich.console import Console
    from rich.progress import Progress

    screen = Console(stderr=True)
    with _vault(config_file) as vault:
        asker, total = _asker(purpose), vault.to_rotate()
        with Progress(console=screen, transient=True, disable=not screen.is_terminal) as bar:
            task = bar.add_task("rotate", total=total)
            count = vault.rotate(asker, lambda done: bar.advance(task, done))
    click.echo(f"{count} keys wrapped anew. The old vault key is needed by old backups alone.")


@command.command()
@click.option("--project", required=True, metavar="NAME", help='The project; "" for none.')
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to make, readable by you alone: .csv, or .json for an array of objects.",
)
@purpose_option
@config_option
def export(project: str, out: Path, purpose: str, config_file: Path) -> None:
    """Write every pseudonym of a project with its original into a file.

    The file is a list of patients: keep it like one, and delete it when it has served. An
    existing file is never overwritten.

    \b
    Example:
      penumbra vault export --project heart -o heart.csv --purpose "handover to the trust centre"
    """  # noqa: D301
    if out.suffix not in {".csv", ".json"}:
        raise click.UsageError("--out must end in .csv or .json")
    with _vault(config_file) as vault:
        asker = _asker(purpose)
        with _new_file(out) as file:
            rows = vault.export(project, asker)
            count = _write_csv(file, rows) if out.suffix == ".csv" else _write_json(file, rows)
    click.echo(f"{out} holds {count} originals. Delete it when it has served.")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
@click.option(
    "--head",
    default="",
    metavar="MAC",
    help="A head that was noted before: it must still stand in the trail.",
)
@config_option
def audit(head: str, config_file: Path, *, as_json: bool) -> None:
    """Print who asked the vault what, when and why, and check that nothing was changed.

    Each entry is bound to all before it under a key that only the vault key opens. Note the head
    that is printed last somewhere else (a ticket, a log server): with --head, also entries cut off
    at the end are found. Exit status 0: the trail is whole. 1: it is not.

    \b
    Examples:
      penumbra vault audit -c node.toml
      penumbra vault audit --json --head 5f0c... -c node.toml
    """  # noqa: D301
    import json
    from dataclasses import asdict

    with _vault(config_file) as vault:
        entries = list(vault.entries())
        verdict = vault.verify(head)
    if as_json:
        for entry in entries:
            click.echo(json.dumps(asdict(entry), ensure_ascii=False))
    elif entries:
        print_table(
            ("number", "when", "who", "did", "project", "to", "purpose"), map(_cells, entries)
        )
    if verdict.broken_at is not None:
        click.echo(
            f"The trail is broken at entry {verdict.broken_at}: entries were changed, dropped or"
            " put in. Keep vault.db as it is, and compare it with a backup.",
            err=True,
        )
    elif not verdict.head_seen:
        click.echo(
            "The head that was noted before is not in the trail: entries were cut off. Keep"
            " vault.db as it is, and compare it with a backup.",
            err=True,
        )
    if not verdict.is_whole:
        raise click.exceptions.Exit(1)
    end = f"; head {verdict.head}" if verdict.entries else ""
    click.echo(f"{verdict.entries} entries, the trail is whole{end}", err=as_json)


@contextmanager
def _vault(config_file: Path) -> "Iterator[Vault]":
    from config.load import load
    from node.vault import open_vault

    vault = open_vault(load(config_file, with_secrets=False), existing=True)
    try:
        yield vault
    finally:
        vault.close()


def _asker(purpose: str) -> "Asker":
    from node.vault import this_user

    try:
        return this_user(purpose)
    except ValueError as fault:
        raise click.UsageError(f"--purpose: {fault}") from fault


def _row(found: "Found") -> dict[str, str]:
    facts = (found.project, found.patient, found.kind, found.pseudonym, _shown(found.value))
    return dict(zip(_COLUMNS, facts, strict=True))


def _shown(value: str) -> str:
    """Write an original so that it can be printed: what is no text in hexadecimal."""
    plain = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c >= " " and c != "\x7f" else f"\\x{ord(c):02x}" for c in plain)


def _cells(entry: "AuditEntry") -> tuple[str, ...]:
    when = moments.local(entry.at)
    facts = (entry.who, entry.action, entry.project, entry.subject, entry.purpose)
    return (str(entry.number), when, *facts)


@contextmanager
def _new_file(out: Path) -> Iterator[IO[str]]:
    """Make a file for this user alone; a broken-off one is removed."""
    import os

    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{out} exists and is left as it is; name another") from None
    except OSError as fault:
        raise click.ClickException(f"{out} cannot be written: {fault.strerror}") from fault
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as fault:
        out.unlink(missing_ok=True)
        raise click.ClickException(f"{out} cannot be written: {fault.strerror}") from fault
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _write_csv(file: IO[str], rows: "Iterable[Found]") -> int:
    import csv

    writer, count = csv.writer(file), 0
    writer.writerow(_COLUMNS)
    for count, found in enumerate(rows, 1):  # noqa: B007  (the last count is the answer)
        writer.writerow(_row(found).values())
    return count


def _write_json(file: IO[str], rows: "Iterable[Found]") -> int:
    import json

    count = 0
    for count, found in enumerate(rows, 1):
        file.write("[\n" if count == 1 else ",\n")
        file.write(json.dumps(_row(found), ensure_ascii=False))
    file.write("\n]\n" if count else "[]\n")
    return count
