"""The labelling index of H-DAB slides, by the ONNX file that the real Triton serves."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pydicom import dcmread

from ai import phantom_slide, server
from ai.findings import Heatmap, Measurement
from ai.training import labelling
from examples.peers.asking import words

TILE = labelling.TILE
EOSIN = (0.072, 0.990, 0.105)


@pytest.fixture
def ask(asker):
    return lambda tiles: asker.ask("wsi_labelling", {"tiles": tiles})


def tiles_of(path):
    """Give the tiles (n, y, x, 3) of a native whole-slide image, in the order of its frames."""
    return dcmread(path).pixel_array


def stained(first, second, glass=245):
    """A tile of discs, half of each stain: (vector, units)."""
    y, x = np.mgrid[:TILE, :TILE]
    disc = np.hypot(y % 32 - 16, x % 32 - 16) < 9
    density = np.zeros((TILE, TILE, 3))
    for half, (stain, units) in ((x < TILE // 2, first), (x >= TILE // 2, second)):
        density[disc & half] = units * np.array(stain) / np.linalg.norm(stain)
    return np.rint(glass * 10**-density).astype(np.uint8)[np.newaxis]


@pytest.mark.parametrize("share", [0.0, 0.12, 0.312, 0.75])
def test_the_labelling_index_of_a_slide_is_recovered(ask, tmp_path, share):
    """Tiles weighed by nuclear area give the slide's index within one point; each tile its own."""
    truth = phantom_slide.write(tmp_path, labelled_share=share, size=1024, label=str(share))
    tiles = tiles_of(truth.files[0])
    batches = [tiles[at : at + 4] for at in range(0, len(tiles), 4)]
    with ThreadPoolExecutor(4) as several:
        answers = list(several.map(ask, batches))
    rows = np.concatenate([answer["labelling"] for answer in answers])
    found = np.average(rows[:, 0], weights=rows[:, 1])
    assert abs(found - truth.labelled_area_percent) < 1, (found, truth.labelled_area_percent)
    nuclear = truth.tile_nuclear_pixels.ravel()
    np.testing.assert_allclose(rows[:, 1], nuclear, rtol=0.05, atol=60)
    many = nuclear > 2000
    labelled = 100 * truth.tile_labelled_pixels.ravel()[many] / nuclear[many]
    np.testing.assert_allclose(rows[many, 0], labelled, atol=2)
    assert not any(words(answer) for answer in answers)


def test_a_slide_becomes_one_number_and_a_heat_map(found, tmp_path):
    """By contract, preparation and pool: the weighted index within a point, a value a tile."""
    truth = phantom_slide.write(tmp_path, labelled_share=0.4, size=1024, levels=2, label="whole")
    said = found("wsi_labelling", truth.files)
    (index,) = (one for one in said if isinstance(one, Measurement))
    assert abs(index.value - truth.labelled_area_percent) < 1
    (heat,) = (one for one in said if isinstance(one, Heatmap))
    assert heat.values[0].shape == truth.tile_nuclear_pixels.shape
    many = truth.tile_nuclear_pixels > 2000
    expected = 100 * truth.tile_labelled_pixels[many] / truth.tile_nuclear_pixels[many]
    np.testing.assert_allclose(heat.values[0][many], expected, atol=2)


def test_the_heat_map_is_each_tiles_index(ask):
    """The value of the heat map is that of the tile, 0 on glass."""
    glass = np.full((1, TILE, TILE, 3), 245, np.uint8)
    mixed = stained((labelling.HAEMATOXYLIN, 0.7), (labelling.DAB, 0.7))
    answer = ask(np.concatenate([mixed, glass]))
    assert answer["labelled_percent"].shape == (2, 1)
    np.testing.assert_allclose(answer["labelled_percent"].ravel(), [50, 0], atol=0.5)
    assert answer["labelling"][1].tolist() == [0, 0]


def test_weakly_labelled_nuclei_count(ask):
    """A nucleus with both stains is labelled where DAB reaches its threshold, not below."""
    h, d = np.array(labelling.HAEMATOXYLIN), np.array(labelling.DAB)
    weak = stained((0.5 * h + 0.2 * d, np.linalg.norm(0.5 * h + 0.2 * d)), (h, 0.6))
    none = stained((0.5 * h + 0.1 * d, np.linalg.norm(0.5 * h + 0.1 * d)), (h, 0.6))
    np.testing.assert_allclose(ask(weak)["labelled_percent"], 50, atol=0.5)
    np.testing.assert_allclose(ask(none)["labelled_percent"], 0, atol=0.5)


def test_another_staining_is_refused(ask):
    """Haematoxylin and eosin is no slide of which this model says anything."""
    tiles = stained((labelling.HAEMATOXYLIN, 0.6), (EOSIN, 0.5))
    assert words(ask(tiles)) == labelling.REFUSAL


def test_the_file_is_what_the_script_writes(tmp_path):
    """The committed ONNX file is the script's own, byte for byte."""
    labelling.write(tmp_path / "model.onnx")
    served = server.REFERENCE_REPOSITORY / "wsi_labelling" / "1" / "model.onnx"
    assert (tmp_path / "model.onnx").read_bytes() == served.read_bytes()
