"""`penumbra deid`: de-identify files without a server."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.options import config_option
from node.tables import print_table

if TYPE_CHECKING:  # their modules are loaded only when the command runs
    from config.model import Settings
    from deid.profile import Profile
    from node.deid_files import Keep, Outcome

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
@click.option(
    "--evidence",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for a signed report of each new study, and a page for people.",
)
@config_option
def command(
    *,
    profile_name: str,
    inputs: tuple[Path, ...],
    out: Path,
    quarantine: Path,
    evidence: Path | None,
    config_file: Path,
) -> None:
    """De-identify files and folders of files under a profile of the config file.

    Gives the same bytes as the running node does. Nothing uncertain goes out: what cannot be
    read or proven clean (also what is not DICOM) is copied to the quarantine folder, which then
    holds patient data. The way back of a profile that is `reversible` is kept in the vault. The
    exit status is 0 when every file went out, 3 when any was quarantined.

    \b
    Examples:
      penumbra deid --profile research /data/study -o clean --quarantine held -c node.toml
      penumbra deid --profile research a.dcm b.dcm -o clean --quarantine held --evidence reports
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from rich.console import Console
    from rich.progress import track

    from config.destinations import FolderDestination
    from config.load import load
    from node.deid_files import deidentify_files, find
    from storage.destinations.folder import Folder

    settings = load(config_file, with_secrets=False)
    profile = _profile(settings, profile_name, config_file)
    if out.resolve() == quarantine.resolve():
        raise click.UsageError("--out and --quarantine must be different folders")
    files = find(inputs, [out, quarantine])
    if not files:
        raise click.UsageError("no files there")
    target = Folder("out", FolderDestination(kind="folder", path=out))
    with _way_back(settings, profile_name) as keep:
        work = deidentify_files(files, profile, target, quarantine, keep)
        progress = track(work, "De-identifying", len(files), console=Console(stderr=True))
        outcomes = list(progress)
    _show(profile, outcomes, out)
    if evidence is not None:
        _report(settings, profile, outcomes, evidence)
    if any(each.clean is None for each in outcomes):
        raise SystemExit(EXIT_QUARANTINED)


def _profile(settings: "Settings", name: str, config_file: Path) -> "Profile":
    from config import secrets
    from deid.profile import compile_profile
    from dicom.errors import ConfigFault

    chosen = settings.profiles.get(name)
    if chosen is None:
        known = ", ".join(sorted(settings.profiles)) or "none"
        words = f"there is no profile of this name in {config_file}; there are: {known}"
        raise ConfigFault([(f"profiles.{name}", words)])
    return compile_profile(name, chosen, secrets.read(chosen.key))


@contextlib.contextmanager
def _way_back(settings: "Settings", name: str) -> Iterator["Keep | None"]:
    """Give what keeps the way back, where the profile wants one."""
    from node.vault import open_vault

    chosen = settings.profiles[name]
    if not chosen.reversible:
        yield None
        return
    vault = open_vault(settings)
    try:
        yield lambda clean, part10: vault.keep(chosen.project, clean, part10)
    finally:
        vault.close()


def _show(profile: "Profile", outcomes: "Sequence[Outcome]", out: Path) -> None:
    from collections import Counter

    written = [each for each in outcomes if each.clean]
    rows = [(len(written), f"written to {out}")]
    remarks = Counter(
        action
        for each in written
        for _, action in each.account.actions
        if action.startswith("remark")
    )
    rows += [(count, f"  of these, {remark}") for remark, count in remarks.most_common()]
    reasons = Counter(each.reason for each in outcomes if not each.clean)
    rows += [(count, f"quarantined: {reason}") for reason, count in reasons.most_common()]
    heading = f"profile {profile.name}, {profile.digest[:16]}"
    print_table(("files", "outcome"), rows, heading=heading)


def _report(
    settings: "Settings", profile: "Profile", outcomes: "Sequence[Outcome]", folder: Path
) -> None:
    from importlib import metadata

    from deid.evidence.description import describe
    from node.file_evidence import gather_files
    from node.reports import write_reports

    description = describe(profile, settings.profiles[profile.name])
    found = gather_files(outcomes, profile.digest, description, metadata.version("penumbra-node"))
    for file in write_reports(found, settings.node, folder, ("json", "html")):
        click.echo(str(file))
