"""A whole-slide image becomes tiles with tissue, at the scale that is asked for, made lazily."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ai import phantom, phantom_slide
from ai.contract import Code, Contract, Input, InputKind, Normalise, Preparation, Wants
from ai.inputs import slide, tiles
from ai.inputs.slide import GLASS, Level
from ai.prepare import prepare
from ai.prepared import Spot
from dicom.errors import BadAnswer, Unsuitable

SIZE, TILE = 600, 128
ROWS = -(-SIZE // TILE)


def _contract(*extra, shape=(), datatype="", **how):
    images = Input("v", InputKind.TILES, Preparation(**how), datatype=datatype, shape=shape)
    code = Code("1", "99TEST", "Test")
    return Contract("a", "1", "", code, Wants("SM"), (images, *extra), ())


def _whole(prepared):
    return np.concatenate([prepared.tensors(batch)["v"] for batch in range(prepared.batches)])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write slides and read their objects, each kind once."""
    kept = {}

    def write(**how):
        key = tuple(sorted(how.items()))
        if key not in kept:
            folder = tmp_path_factory.mktemp("slide")
            truth = phantom_slide.write(folder, labelled_share=0.3, size=SIZE, tile=TILE, **how)
            kept[key] = truth, [path.read_bytes() for path in truth.files]
        return kept[key]

    return write


@pytest.fixture(scope="module")
def drawn(written):
    """The slide's pixels, put together by pydicom: (y, x, 3), glass beyond its edge."""
    frames = dcmread(io.BytesIO(written()[1][0])).pixel_array
    rows = [np.concatenate(list(frames[at : at + ROWS]), axis=1) for at in range(0, 25, ROWS)]
    return np.concatenate(rows)


@pytest.mark.parametrize("how", [{}, {"coding": "jpeg2000"}, {"is_sparse": True}])
def test_tiles_with_tissue_are_given_as_stored(written, drawn, how):
    """Each tile with at least a share of tissue, row by row, however the slide is written."""
    truth, series = written(**how)
    prepared = prepare(_contract(batch=4), series)
    shown = truth.tile_tissue_pixels / TILE**2 >= tiles.TISSUE_SHARE
    places = [tuple(place) for place in np.argwhere(shown).tolist()]
    assert list(prepared.grid.places) == places
    assert prepared.grid.items == len(places) > 10
    given = _whole(prepared)
    assert given.dtype == np.uint8
    for tile, (row, column) in zip(given, places, strict=True):
        top, left = row * TILE, column * TILE
        inside = np.s_[: SIZE - top, : SIZE - left]
        expected = drawn[top : top + TILE, left : left + TILE]
        assert np.array_equal(tile[inside], expected[inside])


def test_lossy_tiles_are_close_to_what_was_drawn(written, drawn):
    """JPEG in the colours of luminance and chrominance comes out red, green and blue."""
    prepared = prepare(_contract(), written(coding="jpeg")[1])
    (row, column), tile = prepared.grid.places[4], prepared.tensors(0)["v"][4].astype(int)
    expected = drawn[row * TILE :, column * TILE :][:TILE, :TILE].astype(int)
    assert np.abs(tile - expected).mean() < 6


def test_the_labelling_index_is_recovered_from_tiles(written):
    """What is counted tile by tile, weighted, is the slide's truth."""
    truth, series = written()
    given = _whole(prepare(_contract(), series)).astype(float)
    absorbed = -np.log10(np.clip(given, 1, 255) / 245)
    stains = np.array([phantom_slide.HAEMATOXYLIN, phantom_slide.DAB])
    amounts = absorbed @ np.linalg.pinv(stains)
    nuclear = amounts.max(axis=-1) > 0.4
    labelled = nuclear & (amounts[..., 1] > amounts[..., 0])
    share = 100 * labelled.sum() / nuclear.sum()
    assert share == pytest.approx(truth.labelled_area_percent, abs=0.5)
    assert truth.labelled_count_percent == pytest.approx(30, abs=0.2)
    assert truth.tile_labelled_pixels.sum() / truth.tile_nuclear_pixels.sum() == pytest.approx(
        truth.labelled_area_percent / 100
    )


