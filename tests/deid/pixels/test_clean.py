"""Boxes are blanked in every frame and nothing else changes; what cannot be cleaned is refused."""

import io

import numpy as np
import pydicom
import pytest

from deid.pixels.boxes import Box
from deid.pixels.rules import read_rules
from dicom.errors import NotClean

ROWS, COLUMNS = 120, 160
AREA = Box(20, 10, 110, 31)
"""Where white is written in these tests."""


def colour(frames):
    """Three unlike samples of grey frames; white stays white."""
    dim = np.stack([frames, frames * 2 // 3, frames // 2], axis=-1)
    dim[frames == 255] = 255
    return dim


def changed_area(before, after):
    """The box around everything that changed, over all frames."""
    differs = (before != after).reshape(*before.shape[:3], -1).any(axis=(0, 3))
    rows, columns = np.nonzero(differs)
    return Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)


def holds(outer, inner):
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2]


@pytest.mark.parametrize(
    ("kind", "dark"),
    [
        (("MONOCHROME2", 8, False), "min"),
        (("MONOCHROME1", 8, False), "max"),
        (("MONOCHROME2", 12, False), "min"),
        (("MONOCHROME2", 16, False), "min"),
        (("MONOCHROME2", 12, True), "min"),
        (("MONOCHROME1", 16, True), "max"),
    ],
)
def test_grey_frames_are_blanked_with_their_darkest(run, make, grey, kind, dark):
    """In a grey frame a box gets the darkest value that it holds, and nothing else changes."""
    photometric, bits, signed = kind
    low = -(1 << (bits - 1)) if signed else 0
    frames = grey(bits=bits, low=low)
    if photometric == "MONOCHROME1":
        frames = (1 << bits) - 1 + 2 * low - frames
    recipe = make.Recipe(photometric=photometric, bits=bits, signed=signed)
    part10 = make.build(frames, recipe)
    cleaned = run(part10)
    after = make.decoded(make.put_back(part10, cleaned))
    area = changed_area(frames, after)
    box = after[0, area.y0 : area.y1, area.x0 : area.x1]
    assert (box == getattr(frames[0], dark)()).all()
    assert cleaned.boxes_per_frame == (1,)
    assert cleaned.attributes[0x0028_0301] == ("CS", b"NO")


@pytest.mark.parametrize(
    ("photometric", "planar"),
    [("RGB", 0), ("RGB", 1), ("YBR_FULL", 0), ("YBR_FULL", 1), ("YBR_FULL_422", 0)],
)
def test_colour_frames_are_blanked_in_their_own_space(run, make, grey, photometric, planar):
    """In a colour frame a box is black in the space that is stored, in either layout of samples."""
    is_rgb = photometric == "RGB"
    white, black = ((255,) * 3, (0,) * 3) if is_rgb else ((255, 128, 128), (0, 128, 128))
    frames = colour(grey())
    if photometric == "YBR_FULL_422":
        frames[..., 1:] = frames[:, :, ::2, 1:].repeat(2, axis=2)
    strokes = grey()[0] == 255
    frames[0][strokes] = white
    if photometric == "YBR_FULL_422":
        frames[..., 1:] = 128
    part10 = make.build(frames, make.Recipe(photometric=photometric, planar=planar))
    cleaned = run(part10)
    after = make.decoded(make.put_back(part10, cleaned))
    area = changed_area(frames, after)
    assert (after[0][strokes] == black).all()
    assert (after[0, area.y0 : area.y1, area.x0 : area.x1] == black).all()
    assert holds((0, 0, 130, 40), area)


def test_a_palette_is_blanked_with_its_darkest_entry(run, make, grey):
    """Of a palette the entry that shows darkest is taken, wherever it stands."""
    order = np.roll(np.arange(256), 77)
    part10 = make.build(
        order[grey()],
        make.Recipe(photometric="PALETTE COLOR"),
        **{
            f"{name}PaletteColorLookupTable{part}": value
            for name in ("Red", "Green", "Blue")
            for part, value in (
                ("Descriptor", [256, 0, 16]),
                ("Data", (np.argsort(order) * 257).astype("<u2").tobytes()),
            )
        },
    )
    strokes = grey()[0] == 255
    after = make.decoded(make.put_back(part10, run(part10)))
    assert (after[0][strokes] == order[0]).all()


