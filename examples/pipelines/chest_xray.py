"""Chest X-ray: five classes of a synthetic radiograph, and where the finding is."""

from pathlib import Path

from ai.phantoms import radiograph
from examples.pipelines.specialty import Material, Specialty, Verdict


def _write(folder: Path) -> Material:
    truth = radiograph.write(folder, finding="nodule")
    return Material(
        folder,
        truth.written.study_instance_uid,
        (
            Verdict("27925004", "nodule", truth=True),
            Verdict("17621005", "normal", truth=False),
            Verdict("60046008", "pleural effusion", truth=False),
            Verdict("36118008", "pneumothorax", truth=False),
            Verdict("287272002", "enlarged heart", truth=False),
        ),
    )


CHEST_XRAY = Specialty(
    name="chest-xray",
    sentence="five classes of a synthetic chest radiograph",
    models=("cxr_five",),
    when='{ Modality = ["DX"] }',
    write=_write,
    objects={"SR": 1, "OT": 1},
    keys={"cxr_five": 'results = ["sr", "sc"]'},
)