@pytest.mark.parametrize(
    ("wanted_mm", "level_mm", "pixels"),
    [
        (None, 0.0005, 128),
        (0.0005, 0.0005, 128),
        (0.00052, 0.0005, 123),
        (0.00075, 0.0005, 85),
        (0.001, 0.001, 128),
        (0.0015, 0.001, 85),
        (0.00184, 0.002, 139),
        (0.004, 0.002, 64),
        (0.0004, 0.0005, 160),
    ],
)
def test_the_level_that_holds_what_is_wanted_is_read(written, wanted_mm, level_mm, pixels):
    """The coarsest that is fine enough; a tile covers what the level's own tile covers."""
    spacing = Input("mm", InputKind.SPACING, datatype="FP32", shape=(2,))
    how = {} if wanted_mm is None else {"spacing_mm": (wanted_mm, wanted_mm)}
    prepared = prepare(_contract(spacing, **how), written(levels=3)[1])
    assert prepared.level.facts.spacing_mm[0] == pytest.approx(level_mm)
    given = prepared.tensors(0)
    assert given["v"].shape[1:] == (pixels, pixels, 3)
    assert given["mm"].tolist() == pytest.approx([wanted_mm or 0.0005] * 2)


def test_a_slide_that_is_too_coarse_is_refused(written):
    """What is not in the slide cannot be resampled out of it."""
    with pytest.raises(Unsuitable, match=r"a pixel every 0.0005 mm; 0.00025 mm is wanted"):
        prepare(_contract(spacing_mm=(0.00025, 0.00025)), written(levels=3)[1])


