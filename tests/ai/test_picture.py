"""Findings are drawn where they are, in colours of their own, with words below the image."""

import io

import numpy as np
import pytest
from PIL import Image

from ai import picture
from ai.contract import Class, Code
from ai.finding import Box, Heatmap, Mask, Measurement, Point, Verdict
from ai.telling import most_telling

LUNG = Code("39607008", "SCT", "Lung")
NODULE = Code("27925004", "SCT", "Nodule")
SIZE = 512


def grey(rows=SIZE, columns=SIZE, value=100):
    return np.full((rows, columns), value, dtype=np.float32)


def labels():
    made = np.zeros((SIZE, SIZE), dtype=np.uint8)
    made[100:200, 300:400] = 1
    return made


def box(image=0, score=0.9):
    return Box("b", NODULE, score, image, 100, 300, 200, 400, None)


def point(image=0):
    return Point("p", NODULE, 0.8, image, 150.5, 250.5, None)


def draw(*findings):
    """Draw findings into an even grey."""
    return picture.draw(grey(), findings, 0, (0.0, 200.0))


def changed(drawn):
    """Where a picture differs from the same one without findings."""
    return (drawn[:SIZE] != draw()).any(axis=2)


def test_without_findings_it_is_the_image():
    """Nothing is added to an image about which nothing was found."""
    drawn = picture.draw(np.arange(SIZE * SIZE).reshape(SIZE, SIZE), [], 0)
    assert drawn.shape == (SIZE, SIZE, 3)
    assert (drawn[0, 0] == 0).all()
    assert (drawn[-1, -1] == 255).all()


def test_a_window_says_what_is_black_and_white():
    """Values outside the window are cut, also infinite ones and none at all."""
    image = grey()
    image[0, :4] = (-200, 0, 400, np.nan)
    drawn = picture.draw(image, [], 0, (0.0, 200.0))
    assert drawn[0, :4, 0].tolist() == [0, 0, 255, 0]
    assert drawn[5, 5, 0] == 128


@pytest.mark.parametrize("finding", [Mask("m", (Class(LUNG),), [labels()], None), box()])
def test_outlines_are_thin_and_follow_the_edge(finding):
    """A segment or a box is a line at its border; its inside stays as it is."""
    drawn = draw(finding)
    where = np.argwhere(changed(drawn))
    assert where.min(axis=0).tolist() == [99, 299]
    assert where.max(axis=0).tolist() == [200, 400]
    inside = draw()[105:195, 305:395]
    assert (drawn[105:195, 305:395] == inside).all()
    assert tuple(drawn[100, 350]) == picture.COLOURS[0]


def test_a_point_leaves_its_place_free():
    """A ring lies around the place, and the place itself can be seen."""
    where = changed(draw(point()))
    assert not where[150, 250]
    assert where[130:171, 230:271].sum() == where.sum() > 20
    rows, columns = np.nonzero(where)
    assert (rows.mean(), columns.mean()) == pytest.approx((150, 250), abs=0.6)


def test_only_findings_of_the_image_are_drawn():
    """What was found on another image does not show, and has no line in the legend."""
    findings = [box(image=1), point(image=2)]
    assert (draw(*findings) == draw()).all()
    mask = Mask("m", (Class(LUNG),), [np.zeros_like(labels()), labels()], None)
    assert (draw(mask) == draw()).all()


def test_names_keep_their_colours_over_a_series():
    """A name has one colour on all images, whichever of them it is found on."""
    mask = Mask("m", (Class(LUNG),), [np.zeros_like(labels()), labels()], None)
    drawn = draw(mask, box())
    assert tuple(drawn[100, 350]) == picture.COLOURS[1]
    assert len(set(picture.COLOURS)) == len(picture.COLOURS)


def test_a_heat_map_is_strongest_where_its_values_are():
    """Coarse values are blocks over the image; where they are lowest it stays as it is."""
    values = np.zeros((8, 8), dtype=np.float32)
    values[2, 2] = 5
    heat = Heatmap("h", NODULE, Code("%", "UCUM", "Percent"), [values])
    drawn = draw(heat)
    rows, columns = np.nonzero(changed(drawn))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (128, 191, 128, 191)
    assert drawn.shape[0] > SIZE


def test_a_small_image_is_enlarged_and_a_copy_keeps_its_places():
    """Lines stay thin on a small image; a smaller copy shows findings at the same place."""
    assert picture.draw(grey(64, 32), [], 0).shape == (512, 256, 3)
    drawn = picture.draw(grey(256, 256), [box()], 0, shape=(SIZE, SIZE))
    assert tuple(drawn[100, 350]) == picture.COLOURS[0]


def test_the_legend_holds_every_line_and_no_more_than_there_is_room():
    """Each line adds a row, long ones are broken, and a book is cut."""
    one, two = (picture.draw(grey(), [], 0, None, ["x"] * n).shape[0] for n in (1, 2))
    long = picture.draw(grey(), [], 0, None, ["word " * 40]).shape[0]
    book = picture.draw(grey(), [], 0, None, ["word"] * 1000).shape[0]
    assert SIZE < one < two < long < book < 2 * SIZE


def test_colours_are_shown_as_they_are():
    """An RGB image stays as it is, whatever the window."""
    colours = np.random.default_rng(1).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    assert (picture.draw(colours, [], 0, (0.0, 1.0)) == colours).all()
    assert Image.open(io.BytesIO(picture.png(colours))).size == (SIZE, SIZE)


def test_boxes_at_and_over_the_edge_are_drawn():
    """What lies at the very edge, or hangs over it, is drawn as far as there is an image."""
    for edges in ((0, 0, 512, 512), (-5, 500, 20, 600), (511, 511, 512, 512)):
        assert changed(draw(Box("b", NODULE, 1, 0, *edges, None))).any()
    for place in ((0, 0), (511.9, 511.9)):
        assert changed(draw(Point("p", NODULE, 1, 0, *place, None))).any()


@pytest.mark.parametrize(
    ("findings", "image"),
    [
        ([], 2),
        ([Measurement("n", LUNG, 1, NODULE, None, 0)], 2),
        ([Measurement("n", LUNG, 1, NODULE, None, 0, image=3)], 3),
        ([box(image=1, score=0.5), box(image=3, score=0.9)], 3),
        ([box(image=1, score=0.5), point(image=1), box(image=3, score=0.9)], 1),
        (
            [
                Mask(
                    "m", (Class(LUNG),), [np.full((2, 2), n == 4, np.uint8) for n in range(5)], None
                )
            ],
            4,
        ),
        ([Heatmap("h", LUNG, None, [np.full((2, 2), -n, np.float32) for n in range(5)])], 2),
        ([Heatmap("h", LUNG, None, [np.full((2, 2), n % 4, np.float32) for n in range(5)])], 3),
        ([Verdict("v", LUNG, 0.9, True, None, image=1)], 1),
        ([Verdict("v", LUNG, 0.4, False, None, image=1)], 2),
    ],
)
def test_the_most_telling_image_shows_most(findings, image):
    """Of five images that one is chosen on which most was found, else the middle one."""
    assert most_telling(findings, 5) == image
