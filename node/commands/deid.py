"""`penumbra deid`: de-identify files without a server."""

from pathlib import Path

import click

from node.options import config_option

EXIT_QUARANTINED = 3


@click.command()
@click.option("--profile", "profile_name", required=True, help="A profile of the config file.")
@click.argument(
    "inputs", metavar="IN...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the new files, by their new UIDs: STUDY/SERIES/SOP.dcm.",
)
@click.option(
    "--quarantine",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for copies of what could not be proven clean, each with its reason.",
)
@config_option
def command(
    profile_name: str, inputs: tuple[Path, ...], out: Path, quarantine: Path, config_file: Path
) -> None:
    """De-identify files and folders of files under a profile of the config file.

    Gives the same bytes as the running node does. Nothing uncertain goes out: what cannot be
    read or proven clean (also what is not DICOM) is copied to the quarantine folder, which then
    holds patient data. The exit status is 0 when every file went out, 3 when any was quarantined.

    \b
    Example:
      penumbra deid --profile research /data/study -o clean --quarantine held -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from collections import Counter

    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from config import secrets
    from config.load import load
    from deid.files import deidentify_files, find
    from deid.profile import compile_profile
    from dicom.errors import ConfigFault

    settings = load(config_file, with_secrets=False)
    chosen = settings.profiles.get(profile_name)
    if chosen is None:
        known = ", ".join(sorted(settings.profiles)) or "none"
        words = f"there is no profile of this name in {config_file}; there are: {known}"
        raise ConfigFault([(f"profiles.{profile_name}", words)])
    if out.resolve() == quarantine.resolve():
        raise click.UsageError("--out and --quarantine must be different folders")
    profile = compile_profile(profile_name, chosen, secrets.read(chosen.key))
    files = find(inputs, [out, quarantine])
    if not files:
        raise click.UsageError("no files there")
    console = Console(stderr=True)
    work = deidentify_files(files, profile, out, quarantine)
    outcomes = list(track(work, "De-identifying", len(files), console=console))
    table = Table("files", "outcome", title=f"profile {profile_name}, {profile.digest[:16]}")
    written = [each for each in outcomes if each.written]
    table.add_row(str(len(written)), f"written to {out}")
    for remark, count in Counter(r for each in written for r in each.remarks).most_common():
        table.add_row(str(count), f"  of these, {remark}")
    reasons = Counter(each.reason for each in outcomes if not each.written)
    for reason, count in reasons.most_common():
        table.add_row(str(count), f"quarantined: {reason}")
    Console().print(table)
    if reasons:
        raise SystemExit(EXIT_QUARANTINED)
