"""`penumbra send`: send files to a DICOM peer, or a node, as a scanner would (C-STORE SCU)."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from node.options import ae_title, host_port
from node.tls_options import encryption, tls_options

if TYPE_CHECKING:
    from dicom.store_scu import RemoteAe
    from node.sending import Answer, File

SHOWN: Final = 20
"""So many failures are named one by one."""


@click.command()
@click.argument("address", type=host_port, metavar="HOST:PORT")
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
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
    "--parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many associations to send over at once.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 3600),
    default=30.0,
    show_default=True,
    help="Seconds to wait for each answer.",
)
@tls_options
def command(
    address: tuple[str, int],
    paths: tuple[Path, ...],
    *,
    aet: str,
    called: str,
    parallel: int,
    timeout_s: float,
    **tls: object,
) -> None:
    """Send DICOM files, or all in folders, to a peer by C-STORE.

    Datasets are sent byte for byte in the transfer syntax that they are stored in; nothing is
    decoded. What is no DICOM file is skipped. The exit status is 0 when the peer accepted every
    DICOM file, 1 when it did not or when there was none.

    \b
    Examples:
      penumbra send 127.0.0.1:11112 study/ --aet SCANNER --called PENUMBRA
      penumbra send pacs.example:104 a.dcm b.dcm --called PACS --parallel 4
      penumbra send pacs.example:2762 study/ --called PACS --tls --ca hospital.pem
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from dicom.store_scu import RemoteAe
    from node.sending import File, find

    found = list(find(paths))
    files = [one for one in found if isinstance(one, File)]
    skipped = len(found) - len(files)
    peer = RemoteAe(
        *address, called_ae=called, calling_ae=aet, timeout_s=timeout_s,
        tls=encryption(address[0], tls),
    )  # fmt: skip
    answers, ending = _send(files, peer, parallel)
    for line in summary(answers, len(files), skipped, ending):
        click.echo(line)
    if not files or len(answers) < len(files) or not all(one.is_accepted for one in answers):
        raise SystemExit(1)


def _send(files: "Sequence[File]", peer: "RemoteAe", parallel: int) -> "tuple[list[Answer], str]":
    """Send with a progress bar on a terminal; returns the answers, and why it ended early."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from dicom.errors import DeliveryFault
    from node.sending import send_all

    answers: list[Answer] = []
    failed = 0
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"to {peer}", total=len(files), failed="")

        def tell(answer: "Answer") -> None:
            nonlocal failed
            answers.append(answer)
            failed += not answer.is_accepted
            progress.update(bar, advance=1, failed=f"{failed} failed" if failed else "")

        try:
            send_all(files, peer, parallel=parallel, tell=tell, stop=threading.Event())
        except DeliveryFault as fault:
            return answers, str(fault)
        except KeyboardInterrupt:
            return answers, "interrupted"
    return answers, ""


def summary(answers: "Sequence[Answer]", wanted: int, skipped: int, ending: str) -> Iterable[str]:
    """Say what became of the files: a count per status, then the failures with their reasons."""
    from node.sending import describe_status

    counts = Counter(describe_status(one.status) for one in answers)
    yield f"{sum(one.is_accepted for one in answers)} of {wanted} accepted"
    for words, count in sorted(counts.items()):
        yield f"  {count:6} {words}"
    if len(answers) < wanted:
        yield f"  {wanted - len(answers):6} not sent" + (f": {ending}" if ending else "")
    if skipped:
        yield f"  {skipped:6} skipped, no DICOM objects"
    failures = [one for one in answers if not one.is_accepted]
    for one in failures[:SHOWN]:
        yield f"failed: {one.path}: {one.words}"
    if len(failures) > SHOWN:
        yield f"failed: {len(failures) - SHOWN} more"
