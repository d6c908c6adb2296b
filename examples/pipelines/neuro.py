"""Head MR: brain extraction and brain volume."""

from pathlib import Path

from ai.phantoms import head
from examples.pipelines.specialty import Material, Number, Specialty


def _write(folder: Path) -> Material:
    truth = head.write(folder)
    return Material(
        folder,
        truth.written.study_instance_uid,
        (
            Number("118565006", "brain volume, mL", truth.brain_ml, 5, is_percent=True, decimals=0),
            Number(
                "118565006@12738006", "segment's volume, mL", truth.brain_ml, 5, is_percent=True
            ),
        ),
        identity=truth.written.identity,
    )


NEURO = Specialty(
    name="neuro",
    sentence="brain mask and volume of a T1-weighted head MR",
    models=("mr_brain",),
    when='{ Modality = ["MR"], BodyPartExamined = ["HEAD"], StudyDescription = ["*T1*"] }',
    write=_write,
    objects={"SR": 1, "SEG": 1},
)
