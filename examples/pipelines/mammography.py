"""Mammography: breast density, micro-calcifications and their clusters."""

from pathlib import Path

from ai.phantoms import breast
from examples.pipelines.specialty import Material, Number, Specialty, Verdict

DENSITY = 30.0


def _write(folder: Path) -> Material:
    series = breast.write(folder, density=DENSITY)
    spots, clusters = len(series.images[0].calcifications), len(series.images[0].clusters)
    return Material(
        folder,
        series.written.study_instance_uid,
        (
            Number("111046", "breast density, %", series.images[0].density_percent, 1),
            Number("111038", "calcifications in an image", spots, 2, decimals=0),
            Number("MGCLUSTERS", "clusters in an image", clusters, 0, decimals=0),
            Verdict("129717001", "scattered fibroglandular density", truth=True),
        ),
        identity=series.written.identity,
    )


MAMMOGRAPHY = Specialty(
    name="mammography",
    sentence="breast density and micro-calcifications of a mammogram",
    models=("mg_density",),
    when='{ Modality = ["MG"] }',
    write=_write,
    objects={"SR": 1, "PR": 1},
    keys={"mg_density": 'results = ["sr", "gsps"]'},
)
