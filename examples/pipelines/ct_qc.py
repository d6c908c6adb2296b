"""CT quality control: the daily water phantom."""

from pathlib import Path

from ai.phantoms import water
from examples.pipelines.specialty import Material, Number, Specialty, Verdict


def _write(folder: Path) -> Material:
    truth = water.write(folder)
    return Material(
        folder,
        truth.written.study_instance_uid,
        (
            Number("WATERHU", "CT number of water, HU", truth.water_hu, 0.2, decimals=2),
            Number("WATERNOISE", "noise, HU", truth.noise_hu, 0.2, decimals=2),
            Number("WATERUNIFORM", "uniformity, HU", truth.uniformity_hu, 0.5, decimals=2),
            Number("WATERDIAMETER", "diameter, mm", truth.diameter_mm, 1),
            Verdict("WATERPASS", "within all limits", truth=True),
        ),
    )


CT_QC = Specialty(
    name="ct-qc",
    sentence="CT number, noise and uniformity of the daily water phantom",
    models=("ct_water_qc",),
    when='{ Modality = ["CT"], BodyPartExamined = ["PHANTOM"] }',
    write=_write,
)
