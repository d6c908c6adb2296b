"""`penumbra scan`: search files for given identity, without any code of the engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.tables import print_table

if TYPE_CHECKING:  # its module is loaded only when the command runs
    from deid.scan.scanner import Finding, Gap

EXIT_FOUND = 3
EXIT_GAPS = 1


@click.command()
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.option(
    "--identity",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What to search for: UTF-8 text, a name, number, date or UID on each line.",
)
@click.option("--ocr", is_flag=True, help="Also read the text in pixels; needs the extra `ocr`.")
@click.option(
    "--ocr-frames",
    type=click.IntRange(1),
    metavar="N",
    help="With --ocr: so many frames of each object, evenly spaced; all without it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    paths: tuple[Path, ...], identity: Path, *, ocr: bool, ocr_frames: int | None, as_json: bool
) -> None:
    """Search files and folders for the identity of patients, wherever it may hide.

    A second pair of eyes: it shares no code with de-identification. It looks at file names, at
    raw bytes in every usual encoding, into deflated, zipped, gzipped, base64 and hex parts and PDF
    pages, at every DICOM text at every depth, and with --ocr at frames, overlays and icons. Any
    kind of file will do.

    A line of the identity file may begin with its kind (name:, id:, date:, phone:, uid:, text:);
    # begins a comment. What is found is told by file, place and the line's number: a finding
    never repeats the identity itself. Keep the identity file like a patient record.

    Exit status: 0 nothing found, 3 something found, 1 nothing found but not everything could be
    looked into, 2 wrong usage.

    \b
    Examples:
      penumbra scan delivered/ --identity patients.txt
      penumbra scan delivered/ --identity patients.txt --ocr --ocr-frames 3 --json
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from rich.console import Console
    from rich.progress import track

    from deid.scan import wanted
    from deid.scan.pixels import NoOcr, load_reader
    from deid.scan.scanner import Finding, Gap, Scanner, find_files

    if ocr_frames is not None and not ocr:
        raise click.UsageError("--ocr-frames goes with --ocr")
    try:
        lines = wanted.read(identity.read_bytes())
        reader = load_reader() if ocr else None
    except (wanted.Unusable, NoOcr) as fault:
        raise click.UsageError(str(fault)) from fault
    scanner = Scanner(lines, reader, ocr_frames)
    own = identity.resolve()
    listed, left_out = find_files(paths)
    files = [each for each in listed if each.file.resolve() != own]
    if not files:
        raise click.UsageError("no files there")
    screen = Console(stderr=True)
    told = [
        each
        for file in track(files, "Searching", console=screen, disable=not screen.is_terminal)
        for each in scanner.scan(file)
    ]
    findings = [each for each in told if isinstance(each, Finding)]
    gaps = [Gap(scanner.masked(folder), "folder", why) for folder, why in left_out]
    gaps += [each for each in told if isinstance(each, Gap)]
    _print(len(files), len(lines), findings, gaps, as_json=as_json)
    if findings:
        raise SystemExit(EXIT_FOUND)
    if gaps:
        raise SystemExit(EXIT_GAPS)


def _print(
    files: int,
    lines: int,
    findings: "Sequence[Finding]",
    gaps: "Sequence[Gap]",
    *,
    as_json: bool,
) -> None:
    import json
    from dataclasses import asdict

    if as_json:
        facts = {
            "files": files,
            "identity_lines": lines,
            "findings": [asdict(each) for each in findings],
            "not_looked_into": [asdict(each) for each in gaps],
        }
        click.echo(json.dumps(facts))
        return
    if findings:
        titles = ("file", "where", "line", "kind", "times")
        rows = ((each.file, each.where, each.line, each.kind, each.count) for each in findings)
        print_table(titles, rows, heading="Found")
    if gaps:
        unseen = ((gap.file, gap.where, gap.why) for gap in gaps)
        print_table(("file", "where", "why"), unseen, heading="Not looked into")
    held = len({each.file for each in findings})
    click.echo(
        f"{files} files searched for {lines} lines of identity: "
        + (f"found in {held} of them." if findings else "nothing found.")
        + (f" {len(gaps)} parts could not be looked into." if gaps else "")
    )
