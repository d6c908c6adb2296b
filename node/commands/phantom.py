"""`penumbra phantom`: write a chest-CT Series whose lung measurements are known."""

from pathlib import Path

import click


@click.command
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--slices", default=60, show_default=True, type=click.IntRange(2, 2000))
@click.option(
    "--size", default=512, show_default=True, type=click.IntRange(64, 1024), help="Rows, columns."
)
@click.option(
    "--emphysema",
    default=18.0,
    show_default=True,
    type=click.FloatRange(0, 100),
    help="Intended percentage of lung voxels at or below -950 HU.",
)
@click.option(
    "--label", default="1", show_default=True, help="Another label gives another study and noise."
)
def command(out: Path, slices: int, size: int, emphysema: float, label: str) -> None:
    """Write a chest-CT phantom into the folder OUT and print its truth.

    The Series is synthetic: a body with two lungs, valid CT headers and an invented patient. Send
    it to a node that infers `ct_emphysema` and compare the report with what is printed here.

    Example: penumbra phantom /tmp/chest --slices 60 && penumbra send 127.0.0.1:11112 /tmp/chest
    """
    from ai import phantom

    truth = phantom.write(out, slices=slices, size=size, emphysema=emphysema / 100, label=label)
    click.echo(f"{len(truth.files)} slices in {out}, study {truth.study_instance_uid}")
    click.echo(f"lung volume {truth.lung_volume_ml:.1f} mL")
    click.echo(f"LAA-950     {truth.laa950_percent:.2f} %")
    click.echo(f"Perc15      {truth.perc15_hu:.0f} HU")
