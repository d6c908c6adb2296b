"""Chest CT: lung volume and emphysema."""

from pathlib import Path

from ai import phantom
from examples.pipelines.specialty import Material, Number, Specialty


def _write(folder: Path) -> Material:
    truth = phantom.write(folder, slices=60, size=256)
    return Material(
        folder,
        truth.study_instance_uid,
        (
            Number("LAA950", "LAA-950, % of lung", truth.laa950_percent, 0.1, decimals=2),
            Number("118565006", "lung volume, mL", truth.lung_volume_ml, 0.5, is_percent=True),
            Number("PERC15", "Perc15, HU", truth.perc15_hu, 1),
        ),
    )


CHEST_CT = Specialty(
    name="chest-ct",
    sentence="lung volume and emphysema of a chest CT",
    models=("ct_emphysema",),
    when='{ Modality = ["CT"], BodyPartExamined = ["CHEST"] }',
    write=_write,
    objects={"SR": 1, "SEG": 1},
)
