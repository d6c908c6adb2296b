"""`penumbra token`: make the tokens by which others' programs use the API and DICOMweb."""

import click

PERMISSIONS = (
    "status", "links", "identified-links", "sources", "events", "query", "retrieve", "store",
    "worklist", "sql", "identified-sql", "fhir", "models", "promote",
)  # fmt: skip
"""config.api.ApiPermission's, without what it takes to import that: `penumbra --help` is quick."""


@click.group()
def command() -> None:
    """Make tokens for the API and DICOMweb on the HTTP port.

    A token is shown once. The config file holds its digest alone, so that whoever reads the file
    cannot use the API.
    """


@command.command()
@click.argument("name")
@click.option(
    "--may",
    "permissions",
    multiple=True,
    type=click.Choice(PERMISSIONS),
    help="What it may ask for; give it several times for several.",
)
def new(name: str, permissions: tuple[str, ...]) -> None:
    """Print a new token for NAME, and the lines for the config file.

    NAME stands in the log and in events. Give each program a token of its own: to take one away,
    remove its table from the config file and start the node anew.

    \b
    Example:
      penumbra token new viewer --may query --may retrieve
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import json
    import secrets

    from node.web.tokens import PREFIX, digest_of

    token = PREFIX + secrets.token_urlsafe(32)
    may = ", ".join(json.dumps(each) for each in dict.fromkeys(permissions))
    click.echo(token)
    click.echo("\nThis is the only time that it is shown. In node.toml:\n", err=True)
    click.echo(f'[tokens.{name}]\ndigest = "{digest_of(token)}"\nmay = [{may}]', err=True)
