"""`penumbra evidence`: the signed report of what de-identification did to a study."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.options import config_option

if TYPE_CHECKING:  # their modules are loaded only when the command runs
    from config.model import Settings


@click.command()
@click.argument("study", metavar="[STUDY]", required=False, default="")
@config_option
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default=True,
    help="Folder for the files; made where it is missing.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["json", "html", "both"]),
    default="both",
    show_default=True,
    help="The signed file for programs, the page for people, or both.",
)
@click.option(
    "--with-originals",
    is_flag=True,
    help="Also name original UIDs and digests: for your own files, never for a recipient.",
)
@click.option(
    "--verify",
    "signed_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check the signature of a JSON file instead; exit status 1 when it does not fit.",
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --verify: the public key of the node that signed, when it was another one.",
)
@click.option("--public-key", is_flag=True, help="Print this node's public key instead.")
def command(
    study: str,
    config_file: Path,
    out: Path,
    kind: str,
    *,
    with_originals: bool,
    signed_file: Path | None,
    key_file: Path | None,
    public_key: bool,
) -> None:
    """Write the evidence of a study's de-identification, signed, and a page for people.

    STUDY is a Study Instance UID, the original one or a new one. The report says for each
    attribute what was done to it, which options were applied, how the self-check ended, what was
    quarantined and why, and where each object was delivered; it holds no values. A study that
    went through several profiles has a report for each. The node may run meanwhile.

    The key that signs is made on first use and lies in the data directory as evidence.key. Give
    its public half to whoever shall verify reports.

    \b
    Examples:
      penumbra evidence 1.2.840.99.1 -o reports -c node.toml
      penumbra evidence --verify reports/evidence-2.25.77-5a3c0f12.json -c node.toml
      penumbra evidence --public-key -c node.toml > hospital.pem
      penumbra evidence --verify evidence-2.25.77-5a3c0f12.json --key hospital.pem
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    asked = [bool(study), signed_file is not None, public_key]
    if sum(asked) != 1:
        raise click.UsageError("give a STUDY, or --verify FILE, or --public-key")
    if key_file is not None and signed_file is None:
        raise click.UsageError("--key goes with --verify")
    if signed_file is not None:
        _verify(signed_file, key_file, config_file)
        return
    from config.load import load
    from deid.evidence import signature
    from node.reports import node_key

    settings = load(config_file, with_secrets=False)
    if public_key:
        key = node_key(settings.node)
        click.echo(signature.public_pem(key.public_key()).decode(), nl=False)
        return
    _write(settings, study, out, kind, with_originals=with_originals)


def _verify(signed_file: Path, key_file: Path | None, config_file: Path) -> None:
    from config.load import load
    from deid.evidence import signature
    from dicom.errors import StorageFault

    if key_file is not None:
        key = signature.read_public(key_file.read_bytes())
    else:
        data_dir = load(config_file, with_secrets=False).node.data_dir
        if not (data_dir / signature.KEY_FILE).exists():
            raise StorageFault(f"{data_dir} has no {signature.KEY_FILE}: name a key with --key")
        key = signature.private_key(data_dir).public_key()
    report = signature.verify(signed_file.read_bytes(), key)
    counts, study = report["counts"], report["study"]["study_instance_uid"]
    click.echo(
        f"The signature fits: made {report['made']['at']} by node {report['made']['node']}, "
        f"key {signature.key_id(key)}.\n"
        f"Study {study or 'without an object that came through'}: {counts['clean']} clean, "
        f"{counts['quarantined']} quarantined, {counts['delivered']} delivered."
    )


def _write(settings: "Settings", study: str, out: Path, kind: str, *, with_originals: bool) -> None:
    from node.evidence import gather
    from node.ledger import open_ledger
    from node.reports import write_reports

    ledger = open_ledger(settings)
    try:
        found = gather(ledger, study)
    finally:
        ledger.close()
    kinds = ("json", "html") if kind == "both" else (kind,)
    reports = write_reports(found, settings.node, out, kinds, with_originals=with_originals)
    try:
        for file in reports:
            click.echo(str(file))
    except OSError as fault:
        raise click.ClickException(f"{out} cannot be written: {fault.strerror}") from fault
