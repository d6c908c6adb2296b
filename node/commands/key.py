"""`penumbra key`: make the keys that pseudonyms and the spool's encryption depend on."""

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Make keys for de-identification profiles, and for the spool's encryption.

    Whoever has a profile's key can link pseudonyms to patients by trying known identifiers:
    keep it like a password, and keep a copy, because another key gives other pseudonyms. A spool
    whose key is lost cannot be read by anybody.
    """


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def new(file: Path) -> None:
    """Write a new random key into FILE, readable by you alone.

    Name the file in node.toml as `[profiles.NAME] key = { file = "FILE" }`, or as
    `[node] spool_key = { file = "FILE" }`. An existing file is never overwritten: objects that
    were de-identified with its key would lose their link, and encrypted ones be lost.

    \b
    Example:
      penumbra key new research.key
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import os

    from deid.pseudonym import new_key

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{file} exists and is left as it is; name another") from None
    except OSError as fault:
        raise click.ClickException(f"{file} cannot be written: {fault.strerror}") from fault
    with os.fdopen(descriptor, "wb") as key_file:
        key_file.write(new_key())
        key_file.flush()
        os.fsync(key_file.fileno())
    click.echo(f"{file} holds a new key. Keep a copy in a safe place.")