def test_bits_beside_the_value_stay_outside_of_boxes(run, make, grey):
    """Bits above the value, such as an overlay's, change in boxes alone."""
    frames = grey(bits=12) | 0x8000
    dataset = make.describe(frames.astype("u2"), make.Recipe(bits=12))
    dataset.PixelData = frames.astype("<u2").tobytes()
    part10 = make.save(dataset, make.Recipe().syntax)
    cleaned = run(part10)
    after = np.frombuffer(b"".join(cleaned.chunks), "<u2").reshape(frames.shape)
    area = changed_area(frames, after)
    box = after[0, area.y0 : area.y1, area.x0 : area.x1]
    assert len(np.unique(box)) == 1
    assert box.max() < 0x1000
    outside = np.ones(frames.shape, bool)
    outside[0, area.y0 : area.y1, area.x0 : area.x1] = False
    assert (after[outside] == frames[outside]).all()


def test_single_bits_are_blanked(run, make):
    """A page of single bits, as a fax is, is cleaned as any other picture."""
    frames = make.written(ROWS, COLUMNS, "DOE^JANE", 18, (20, 8))[np.newaxis].astype("u1")
    dataset = make.describe(frames, make.Recipe(bits=1))
    dataset.BitsAllocated = 1
    dataset.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()
    part10 = make.save(dataset, make.Recipe().syntax)
    assert not make.decoded(make.put_back(part10, run(part10))).any()


def test_what_one_frame_shows_is_blanked_in_all(run, make, grey):
    """Text read in one frame is blanked in each: what stands still is not always read."""
    frames = grey(count=3, marked=(1,))
    part10 = make.build(frames)
    cleaned = run(part10)
    after = make.decoded(make.put_back(part10, cleaned))
    area = changed_area(frames, after)
    for before, now in zip(frames, after, strict=True):
        box = now[area.y0 : area.y1, area.x0 : area.x1]
        assert (box == before.min()).all()
    assert cleaned.boxes_per_frame == (1, 1, 1)


def test_where_nothing_is_found_nothing_changes(run, make, grey):
    """A clean object's pixel data is the input's own bytes, and the object says so."""
    part10 = make.build(grey(count=2, marked=()))
    cleaned = run(part10)
    (value,) = cleaned.chunks
    assert isinstance(value, memoryview)
    assert bytes(value) == pydicom.dcmread(io.BytesIO(part10)).PixelData
    assert cleaned.boxes_per_frame == (0, 0)
    assert cleaned.attributes == {0x0028_0301: ("CS", b"NO")}
    assert any("no text found" in remark for remark in cleaned.remarks)


def test_untouched_rows_stay_slices_of_the_input(run, make):
    """Of a large frame only the rows around a box are new bytes."""
    frames = np.zeros((1, 1024, 1024), np.int64)
    frames[0, 500:510, 100:200] = 255
    cleaned = run(make.build(frames))
    new = sum(len(chunk) for chunk in cleaned.chunks if isinstance(chunk, bytes))
    assert new < 24 * 1024
    assert sum(map(len, cleaned.chunks)) == 1024 * 1024


def test_bytes_behind_the_last_frame_are_cleared(run, make, grey):
    """What follows the last frame is shown by nobody and may hold anything: it becomes zeros."""
    frames = grey(marked=())
    dataset = make.describe(frames.astype("u1"), make.Recipe())
    dataset.PixelData = frames.astype("u1").tobytes() + b"DOE^JANE"
    dataset["PixelData"].VR = "OB"
    value = b"".join(run(make.save(dataset, make.Recipe().syntax)).chunks)
    assert value == frames.astype("u1").tobytes() + bytes(8)


def test_each_picture_is_read_once(run, make, grey):
    """Frames that are alike share one reading."""
    seen = []

    def counting(shown, image, photometric):
        seen.append(shown.copy())
        return ()

    frames = grey(count=2, marked=())
    run(make.build(np.concatenate([frames, frames, frames])), reader=counting)
    assert len(seen) == 2


