"""Emphysema on a chest CT, measured by the real Triton; and what models of stacks do not take."""

import numpy as np
import pytest
from pydicom import dcmread

from ai import phantom
from ai.phantoms import head, heart
from dicom.errors import Unsuitable


def test_the_mask_is_what_the_numbers_count(find, tmp_path):
    """Both labels together are the lungs, the second is the low-attenuation area."""
    truth = phantom.write(tmp_path, slices=24, size=192)
    found = find("ct_emphysema", truth.files)
    regions = found.labels["regions"]
    counts = np.bincount(regions.ravel(), minlength=3)
    assert counts.size == 3
    voxel_ml = 5.0 * round(phantom.FIELD_OF_VIEW_MM / 192, 6) ** 2 / 1000
    assert counts[1:].sum() * voxel_ml == pytest.approx(truth.lung_volume_ml, rel=0.005)
    assert 100 * counts[2] / counts[1:].sum() == pytest.approx(truth.laa950_percent, abs=0.1)
    assert found.numbers["laa950_percent"] == pytest.approx(truth.laa950_percent, abs=0.1)


WRITE = {
    "ct_emphysema": lambda folder: phantom.write(folder, slices=24, size=64).files,
    "ct_calcium": lambda folder: heart.write(folder, slices=24, size=64, lesions=()).written.files,
    "mr_brain": lambda folder: head.write(folder, slices=100, size=24).written.files,
}


@pytest.mark.parametrize("model", WRITE)
def test_another_part_of_the_body_is_refused(find, tmp_path, model):
    """A knee has no lungs, no heart and no brain; the report says so before a number is made."""
    with pytest.raises(Unsuitable, match="BodyPartExamined"):
        find(model, changed(WRITE[model](tmp_path), BodyPartExamined="KNEE"))


@pytest.mark.parametrize("model", ["ct_emphysema", "ct_calcium"])
def test_a_contrast_agent_is_refused(find, tmp_path, model):
    """It shifts the values that the thresholds are about."""
    with pytest.raises(Unsuitable, match="contrast agent"):
        find(model, changed(WRITE[model](tmp_path), ContrastBolusAgent="Iodine 370"))


def changed(files, **values):
    """Write a Series again with other values."""
    for file in files:
        ds = dcmread(file)
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        ds.save_as(file)
    return files
