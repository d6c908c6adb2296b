"""The mask of a chest CT says the same as its numbers, on the real Triton."""

import numpy as np
import pytest

from ai import phantom


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
