"""Options of commands that call a peer by its address: under TLS, verified, or in the clear."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from dicom.scu import Encryption

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, dir_okay=False)


def tls_options(command: F) -> F:
    """Add --tls, --ca, --certificate, --key and --tls-name to a command.

    They arrive as `tls`, `ca`, `certificate`, `key` and `tls_name`: what `encryption` takes.
    """
    options = (
        click.option("--tls", is_flag=True, help="Call under TLS; the peer is verified."),
        click.option(
            "--ca",
            type=_FILE,
            help="With TLS: the authorities to believe (PEM), instead of the operating system's.",
        ),
        click.option("--certificate", type=_FILE, help="With TLS: what to show of us (PEM)."),
        click.option("--key", type=_FILE, help="With TLS: the certificate's private key (PEM)."),
        click.option(
            "--tls-name",
            metavar="NAME",
            help="With TLS: the name that the peer's certificate carries, if not its host.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def encryption(host: str, given: dict[str, Any]) -> "Encryption | None":
    """Make what `dicom.scu.associate` takes of the options; None where none was given.

    Raises ConfigFault for files that cannot be used.
    """
    if not any(given.values()):
        return None
    from config import certificates
    from config.shapes import ClientTls
    from dicom.scu import Encryption

    table = ClientTls(ca=given["ca"], certificate=given["certificate"], key=given["key"])
    return Encryption(certificates.client(table), given["tls_name"] or host)
