"""`penumbra unpin`: let retention decide about a study again."""

from pathlib import Path

import click

from node.options import config_option


@click.command()
@click.argument("study", metavar="STUDY")
@click.option("--series", "series_uid", default="", help="Lift what was pinned for this Series.")
@click.option("--legal-hold", is_flag=True, help="Lift the legal hold; pins stay.")
@click.option("--reason", required=True, help="Why; it is kept on record.")
@config_option
def command(
    study: str, config_file: Path, *, series_uid: str, legal_hold: bool, reason: str
) -> None:
    """Lift the pins of a study, or with --legal-hold its legal holds; the other kind stays.

    `penumbra pin` lists what is kept. Nothing leaves by this alone: [retention] decides as about
    any other study.

    \b
    Examples:
      penumbra unpin 1.2.840.99.1 --reason "no longer taught" -c node.toml
      penumbra unpin 1.2.840.99.1 --legal-hold --reason "case 26/118 closed" -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import time
    from contextlib import closing

    from config.load import load
    from dicom.errors import DoesNotMatch
    from node import person
    from node.ledger import open_ledger

    who = person.running_this()
    with closing(open_ledger(load(config_file, with_secrets=False))) as ledger:
        lifted = ledger.pins.lift(
            study, series_uid, legal_hold=legal_hold, by=who, reason=reason, now=time.time()
        )
    kind = "legal hold" if legal_hold else "pin"
    if not lifted:
        raise DoesNotMatch(f"there is no {kind} on exactly that: `penumbra pin` lists them")
    click.echo(f"{lifted} {kind}{'s' if lifted > 1 else ''} lifted.")
