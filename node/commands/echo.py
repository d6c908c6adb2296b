"""`penumbra echo`: ask whether a DICOM peer, or a node, takes associations from us (C-ECHO SCU)."""

import time

import click

from node.options import ae_title, host_port
from node.tls_options import encryption, tls_options


@click.command()
@click.argument("address", type=host_port, metavar="HOST:PORT")
@click.option(
    "--aet",
    type=ae_title,
    metavar="TITLE",
    default="PENUMBRA",
    show_default=True,
    help="The AE title to call as.",
)
@click.option(
    "--called",
    type=ae_title,
    metavar="TITLE",
    default="ANY-SCP",
    show_default=True,
    help="The AE title to call.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 3600),
    default=10.0,
    show_default=True,
    help="Seconds to wait for each answer.",
)
@tls_options
def command(
    address: tuple[str, int], aet: str, called: str, timeout_s: float, **tls: object
) -> None:
    """Ask a peer for a sign of life by C-ECHO.

    A rejection says which AE title the peer does not know; the exit status is then 1.

    \b
    Examples:
      penumbra echo pacs.example:104 --called PACS --aet PENUMBRA
      penumbra echo pacs.example:2762 --called PACS --tls --ca hospital.pem
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from dicom import scu

    host, port = address
    begun = time.perf_counter()
    with scu.associate(
        host, port, called_ae=called, calling_ae=aet, contexts=scu.verification(),
        timeout_s=timeout_s, tls=encryption(host, tls),
    ) as association:  # fmt: skip
        scu.echo(association)
        seconds = time.perf_counter() - begun
    click.echo(f"{called}@{host}:{port} answered in {seconds * 1000:.0f} ms")