def test_resampled_tiles_join_without_a_seam(written, drawn):
    """Tiles that lie across stored ones show the slide as if it had been resampled whole."""
    prepared = prepare(_contract(spacing_mm=(0.001, 0.001), size=(75, 75)), written()[1])
    assert prepared.level.facts.tile == (128, 128)
    assert prepared.grid.shape == (4, 4)
    four = drawn[:SIZE, :SIZE].reshape(SIZE // 2, 2, SIZE // 2, 2, 3)
    halved = four.mean(axis=(1, 3))
    for tile, (row, column) in zip(_whole(prepared), prepared.grid.places, strict=True):
        part = halved[row * 75 : row * 75 + 75, column * 75 : column * 75 + 75]
        assert np.allclose(tile, part, atol=0.01)


def test_a_size_of_its_own_cuts_the_slide_anew(written, drawn):
    """A tile need not be a stored frame; what lies beyond the edge is glass."""
    prepared = prepare(_contract(size=(100, 70), layout="ncyx", **UNIT), written()[1])
    assert prepared.grid.shape == (6, 9)
    given = _whole(prepared)
    assert given.shape[1:] == (3, 100, 70)
    for tile, (row, column) in zip(given, prepared.grid.places, strict=True):
        expected = np.full((100, 70, 3), GLASS, np.uint8)
        part = drawn[:SIZE, :SIZE][row * 100 :, column * 70 :][:100, :70]
        expected[: part.shape[0], : part.shape[1]] = part
        assert np.allclose(tile.transpose(1, 2, 0), expected / 255, atol=1e-6)


UNIT = {"normalise": Normalise.UNIT}


def test_a_z_score_is_over_all_tiles(written):
    """Mean 0 and deviation 1 over all tiles that are given."""
    given = _whole(prepare(_contract(normalise=Normalise.ZSCORE), written()[1])).astype(float)
    assert (given.mean(), given.std()) == pytest.approx((0, 1), abs=1e-3)


def test_a_heat_map_has_a_pixel_for_each_tile(written):
    """A row for each tile, laid out as they lie; where no tile was given stands 0."""
    truth, series = written()
    grid = prepare(_contract(), series).grid
    shares = [
        truth.tile_labelled_pixels[place] / max(1, truth.tile_nuclear_pixels[place])
        for place in grid.places
    ]
    (made,) = grid.values(np.array(shares, np.float32))
    expected = truth.tile_labelled_pixels / np.maximum(1, truth.tile_nuclear_pixels)
    shown = np.zeros(made.shape, bool)
    shown[tuple(np.array(grid.places).T)] = True
    assert made.shape == (ROWS, ROWS)
    assert made.dtype == np.float32
    assert np.allclose(made[shown], expected[shown])
    assert not made[~shown].any()
    (labels,) = grid.labels(np.ones((grid.items, 1)))
    assert np.array_equal(labels, shown)
    for wrong in (grid.items - 1, (grid.items, 2), (1, grid.items)):
        with pytest.raises(BadAnswer, match=f"for {grid.items} tiles"):
            grid.values(np.zeros(wrong, np.float32))


@pytest.mark.parametrize("flips", ["", "x", "y", "xy"])
@pytest.mark.parametrize("how", [{}, {"spacing_mm": (0.001, 0.001), "size": (80, 80)}])
def test_a_spot_leads_back_to_the_slide(written, drawn, flips, how):
    """A place in a tile is a place in the total pixel matrix, mirrored or not."""
    prepared = prepare(_contract(**how), written()[1])
    straight = _whole(prepared)
    for axis in flips:
        prepared = prepared.flipped(axis)
        straight = np.flip(straight, {"y": 1, "x": 2}[axis])
    assert np.array_equal(_whole(prepared), straight)
    scale = 2 if how else 1
    side = 80 if how else TILE
    item = 5
    row, column = prepared.grid.places[item]
    y, x = (60.25 if "y" not in flips else side - 60.25), (8.5 if "x" not in flips else side - 8.5)
    spot = prepared.grid.spot(item, y, x)
    top, left = row * side * scale, column * side * scale
    assert spot.image == 0
    assert (spot.row, spot.column) == pytest.approx((top + 60.25 * scale, left + 8.5 * scale))
    assert prepared.grid.spot(prepared.grid.items, 1, 1) is None
    assert prepared.grid.spot(-1, 1, 1) is None
    assert (prepared.grid.image(item), prepared.grid.image(999)) == (0, None)
    with pytest.raises(BadAnswer, match="no z"):
        prepared.flipped("z")


def test_places_beyond_the_slide_have_no_spot(written):
    """The last tiles reach over its edge; there is nothing to point at."""
    grid = prepare(_contract(), written()[1]).grid
    edge = replace(grid, places=[(4, 4)])
    assert edge.spot(0, 10, 10) == Spot(0, 522, 522)
    assert edge.spot(0, 100, 10) is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_labels_and_overviews_are_left_out(written, order):
    """Only levels are read, in whatever order they come; the slide's paper label is not."""
    truth, series = written(levels=2, with_label=True)
    prepared = prepare(_contract(), [series[at] for at in order])
    assert prepared.pixel_digest == prepare(_contract(), series[:2]).pixel_digest
    assert [one.sop_instance_uid for one in prepared.source.references] == [
        dcmread(truth.files[0]).SOPInstanceUID
    ]
    assert prepared.source.planes[0].shape == (SIZE, SIZE)
    with pytest.raises(Unsuitable, match="no level of a whole-slide image"):
        prepare(_contract(), series[2:])


def test_frames_are_decoded_when_they_are_needed(written, monkeypatch):
    """Tissue is found on a coarse level, and a tile is decoded when its request is made."""
    decoded = []
    plain = Level._decoded

    def counted(self, number):
        decoded.append(self.facts.spacing_mm[0])
        return plain(self, number)

    monkeypatch.setattr(Level, "_decoded", counted)
    prepared = prepare(_contract(batch=4), written(levels=3, coding="jpeg")[1])
    assert set(decoded) == {0.002}
    decoded.clear()
    prepared.tensors(1)
    assert decoded == [0.0005] * 4
    prepared.tensors(1)
    assert decoded == [0.0005] * 4
    assert prepared.pixel_digest
    assert len(decoded) == 4


def test_no_more_frames_are_kept_than_fit(written, monkeypatch):
    """Memory stays flat however many tiles a slide has."""
    monkeypatch.setattr(slide, "_CACHE_BYTES", 3 * TILE * TILE * 3)
    prepared = prepare(_contract(size=(100, 100)), written(coding="jpeg")[1])
    _whole(prepared)
    assert 0 < len(prepared.level._kept) <= 3


def test_the_digest_is_another_for_any_other_pixel(written):
    """One bit of one stored frame is enough, and so is a setting."""
    series = written()[1]
    changed = bytearray(series[0])
    changed[-TILE * TILE * 3 * 8] ^= 1
    digests = {
        prepare(_contract(), series).pixel_digest,
        prepare(_contract(), [bytes(changed)]).pixel_digest,
        prepare(_contract(batch=2), series).pixel_digest,
        prepare(_contract(spacing_mm=(0.001, 0.001)), series).pixel_digest,
        prepare(_contract(), series).flipped("x").pixel_digest,
    }
    assert len(digests) == 5


def _edited(part10, encode, change):
    ds = dcmread(io.BytesIO(part10))
    change(ds)
    return encode(ds)


def _set(**values):
    def change(ds):
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return change


def _bare(ds):
    ds.PixelData = np.full((25, TILE, TILE, 3), 244, np.uint8).tobytes()


def _cut(ds):
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]