def test_text_that_never_ends_is_refused(run, make, grey):
    """If every reading finds more, the object is not clean, and the words say no text."""

    def insatiable(shown, image, photometric):
        x = int(np.argmax(shown[60] != shown.min()))
        return (Box(x, 60, x + 1, 61),)

    with pytest.raises(NotClean, match="still found"):
        run(make.build(grey()), reader=insatiable)


def test_a_yes_without_any_text_is_refused(run, make, grey):
    """An object that says that text is burned in, where none is found, is not proven clean."""
    part10 = make.build(grey(marked=()), BurnedInAnnotation="YES")
    with pytest.raises(NotClean, match="BurnedInAnnotation is YES"):
        run(part10)
    assert run(make.build(grey(), BurnedInAnnotation="YES")).boxes_per_frame == (1,)


def test_what_passes_is_not_even_decoded(run, make, grey):
    """An original and primary slice is passed on unread; its account says why."""

    def nobody(shown, image, photometric):
        raise AssertionError

    frames = grey(bits=16)
    recipe = make.Recipe(bits=16, sop_class=make.CT)
    slice_of = {"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}
    cleaned = run(make.build(frames, recipe, **slice_of), reader=nobody)
    assert b"".join(cleaned.chunks) == frames.astype("<u2").tobytes()
    assert "not read" in cleaned.remarks[0]


def test_an_object_without_pixels_has_nothing_to_clean(run, make, grey):
    """A report, or float pixel data, is none of this package's concern."""
    dataset = make.describe(grey().astype("u1"), make.Recipe())
    assert run(make.save(dataset, make.Recipe().syntax)).chunks == ()


def test_a_device_rule_blanks_its_boxes(run, make, grey, tmp_path):
    """A site's boxes are blanked whether or not anything is read there, and the account says so."""
    file = tmp_path / "devices.toml"
    file.write_text(
        '[[device]]\nname = "banner"\nwhen = { Modality = "OT", Rows = 120, Columns = 160 }\n'
        'blank = [[0, 0, 160, 10]]\nreason = "seen on site"\n'
    )
    frames = grey(marked=())
    frames[0, 4, 4:90] = 200
    part10 = make.build(frames)
    cleaned = run(part10, read_rules([file]))
    after = make.decoded(make.put_back(part10, cleaned))
    assert (after[0, :10] == frames.min()).all()
    assert (after[0, 10:] == frames[0, 10:]).all()
    assert any("'banner'" in remark and "seen on site" in remark for remark in cleaned.remarks)


def test_outside_of_ultrasound_regions_everything_is_blanked(run, make):
    """What an ultrasound device draws around its image goes, to the last pixel outside of it."""
    frames = np.full((2, ROWS, COLUMNS), 90)
    frames[:, 0, 0] = 0
    region = pydicom.Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 20, 30
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 139, 99
    part10 = make.build(
        frames,
        make.Recipe(sop_class=make.US),
        Modality="US",
        SequenceOfUltrasoundRegions=[region],
    )
    cleaned = run(part10)
    after = make.decoded(make.put_back(part10, cleaned))
    assert (after[:, 30:100, 20:140] == 90).all()
    assert after.sum() == 2 * 70 * 120 * 90


def test_text_on_the_edge_of_a_region_goes_whole(run, make):
    """Frames are read before anything is blanked: a border does not leave half of a text."""
    frames = np.full((1, ROWS, COLUMNS), 90)
    frames[0, 0, 0] = 0
    frames[0, 26:34, 30:90] = 255
    region = pydicom.Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 20, 30
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 139, 99
    seen = []

    def watching(shown, image, photometric):
        seen.append(int((shown == 255).sum()))
        return make.bright(shown, image, photometric)

    recipe = make.Recipe(sop_class=make.US)
    part10 = make.build(frames, recipe, Modality="US", SequenceOfUltrasoundRegions=[region])
    cleaned = run(part10, reader=watching)
    assert seen == [8 * 60, 0]
    after = make.decoded(make.put_back(part10, cleaned))
    assert not after[0, :34, 30:90].any()
    assert (after[0, 34:100, 20:140] == 90).all()


def test_a_dose_screen_is_held(run, make, grey):
    """Pages of dose are text about a patient, and are not cleaned but held."""
    with pytest.raises(NotClean, match="dose screens"):
        run(make.build(grey(), SeriesDescription="Dose Report"))
