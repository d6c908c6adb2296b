"""`penumbra worklist`: what scanners are told is scheduled; add an entry, or take one back."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.options import config_option
from node.tables import print_table

if TYPE_CHECKING:  # its module is loaded only when the command runs
    from dicom.worklist import Entry

STATES = ("SCHEDULED", "STARTED", "COMPLETED", "DISCONTINUED")
_PAGE = 500


@click.group()
def command() -> None:
    """Show and change the modality worklist.

    Scanners with `may = ["worklist"]` ask for it. Entries come from the folder of [worklist], from
    orders by HL7, from the API, and from this command. A performed procedure step (MPPS) that a
    scanner tells of moves its entry: from SCHEDULED to STARTED, and to COMPLETED or DISCONTINUED,
    which scanners are no longer told.

    \b
    Examples:
      penumbra worklist list -c node.toml
      penumbra worklist add entry.json -c node.toml
      penumbra worklist remove 1f2e3d4c5b6a79881f2e3d4c5b6a7988 -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)


@command.command("list")
@config_option
@click.option("--state", type=click.Choice(STATES), help="Only entries in this state.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines with all that they say.")
def list_entries(config_file: Path, *, state: str | None, as_json: bool) -> None:
    """List the entries, in every state. It shows patients: keep its output to yourself.

    \b
    Example:
      penumbra worklist list --state SCHEDULED --json | jq .entry.AccessionNumber
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from contextlib import closing

    from config.load import load
    from node.ledger import open_ledger

    with closing(open_ledger(load(config_file, with_secrets=False))) as ledger:
        found = ledger.worklist.page("", _PAGE, state or "")
        entries = list(found)
        while len(found) == _PAGE:
            found = ledger.worklist.page(found[-1].id, _PAGE, state or "")
            entries += found
    if as_json:
        _print_json(entries)
    else:
        _print(entries)


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@config_option
def add(file: Path, config_file: Path) -> None:
    """Add the entries of FILE, or change them where they are there already.

    FILE is a dataset as DCMTK's wlmscpfs has them (.wl), or JSON: an object by DICOM keyword, or of
    the DICOM JSON Model, or a list of such objects. The ids of the entries are printed.

    \b
    Example of FILE:
      {"PatientName": "Doe^Jane", "PatientID": "4711", "AccessionNumber": "A1",
       "ScheduledProcedureStepSequence": [{"Modality": "CT", "ScheduledStationAETitle": "CT1",
         "ScheduledProcedureStepStartDate": "20270131", "ScheduledProcedureStepID": "1"}]}
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from contextlib import closing

    from config.load import load
    from dicom.worklist_reading import of_file
    from node.ledger import open_ledger
    from storage.ledger.worklist import Draft

    items = of_file(file.read_bytes())
    with closing(open_ledger(load(config_file, with_secrets=False))) as ledger:
        drafts = [Draft(item, "rest") for item in items]
        for one in ledger.worklist.put(drafts, ledger.database.now()):
            changed = "changed" if one.is_changed else "as it was"
            click.echo(f"{one.id} {'added' if one.is_new else changed}")


@command.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@config_option
def remove(ids: tuple[str, ...], config_file: Path) -> None:
    """Take entries back, by their ids. What a folder's file says, it says again: remove the file.

    \b
    Example:
      penumbra worklist remove 1f2e3d4c5b6a79881f2e3d4c5b6a7988
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from contextlib import closing

    from config.load import load
    from node.ledger import open_ledger

    missing = 0
    with closing(open_ledger(load(config_file, with_secrets=False))) as ledger:
        for entry_id in ids:
            found = ledger.worklist.get(entry_id)
            if found is not None and found.source == "folder":
                click.echo(
                    f"{entry_id}: a file of [worklist] folder says it; remove that", err=True
                )
                missing += 1
            elif not ledger.worklist.remove(entry_id, ledger.database.now()):
                click.echo(f"{entry_id}: no such entry", err=True)
                missing += 1
    if missing:
        raise click.exceptions.Exit(1)


def _print_json(entries: "list[Entry]") -> None:
    import json

    from dicom.worklist_reading import as_told
    from node.moments import utc

    for one in entries:
        told = {
            "id": one.id, "source": one.source, "state": str(one.state),
            "performed_step": one.performed_step, "changed_at": utc(one.changed_at),
            "entry": dict(as_told(one.item)),
        }  # fmt: skip
        click.echo(json.dumps(told, ensure_ascii=False))


def _print(entries: "list[Entry]") -> None:
    if not entries:
        click.echo("The worklist is empty.")
        return
    titles = (
        "start", "modality", "station", "patient", "name", "accession", "state", "from", "id",
    )  # fmt: skip
    by_day = sorted(entries, key=lambda one: str(one.step["ScheduledProcedureStepStartDate"]))
    print_table(titles, map(_cells, by_day), heading=f"{len(entries)} entries")


def _cells(one: "Entry") -> tuple[str, ...]:
    step, item = one.step, one.item
    start = f"{step['ScheduledProcedureStepStartDate']} "
    return (
        start + step.get("ScheduledProcedureStepStartTime", ""), step["Modality"],
        step.get("ScheduledStationAETitle", ""), item["PatientID"], item["PatientName"],
        item.get("AccessionNumber", ""), str(one.state), one.source, one.id,
    )  # fmt: skip
