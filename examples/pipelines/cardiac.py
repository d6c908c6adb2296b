"""Cardiac CT: the calcium score."""

from pathlib import Path

from ai.phantoms import heart
from examples.pipelines.specialty import Material, Number, Specialty, Verdict


def _write(folder: Path) -> Material:
    truth = heart.write(folder, slices=40, size=512)
    return Material(
        folder,
        truth.written.study_instance_uid,
        (
            Number("112058", "Agatston score", truth.agatston, 5, is_percent=True),
            Number("122660", "calcium volume, mm3", truth.volume_mm3, 5, is_percent=True),
            Number("111038", "calcifications", truth.lesions, 0, decimals=0),
            Verdict("CALCIUM4", "score above 400", truth.agatston > 400),
            Number(  # of the segmentation
                "118565006@18115005",
                "segment's volume, mL",
                truth.volume_mm3 / 1000,
                5,
                is_percent=True,
                decimals=3,
            ),
        ),
        identity=truth.written.identity,
    )


CARDIAC = Specialty(
    name="cardiac",
    sentence="calcium score of a cardiac CT",
    models=("ct_calcium",),
    when='{ Modality = ["CT"], BodyPartExamined = ["HEART"] }',
    write=_write,
    objects={"SR": 1, "SEG": 1},
)
