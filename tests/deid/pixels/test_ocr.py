"""Text in pictures is found and goes, whatever its size, place, direction and pixels."""

from pathlib import Path

import numpy as np
import pytest

from deid.pixels import ocr
from deid.pixels.boxes import Box

ROWS, COLUMNS = 256, 320
READ = pytest.mark.usefixtures("needs_ocr")


@pytest.mark.parametrize(
    ("text", "score", "box", "goes"),
    [
        ("DOE JANE", 0.9, (0, 0, 90, 20), True),
        ("R", 0.9, (0, 0, 20, 20), False),
        ("l", 0.9, (0, 0, 10, 20), False),
        ("RL", 0.9, (0, 0, 30, 20), True),
        ("7", 0.9, (0, 0, 10, 20), True),
        ("R", 0.9, (0, 0, 90, 20), True),
        ("...", 0.9, (0, 0, 90, 20), False),
        ("DOE JANE", 0.2, (0, 0, 90, 20), False),
        ("", 0.0, (0, 0, 90, 20), False),
        ("V", 0.95, (0, 0, 130, 150), False),
        ("60", 0.7, (0, 0, 130, 150), False),
        ("DOE", 0.95, (0, 0, 300, 150), True),
        ("7", 0.95, (0, 0, 50, 60), True),
    ],
)
def test_only_the_mark_of_a_side_may_stay(text, score, box, goes):
    """All text goes but one letter for a side; a long box that was read as one goes as well."""
    assert ocr.counts(text, score, Box(*box), 240) is goes


def test_absence_of_the_package_is_told(monkeypatch):
    """Who asks for OCR without it is told what to install."""
    monkeypatch.setattr(ocr.importlib.util, "find_spec", lambda name: None)
    assert "pip install penumbra-node[ocr]" in ocr.missing()


def check(make, run, frames, recipe, strokes):
    """Clean with OCR; no stroke is left, and nothing changed far away from the text."""
    reach = 24
    part10 = make.build(frames, recipe)
    cleaned = run(part10, reader=ocr.read)
    after = make.decoded(make.put_back(part10, cleaned))
    differs = (frames != after).reshape(*frames.shape[:3], -1).any(axis=(0, 3))
    rows, columns = np.nonzero(strokes)
    allowed = np.zeros_like(strokes)
    allowed[
        max(rows.min() - reach, 0) : rows.max() + reach,
        max(columns.min() - reach, 0) : columns.max() + reach,
    ] = True
    assert not differs[~allowed].any()
    for before, now in zip(frames, after, strict=True):
        left = (now[strokes] == before[strokes]).reshape(strokes.sum(), -1).all(axis=1)
        assert left.mean() < 0.02
    return cleaned


@READ
@pytest.mark.parametrize("size", [11, 28])
def test_small_and_large_text_goes(make, run, size):
    """Text of eleven pixels and more is found."""
    body = make.phantom(ROWS, COLUMNS)
    strokes = make.written(ROWS, COLUMNS, size=size)
    body[strokes] = 230
    cleaned = check(make, run, body[np.newaxis], make.Recipe(), strokes)
    assert cleaned.boxes_per_frame[0] >= 1


@READ
@pytest.mark.parametrize(("quarters", "at"), [(1, (30, 20)), (2, (20, 200)), (3, (40, 280))])
def test_turned_text_goes(make, run, quarters, at):
    """Text that runs up, down or stands on its head is found."""
    body = make.phantom(ROWS, COLUMNS)
    strokes = make.written(ROWS, COLUMNS, size=18, at=at, quarters=quarters)
    body[strokes] = 230
    check(make, run, body[np.newaxis], make.Recipe(), strokes)


@READ
@pytest.mark.parametrize(
    ("kind", "ink"),
    [
        (("MONOCHROME2", 12, True), 2047),
        (("MONOCHROME1", 8, False), 0),
        (("MONOCHROME2", 16, False), 40000),
    ],
)
def test_text_in_any_grey_goes(make, run, kind, ink):
    """Bright or dark ink, signed or not, eight bits or more: text is found."""
    photometric, bits, signed = kind
    scale = (1 << bits) - 1
    low = -(1 << (bits - 1)) if signed else 0
    body = make.phantom(ROWS, COLUMNS, scale * 0.4) + low
    if photometric == "MONOCHROME1":
        body = scale - body
    strokes = make.written(ROWS, COLUMNS, size=20, at=(40, 100))
    body[strokes] = ink
    recipe = make.Recipe(photometric=photometric, bits=bits, signed=signed)
    check(make, run, body[np.newaxis], recipe, strokes)


