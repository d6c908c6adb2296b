"""`penumbra check`: tell everything that is wrong with a config file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.options import config_option

if TYPE_CHECKING:
    from config.model import Node, Settings


@click.command()
@config_option
def command(config_file: Path) -> None:
    """Check a config file, the files of conf.d beside it, and the secrets that they name.

    Tells every fault at once, each with its path, and ends with exit status 78; or with 0 and
    one line about what the file sets up. Nothing is started, and nobody is called.

    \b
    Example:
      penumbra check -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from config.load import load

    settings = load(config_file, with_tls=True)
    compile_profiles(settings)
    check_identities(settings)
    check_index(settings.node)
    click.echo(f"{config_file} is sound: {summary(settings)}")


def check_index(node: "Node") -> None:
    """Check the keys of spool and index, and warn where only one of the two is encrypted.

    Raises ConfigFault.
    """
    from node.keys import index_keys, spool_keys

    keys = spool_keys(node)
    index_keys(node, keys)
    if keys.current is not None and not node.encrypt_index:
        click.echo(
            "warning: node.spool_key encrypts the objects, but the index beside them, which holds"
            " their names and numbers, lies in the clear: set node.encrypt_index, or keep data_dir"
            " on an encrypted disk",
            err=True,
        )


def compile_profiles(settings: "Settings") -> None:
    """Compile each profile with its key. Raises ConfigFault with the faults of all of them."""
    from config import secrets
    from deid.options import PIXEL_DATA
    from deid.pixels import ocr
    from deid.profile import compile_profile
    from dicom.errors import ConfigFault

    problems: list[tuple[str, str]] = []
    for name, profile in settings.profiles.items():
        try:
            compiled = compile_profile(name, profile, secrets.read(profile.key))
        except ConfigFault as fault:
            problems += fault.problems
            continue
        if PIXEL_DATA in compiled.options and (lack := ocr.missing()):
            problems.append((f"profiles.{name}", f"{PIXEL_DATA}: {lack}"))
    if problems:
        raise ConfigFault(problems)


def check_identities(settings: "Settings") -> None:
    """Raise ConfigFault for each model whose `identity` needs an extra that is not there."""
    from ai import identity
    from dicom.errors import ConfigFault

    problems = [
        (f"models.{name}.identity", words)
        for name, model in settings.models.items()
        if model.identity is not None and (words := identity.missing(model.identity))
    ]
    if problems:
        raise ConfigFault(problems)


def summary(settings: "Settings") -> str:
    """Say in one line what a node with these settings does."""
    node = settings.node
    ports = [str(node.port)] if node.plain else []
    if settings.tls:
        ports.append(f"{settings.tls.port} (TLS)")
    parts = [f"{node.ae_title} on {node.host}:{' and '.join(ports)}"]
    for kind in ("peers", "destinations", "profiles", "models", "rules"):
        count = len(getattr(settings, kind))
        parts.append(f"{count} {kind if count != 1 else kind[:-1]}")
    if count := len(settings.sources):
        parts.append(f"{count} source{'s' * (count != 1)}")
    parts.append(f"events to {settings.mqtt.url}" if settings.mqtt else "no events")
    is_open = node.accept_unknown_callers or settings.sources
    if not is_open and not any("store" in peer.may for peer in settings.peers.values()):
        parts.append("nobody may send to it yet")
    return ", ".join(parts)
