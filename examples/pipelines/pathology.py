"""Pathology: the labelling index of a whole-slide image, and its heat map."""

from pathlib import Path

from ai import phantom_slide
from examples.pipelines.specialty import Material, Number, Specialty

SHARE = 0.312


def _write(folder: Path) -> Material:
    truth = phantom_slide.write(folder, labelled_share=SHARE, size=2048, levels=2)
    index = Number("LABELLING", "labelling index, %", truth.labelled_area_percent, 1)
    return Material(folder, truth.study_instance_uid, (index,))


PATHOLOGY = Specialty(
    name="pathology",
    sentence="labelling index and heat map of a slide, tile by tile",
    models=("wsi_labelling",),
    when='{ Modality = ["SM"] }',
    write=_write,
    objects={"SR": 1, "OT": 1},
    keys={"wsi_labelling": 'results = ["sr", "sc"]'},
)
