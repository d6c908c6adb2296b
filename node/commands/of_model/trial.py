"""`penumbra model try`: run a model on files, print and draw what it finds; send nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.options import config_option
from node.tables import print_table

if TYPE_CHECKING:  # their modules are loaded only when the command runs
    from ai.outcome import Outcome
    from node.trial import SeriesFiles


@click.command("try")
@config_option
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the most telling image there, as PNG, with the findings drawn in.",
)
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the DICOM objects (SR, SEG and the like) into this folder.",
)
@click.option("--version", metavar="VERSION", help="Another version than the configured one.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each Series instead.")
def command(
    config_file: Path,
    name: str,
    files: tuple[Path, ...],
    *,
    picture: Path | None,
    save: Path | None,
    version: str | None,
    as_json: bool,
) -> None:
    """Run the model [models.NAME] on DICOM FILES, or folders of them, and print what it finds.

    The files go the way that a received Series goes: checked against what the model wants,
    prepared, inferred on the model's servers, its answer checked. Nothing is sent to a PACS and
    nothing is stored, beside what --picture and --save ask for; the node need not run. Several
    Series are tried one after the other; of these, --picture numbers its files. The exit status is
    1 when the model refused every Series.

    \b
    Examples:
      penumbra model try emphysema /data/chest -c node.toml
      penumbra model try emphysema scan/*.dcm --picture found.png --save results
      penumbra model try emphysema /data/chest --json | jq .findings
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import sys
    from datetime import UTC, datetime

    from node import logs, trial
    from node.commands.of_model.chosen import chosen

    logs.configure("warning")  # what it did is printed here
    settings = chosen(config_file, name)
    if version is not None:
        settings = settings.model_copy(update={"version": version, "split": {}})
    series, skipped = trial.series_of(files)
    for path in skipped:
        click.echo(f"{path}: skipped, no DICOM object", err=True)
    if not series:
        raise click.UsageError("there is no DICOM object among the files")
    outcomes = trial.run(name, settings, series, datetime.now(UTC))
    for number, (one, outcome) in enumerate(zip(series, outcomes, strict=True), start=1):
        _print(one, outcome, as_json=as_json)
        if save is not None:
            for path in trial.save(outcome, save):
                click.echo(f"wrote {path}", err=True)
        if picture is not None:
            drawn = _draw(outcome, one, picture if len(series) == 1 else _numbered(picture, number))
            click.echo(drawn, err=True)
    if all(outcome.refusal for outcome in outcomes):
        sys.exit(1)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _draw(outcome: "Outcome", series: "SeriesFiles", path: Path) -> str:
    from ai import picture, showing

    drawn = showing.draw(outcome, series.parts)
    if drawn is None:
        return "no picture: there is nothing to show"
    path.write_bytes(picture.png(drawn))
    return f"wrote {path}"


def _print(series: "SeriesFiles", outcome: "Outcome", *, as_json: bool) -> None:
    import json

    from ai.outcome_words import plain, rows

    if as_json:
        click.echo(json.dumps(plain(outcome, series.series_instance_uid)))
        return
    served, contract = outcome.served, outcome.contract
    click.echo(
        f"Series {series.series_instance_uid}: {len(series.parts)} images, {series.modality}"
    )
    asked = f"{contract.algorithm} {contract.algorithm_version}, version {served.version}"
    click.echo(f"{asked} of {served.model} on {outcome.endpoint or 'no server'}")
    if outcome.refusal:
        click.echo(f"refused: {outcome.refusal}")
        return
    found = list(rows(outcome))
    if found:
        print_table(("output", "what", "image", "found"), found)
    else:
        click.echo("ran, and found nothing")
    click.echo(_last_line(outcome, [str(one.kind) for one in outcome.results]))


def _last_line(outcome: "Outcome", kinds: Sequence[str]) -> str:
    took = ", ".join(f"{step} {seconds:.2f} s" for step, seconds in outcome.seconds.items())
    made = ", ".join(f"{kinds.count(kind)} {kind.upper()}" for kind in dict.fromkeys(kinds))
    return f"{took}; would make {made or 'nothing'}"
