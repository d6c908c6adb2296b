"""`penumbra schema`: the shapes of files that others write for the node."""

import click


@click.group()
def command() -> None:
    """Print JSON schemas of files that others write for the node."""


@command.command()
def sidecar() -> None:
    """Print the schema of the JSON file beside a JPEG or PNG that a source takes.

    \b
    Example:
      penumbra schema sidecar > sidecar.schema.json
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import json

    from node.sources.sidecar import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