@pytest.mark.p6
@pytest.mark.parametrize(
    ("change", "how", "words"),
    [
        (_set(Modality="CT"), {}, "not of Modality SM"),
        (_set(SamplesPerPixel=1), {}, "not in colour"),
        (_set(TotalPixelMatrixRows=0), {}, "matrix is empty"),
        (_set(NumberOfFrames=24), {}, "24 frames for 5 x 5 tiles"),
        (_set(TotalPixelMatrixRows=2**31), {}, "more than 1048576 tiles"),
        (_set(), {"size": (1, 1), "spacing_mm": (0.0005, 0.0001)}, "tiles are too many"),
        (_set(SharedFunctionalGroupsSequence=[]), {}, "not that of a whole-slide image"),
        (_set(ConcatenationUID="2.25.1"), {}, "part of a concatenation"),
        (_set(DimensionOrganizationType="TILED_SPARSE"), {}, "not that of a whole-slide image"),
        (_bare, {}, "no tile of the slide shows tissue"),
        (_cut, {}, "shorter than its frames"),
        (_set(), {"spacing_mm": (0.04, 0.04)}, r"pixels are 0\.0005 mm apart; 0\.04 mm is wanted"),
        (_set(), {"layout": "nyx"}, "the model takes grey"),
        (_set(), {"size": (30000, 30000)}, "larger than 2 GiB"),
    ],
)
def test_what_cannot_be_tiled_is_refused(written, encode, change, how, words):
    """Each slide that cannot be given is refused in words without a patient's data."""
    object_ = _edited(written()[1][0], encode, change)
    with pytest.raises(Unsuitable, match=words) as refusal:
        prepare(_contract(**how), [object_])
    assert not [value for value in phantom.Patient().strings if value in str(refusal.value)]


def test_a_frame_that_cannot_be_decoded_is_named(written):
    """Broken compressed data is a refusal with the frame's number."""
    series = written(coding="jpeg2000")[1]
    at = series[0].index(b"\xff\x4f\xff\x51", len(series[0]) // 2)
    damaged = series[0][:at] + b"\0" * 64 + series[0][at + 64 :]
    with pytest.raises(Unsuitable, match=r"frame \d+: its pixel data cannot be decoded"):
        _whole(prepare(_contract(), [damaged]))


def test_levels_of_another_slide_are_refused(written, encode):
    """One request is about one slide."""
    series = written(levels=2)[1]
    other = _edited(series[1], encode, _set(SeriesInstanceUID="2.25.1"))
    with pytest.raises(Unsuitable, match="not all of one study"):
        prepare(_contract(), [series[0], other])
    with pytest.raises(Unsuitable, match="same SOPInstanceUID"):
        prepare(_contract(), [series[0], series[0]])


@pytest.mark.parametrize("how", [{"levels": 3, "with_label": True}, {"coding": "jpeg"}])
def test_the_phantom_is_valid(written, how):
    """dciodvfy finds no error in a phantom's objects."""
    checker = Path(sys.executable).with_name("dciodvfy")  # from the test extra dicom3tools
    for path in written(**how)[0].files:
        done = subprocess.run([checker, "-new", path], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert "VLWholeSlideMicroscopyImage" in said, said
        assert not [line for line in said.splitlines() if "Error" in line], said


def test_the_phantom_is_the_same_each_time(tmp_path):
    """The same arguments write the same bytes; another label is another slide."""
    how = {"labelled_share": 0.5, "size": 256, "tile": 64, "coding": "jpeg"}
    first = phantom_slide.write(tmp_path / "a", **how)
    second = phantom_slide.write(tmp_path / "b", **how)
    other = phantom_slide.write(tmp_path / "c", label="2", **how)
    assert first.files[0].read_bytes() == second.files[0].read_bytes()
    assert first.files[0].read_bytes() != other.files[0].read_bytes()
    assert first.labelled_nuclei * 2 == pytest.approx(first.nuclei, abs=1)
    with pytest.raises(ValueError, match="too small"):
        phantom_slide.write(tmp_path / "d", labelled_share=0.5, size=8, tile=8)
