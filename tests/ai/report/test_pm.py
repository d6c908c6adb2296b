"""A Parametric Map holds a heat map's values, where the originals lie."""

import io

import highdicom
import numpy as np
import pytest

from ai.report import pm
from ai.result import ResultKind
from examples.results import originals
from examples.results.findings import FINDINGS


def _maps(results, kind):
    made = [one for one in results(kind, "heat") if one.kind is ResultKind.PM]
    return [highdicom.imread(io.BytesIO(one.part10)) for one in made]


def test_values_read_back_as_they_were(results):
    """Both maps of a stack hold their floats, in the geometry of the originals."""
    source = originals.source("CT", originals.NAMES[0])
    heats = FINDINGS["heat"](source)
    for image, heat in zip(_maps(results, "CT"), heats, strict=False):
        assert image.FrameOfReferenceUID == source.frame_of_reference_uid
        volume = image.get_volume()
        found = sorted(float(frame.max()) for frame in volume.array)
        np.testing.assert_allclose(found, sorted(float(v.max()) for v in heat.values), rtol=1e-6)
        np.testing.assert_allclose(volume.spacing, (2.5, 0.703125, 0.703125), atol=1e-6)


def test_a_large_map_is_made_coarser(results, monkeypatch):
    """Blocks are averaged; pixels become larger, and the first one's middle moves in."""
    heat = FINDINGS["heat"](originals.source("CT", originals.NAMES[0]))[0]
    monkeypatch.setattr(pm, "LIMIT_BYTES", 10 * 64 * 64 * 4 // 9)
    assert pm.coarseness((64, 64), 10) == 4
    averaged = pm.coarse(heat.values[0], 4)
    assert averaged.shape == (16, 16)
    assert averaged[0, 0] == pytest.approx(heat.values[0][:4, :4].mean())
    plane = originals.source("CT", originals.NAMES[0]).planes[0]
    coarser = pm._coarser(plane, 4)
    assert coarser.spacing_mm == (4 * 0.703125, 4 * 0.703125)
    x, y, z = (there - here for there, here in zip(coarser.position, plane.position, strict=True))
    assert (x, y, z) == pytest.approx((1.5 * 0.703125, 1.5 * 0.703125, 0))


def test_an_odd_size_keeps_its_last_row():
    """What does not fill a block is filled with its own edge."""
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    assert pm.coarse(values, 2).tolist() == [[2, 3.5], [8, 9.5], [12.5, 14]]


@pytest.mark.parametrize("kind", ["DX", "SM"])
def test_images_without_a_place_have_none(results, kind):
    """A radiograph's heat map is drawn into a key image instead."""
    made = {one.kind for one in results(kind, "heat")}
    assert made == {ResultKind.SR, ResultKind.SC}
