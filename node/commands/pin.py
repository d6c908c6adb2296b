"""`penumbra pin`: keep a study in the spool, whatever retention says."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.options import config_option

if TYPE_CHECKING:  # its module is loaded only when the command runs
    from storage.ledger.ledger import Ledger


@click.command()
@click.argument("study", metavar="[STUDY]", required=False)
@click.option("--series", "series_uid", default="", help="Only this Series Instance UID of it.")
@click.option("--legal-hold", is_flag=True, help="A hold that only unpin --legal-hold lifts.")
@click.option("--reason", help="Why; it is kept on record.")
@config_option
def command(
    study: str | None, config_file: Path, *, series_uid: str, legal_hold: bool, reason: str | None
) -> None:
    """Keep a study in the spool until `penumbra unpin`; without STUDY, list what is kept.

    STUDY is a Study Instance UID as it was received; what still comes of it is kept as well, and it
    need not have come yet. Who pinned it, when and why stays on record, also after it was lifted,
    and each change is an event. What has left the spool before does not come back: then the command
    says how many objects, and ends with exit status 1.

    \b
    Examples:
      penumbra pin 1.2.840.99.1 --reason "teaching file" -c node.toml
      penumbra pin 1.2.840.99.1 --legal-hold --reason "case 26/118" -c node.toml
      penumbra pin -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import time
    from contextlib import closing

    from config.load import load
    from node import person
    from node.ledger import open_ledger
    from storage.ledger.pins import Pin

    with closing(open_ledger(load(config_file, with_secrets=False))) as ledger:
        if study is None:
            _list(ledger)
            return
        if not reason:
            raise click.UsageError("say why: --reason WORDS")
        who = person.running_this()
        pin = Pin(study, series_uid, legal_hold, reason, who, time.time())
        gone = ledger.pins.add(pin)
    click.echo(f"{study} {'is on legal hold' if legal_hold else 'is pinned'}.")
    if gone:
        click.echo(f"{gone} objects of it have left the spool before: `penumbra prove {study}`"
                   " says who holds them.", err=True)  # fmt: skip
        raise click.exceptions.Exit(1)


def _list(ledger: "Ledger") -> None:
    from node import moments

    for one in ledger.pins.list():
        kind = "legal hold" if one.legal_hold else "pin"
        series = f" series {one.series_instance_uid}" if one.series_instance_uid else ""
        when = moments.local(one.at)
        click.echo(f"{one.study_instance_uid}{series}: {kind}, {one.by}, {when}: {one.reason}")