@READ
@pytest.mark.parametrize(
    ("photometric", "planar", "ink"),
    [
        ("RGB", 1, (80, 250, 80)),
        ("YBR_FULL", 0, (200, 100, 150)),
    ],
)
def test_text_in_colour_goes(make, run, photometric, planar, ink):
    """Coloured text is found in the space in which it is stored."""
    body = np.repeat(make.phantom(ROWS, COLUMNS)[..., np.newaxis], 3, axis=2)
    if photometric.startswith("YBR"):
        body[..., 1:] = 128
    strokes = make.written(ROWS, COLUMNS, size=20)
    body[strokes] = ink
    recipe = make.Recipe(photometric=photometric, planar=planar)
    check(make, run, body[np.newaxis], recipe, strokes)


@READ
def test_pale_text_goes(make, run):
    """Text that is hardly brighter than what it stands on is found, where a window shows little."""
    body = make.phantom(ROWS, COLUMNS)
    strokes = make.written(ROWS, COLUMNS, size=16, at=(60, 110))
    body[strokes] += 30
    check(make, run, body[np.newaxis], make.Recipe(), strokes)


@READ
def test_a_screen_of_a_real_device_is_cleaned(make, run):
    """Of a real ultrasound screen with a palette every line goes, and its image stays."""
    from pydicom.data import get_testdata_file

    file = get_testdata_file("OBXXXX1A.dcm", download=False)
    if file is None:
        pytest.skip("pydicom-data is not installed: pip install penumbra-node[test]")
    part10 = Path(file).read_bytes()
    cleaned = run(part10, reader=ocr.read)
    before, after = make.original(part10), make.decoded(make.put_back(part10, cleaned))
    assert cleaned.boxes_per_frame[0] > 5
    sector = np.s_[:, 110:150, 360:560]
    assert (before[sector] == after[sector]).all()
    banner = after[:, :40]
    assert len(np.unique(banner)) == 1


def test_a_large_picture_is_also_read_in_tiles(monkeypatch):
    """Small text in a large picture is found where it is, also where two tiles meet."""
    asked = []

    def engine(picture):
        asked.append(picture.shape)
        rows, columns = np.nonzero(picture == 255)
        if not rows.size or max(picture.shape) > ocr.TILE_PIXELS:
            return None, None
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max(), rows.max()
        return [[[(x0, y0), (x1, y0), (x1, y1), (x0, y1)], "DOE JANE", 0.9]], None

    monkeypatch.setattr(ocr, "_engine", lambda: engine)
    picture = np.zeros((1700, 3000), np.uint8)
    picture[1500:1510, 1480:1560] = 255
    found = [(box.x0 <= 1480 and box.x1 >= 1560) for box in ocr._closer(picture)]
    assert any(found)
    assert all(max(shape) <= ocr.TILE_PIXELS for shape in asked)
    assert not list(ocr._closer(picture[:1000, :1000]))


@READ
def test_a_phantom_without_text_stays_as_it_is(make, run):
    """Where there is no text, none is found."""
    body = make.phantom(ROWS, COLUMNS)[np.newaxis]
    cleaned = run(make.build(body), reader=ocr.read)
    assert cleaned.boxes_per_frame == (0,)


@READ
def test_several_lines_go_and_are_not_found_again(make, run):
    """A banner of several lines is found line by line, and a second run finds nothing."""
    body = make.phantom(ROWS, COLUMNS)
    strokes = np.zeros((ROWS, COLUMNS), bool)
    for number, line in enumerate(("DOE^JANE", "ID 4711-0815", "ST. ELSEWHERE", "03.02.1961")):
        strokes |= make.written(ROWS, COLUMNS, line, 16, (12, 10 + 26 * number))
    body[strokes] = 240
    part10 = make.build(body[np.newaxis])
    dataset = make.put_back(part10, run(part10, reader=ocr.read))
    again = run(make.save(dataset, make.Recipe().syntax), reader=ocr.read)
    assert again.boxes_per_frame == (0,)


@READ
@pytest.mark.p6
def test_nothing_that_was_read_is_told(make, run):
    """Neither account nor fault holds a word of what was read."""
    body = make.phantom(ROWS, COLUMNS)
    body[make.written(ROWS, COLUMNS)] = 230
    cleaned = run(make.build(body[np.newaxis]), reader=ocr.read)
    assert cleaned.remarks
    assert not any(word in str(cleaned.remarks).upper() for word in ("DOE", "JANE", "1961"))
