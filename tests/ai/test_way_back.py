"""From stored slices to a Segmentation about them: each label stands on its pixel and its place."""

import io
from datetime import UTC, datetime

import highdicom
import numpy as np
import pytest
from pydicom import dcmread

from ai import findings, prepare
from ai.contract import (
    Class,
    Code,
    Contract,
    Input,
    InputKind,
    Orientation,
    Output,
    OutputKind,
    Preparation,
    Served,
    Wants,
)
from ai.report.build import build
from ai.report.subject import Subject
from ai.result import ResultKind

NODULE = Code("27925004", "SCT", "Nodule")
SETTLED = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)
ROWS, COLUMNS, COUNT = 24, 20, 6
ORIENTATIONS = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "prone": ((-1, 0, 0), (0, -1, 0)),
    "feet first": ((-1, 0, 0), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "oblique": ((0.8, 0.6, 0), (0, 0, -1)),
}


def stored(series, encode, row, column):
    """Lay slices with a mark each, none like another, along the normal, and shuffle them."""
    chance = np.random.default_rng(7)
    normal = np.cross(row, column)
    objects, truth = [], {}
    for number in range(COUNT):
        ds = dcmread(io.BytesIO(series[number]))
        top, left = chance.integers(1, 10, 2)
        image = np.zeros((ROWS, COLUMNS), dtype="<u2")
        image[top : top + 7, left : left + 4 + number] = 2000
        ds.Rows, ds.Columns, ds.PixelData = ROWS, COLUMNS, image.tobytes()
        ds.PixelSpacing, ds.SliceThickness = [0.5, 1.25], 3
        ds.ImageOrientationPatient = [float(part) for part in (*row, *column)]
        ds.ImagePositionPatient = [round(float(part), 6) for part in 3 * number * normal]
        objects.append(encode(ds))
        truth[ds.SOPInstanceUID] = (image > 0, list(ds.ImagePositionPatient))
    chance.shuffle(objects)
    return objects, truth


@pytest.mark.p6
@pytest.mark.parametrize("flip", ["", "x", "y", "z"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_labels_stand_on_the_pixels_they_are_about(series, encode, orientation, flip):
    """However slices lie, and whichever way the model was shown them: image by image, mm by mm."""
    objects, truth = stored(series, encode, *ORIENTATIONS[orientation])
    contract = Contract(
        "a", "1", "", NODULE, Wants("CT", orientation=Orientation.ANY, max_spacing_mm=5),
        (Input("volume", InputKind.VOLUME, Preparation(layout="xyz")),),
        (Output("mask", OutputKind.MASK, classes=(Class(NODULE),)),),
    )  # fmt: skip
    prepared = prepare.prepare(contract, objects)
    asked = prepared.flipped(flip) if flip else prepared
    answer = {"mask": (asked.tensors(0)["volume"] > 500).astype(np.uint8)}
    found = findings.read(contract, answer, asked.grid)
    served = Served("m", "1", "triton", (), (), {})
    made = build(Subject(prepared.source, contract, served, found), [ResultKind.SEG], now=SETTLED)
    seg = highdicom.seg.segread(io.BytesIO(made[1].part10))
    pixels = seg.get_pixels_by_source_instance(list(truth), combine_segments=True)
    for (image, _), labels in zip(truth.values(), pixels, strict=True):
        np.testing.assert_array_equal(labels, image)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        about = frame.DerivationImageSequence[0].SourceImageSequence[0]
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert place == pytest.approx(truth[about.ReferencedSOPInstanceUID][1])
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.5, 1.25]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == pytest.approx(
        [part for way in ORIENTATIONS[orientation] for part in way]
    )
