"""`penumbra conformance`: print the DICOM Conformance Statement, or bring its tables up to date."""

from pathlib import Path

import click

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"
"""Where the sources are. An installed package has the tables without it."""


@click.command()
@click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A config file: its titles, ports, peers, limits and private SOP classes are shown"
    " instead of the defaults. Secrets are not read.",
)
@click.option(
    "--write",
    "target",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, writable=True),
    metavar="FILE",
    help="Do not print: render the tables in this document anew, between their marks.",
)
def command(config_file: Path | None, target: Path | None) -> None:
    """Print the DICOM Conformance Statement (PS3.2) of this version.

    Its tables come from the code: what the node accepts, answers, waits for and proposes. Without
    the sources beside it (docs/conformance.md), an installed package prints the tables alone.

    \b
    Examples:
      penumbra conformance
      penumbra conformance -c node.toml > our-conformance-statement.md
      penumbra conformance --write docs/conformance.md
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from config.load import load
    from config.model import Settings
    from node import conformance

    settings = load(config_file, with_secrets=False) if config_file else Settings()
    if target is not None:
        target.write_text(conformance.statement(target.read_text("utf-8"), settings), "utf-8")
    elif DOCUMENT.is_file():
        text = conformance.statement(DOCUMENT.read_text("utf-8"), settings)
        click.echo(text, nl=False)
    else:
        click.echo(conformance.tables_alone(settings), nl=False)
