"""Text in pictures is found and goes, whatever its size, place, direction and pixels."""

import sys

import numpy as np
import pytest

from deid.pixels import ocr
from deid.pixels.boxes import Box
from dicom.errors import DeidFault

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
        ("aX", 0.3, (0, 0, 36, 13), True),
        ("aX", 0.3, (0, 0, 26, 13), False),
        ("aX", 0.3, (0, 0, 260, 80), False),
        ("", 0.0, (0, 0, 90, 20), False),
        ("V", 0.95, (0, 0, 130, 150), False),
        ("60", 0.7, (0, 0, 130, 150), False),
        ("DOE", 0.95, (0, 0, 300, 150), True),
        ("7", 0.95, (0, 0, 20, 24), True),
        ("7", 0.95, (0, 0, 50, 60), False),
    ],
)
def test_only_the_mark_of_a_side_may_stay(text, score, box, goes):
    """All text goes but a side's letter and anatomy read as one; lines go when hardly read, too."""
    assert ocr.counts(text, score, Box(*box), 240) is goes


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            ModuleNotFoundError("No module", name="rapidocr_onnxruntime"),
            "pip install 'penumbra-node[ocr]'",
        ),
        (
            ImportError("libGL.so.1: cannot open shared object file", name="cv2"),
            "OCR needs libGL.so.1: apt-get install libgl1 libglib2.0-0",
        ),
        (
            ImportError("libgthread-2.0.so.0: cannot open shared object file"),
            "OCR needs libgthread-2.0.so.0: apt-get install",
        ),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), "cv2 is missing"),
    ],
)
def test_what_is_missing_is_told(monkeypatch, make, run, fault, words):
    """Without OCR, or a library under it, an object is held with words that say what to install."""

    module = ocr._PACKAGE if fault.name == ocr._PACKAGE else "cv2"

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == module:
                raise fault

    for name in [n for n in sys.modules if n.partition(".")[0] in {module, ocr._PACKAGE}]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    monkeypatch.setattr(ocr, "_engine", ocr._engine.__wrapped__)
    assert words in ocr.missing()
    body = make.phantom(64, 64)[np.newaxis]
    with pytest.raises(DeidFault) as told:
        run(make.build(body), reader=ocr.read)
    assert words in str(told.value)


def test_nothing_is_missing_where_all_is_installed(needs_ocr):
    """The check of what is missing has nothing to say where text can be read."""
    assert not ocr.missing()


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
def test_small_text_goes(make, run):
    """Text of eleven pixels is found."""
    body = make.phantom(ROWS, COLUMNS)
    strokes = make.written(ROWS, COLUMNS, size=11)
    body[strokes] = 230
    cleaned = check(make, run, body[np.newaxis], make.Recipe(), strokes)
    assert cleaned.boxes_per_frame[0] >= 1


@READ
@pytest.mark.parametrize(("quarters", "at"), [(1, (30, 20)), (2, (20, 200))])
def test_turned_text_goes(make, run, quarters, at):
    """Text that runs up, down or stands on its head is found."""
    body = make.phantom(ROWS, COLUMNS)
    strokes = make.written(ROWS, COLUMNS, size=18, at=at, quarters=quarters)
    body[strokes] = 230
    check(make, run, body[np.newaxis], make.Recipe(), strokes)


@READ
def test_pale_text_goes(make, run):
    """Text that is hardly brighter than what it stands on is found, where a window shows little."""
    body = make.phantom(ROWS, COLUMNS)
    strokes = make.written(ROWS, COLUMNS, size=16, at=(60, 110))
    body[strokes] += 30
    check(make, run, body[np.newaxis], make.Recipe(), strokes)


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
