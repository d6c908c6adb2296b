"""Key images are the ones that tell most, in colours, and small."""

import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from pydicom import dcmread

from ai.report.build import build
from ai.report.envelope import Envelope
from ai.report.sc import telling
from ai.report.survey import survey
from ai.result import ResultKind
from examples.results import originals, validators
from examples.results.__main__ import SETTLED
from examples.results.findings import subject

SC = ResultKind.SC


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("masks", [2]),  # all slices of a segment are alike: the first
        ("marks", [0, 5]),
        ("heat", [0, 9]),  # the hottest of one map, and of the other, which is negative
        ("verdicts", [5, 9]),
        ("measurements", [5]),
        ("text", [5]),
        ("none", []),
        ("nothing", []),
    ],
)
def test_the_most_telling_images_are_chosen(found, expected):
    """Largest mask, best mark, hottest place; one from the middle where nothing has a place."""
    about = subject(originals.source("CT", originals.NAMES[0]), found)
    assert telling(Envelope(about, SETTLED, ""), survey(about.findings)) == expected


def test_there_are_at_most_five():
    """Twenty boxes on twenty images are five key images: those of the best."""
    source = originals.source("CT", originals.NAMES[0], images=20)
    about = subject(source, "marks")
    boxes = [replace(about.findings[0], image=i, score=i / 20) for i in range(20)]
    envelope = Envelope(replace(about, findings=tuple(boxes)), SETTLED, "")
    assert telling(envelope, ()) == [15, 16, 17, 18, 19]


def test_a_finding_is_drawn_in_colour(one):
    """Away from the lines an image stays grey; a box shows in its colour at its place."""
    shown = one("CT", "marks", SC).pixel_array.astype(int)
    picture = shown[:512]
    coloured = np.ptp(picture, axis=2) > 40
    rows, columns = np.nonzero(coloured)
    assert coloured.any()
    assert rows.max() <= 5 * 8 + 4  # the box of the first image: 5 rows, 8 pixels of 1
    assert columns.max() <= 6 * 8 + 4


def test_inverted_images_are_shown_as_they_are_read():
    """The lowest value of a MONOCHROME1 image is white."""
    source = originals.source("DX", originals.NAMES[0])
    values = np.tile(np.linspace(-160, 240, 61), (65, 1))
    made = build(subject(source, "measurements"), [SC], now=SETTLED, images=lambda _: values)
    shown = dcmread(io.BytesIO(made[1].part10)).pixel_array
    assert shown[100, 5].tolist() == [255, 255, 255] or shown[100, 5].min() > 240
    assert shown[100, -6].max() < 15


def test_the_second_breast_keeps_its_own_side_and_greys(sided):
    """Orientation and MONOCHROME1 are those of the image that is drawn, not of the first one."""
    made = [dcmread(io.BytesIO(one.part10)) for one in sided("marks") if one.kind is SC]
    by_uid = {one.SourceImageSequence[0].ReferencedSOPInstanceUID: one for one in made}
    first, second = (
        by_uid[one.sop_instance_uid]
        for one in originals.source("MG", originals.NAMES[0]).references
    )
    assert (list(first.PatientOrientation), list(second.PatientOrientation)) == (
        ["A", "R"],
        ["P", "L"],
    )
    ends = [[int(one.pixel_array[300, at].max()) for at in (5, -6)] for one in (first, second)]
    assert ends == [[0, 255], [255, 0]]
    assert "BurnedInAnnotation" not in first


def test_pixels_that_are_not_square_say_so(tmp_path):
    """Height to width of a pixel, in whole numbers: a viewer shows nobody too broad."""
    source = originals.source("DX", originals.NAMES[0])
    planes = [replace(plane, spacing_mm=(0.3, 0.2)) for plane in source.planes]
    about = subject(replace(source, planes=tuple(planes)), "marks")
    made = build(about, [SC], now=SETTLED, images=partial(originals.pixels, source))
    path = tmp_path / "sc.dcm"
    path.write_bytes(made[1].part10)
    assert dcmread(path).PixelAspectRatio == [3, 2]
    assert validators.dciodvfy(path) == []
    square = build(subject(source, "marks"), [SC], now=SETTLED, images=lambda _: np.ones((9, 9)))
    assert "PixelAspectRatio" not in dcmread(io.BytesIO(square[1].part10))


def test_a_large_image_becomes_a_small_one():
    """A radiograph of 3000 pixels is drawn at 1024 at most: it is no image to read from."""
    source = originals.source("DX", originals.NAMES[0], size=3000)
    pixels = partial(originals.pixels, source)
    made = build(subject(source, "marks"), [SC], now=SETTLED, images=pixels)
    ds = dcmread(io.BytesIO(made[1].part10))
    assert ds.Columns <= 1024
    assert len(made[1].dataset) < 4_500_000


def test_without_pixels_there_are_no_key_images():
    """Where nobody gives the originals' values, only a whole-slide image's heat map is drawn."""
    for kind, count in (("CT", 0), ("SM", 2)):
        about = subject(originals.source(kind, originals.NAMES[0]), "together")
        made = build(about, [SC], now=SETTLED)
        assert sum(result.kind is SC for result in made) == count


@pytest.mark.parametrize("part", ["", "CHEST", "BREAST", "PHANTOM", "THORAX"])
def test_a_side_is_left_open_only_where_there_may_be_one(tmp_path, part):
    """dciodvfy finds no error, whatever the originals call the part or if they name none."""
    source = originals.source("CT", originals.NAMES[0])
    source.head.BodyPartExamined = part
    pixels = partial(originals.pixels, source)
    made = build(subject(source, "masks"), [SC], now=SETTLED, images=pixels)
    path = tmp_path / "sc.dcm"
    path.write_bytes(made[1].part10)
    assert validators.dciodvfy(path) == []
    assert ("Laterality" in dcmread(path)) == (part != "CHEST")
