"""A presentation state draws findings over the originals, and shows them as they were."""

import io

import numpy as np
import pytest
from pydicom import dcmread

from ai.result import ResultKind
from examples.results import originals

GSPS = ResultKind.GSPS


def _graphics(ds):
    return [
        (item.ReferencedImageSequence[0].ReferencedSOPInstanceUID, graphic)
        for item in ds.GraphicAnnotationSequence
        for graphic in item.get("GraphicObjectSequence", ())
    ]


def test_boxes_and_points_are_where_they_were_found(one):
    """Coordinates count from the outer edge of the first pixel: column, then row."""
    source = originals.source("CT", originals.NAMES[0])
    ds = one("CT", "marks", GSPS)
    middle = source.references[5].sop_instance_uid
    drawn = {
        (uid, graphic.GraphicType): np.array(graphic.GraphicData).reshape(-1, 2).tolist()
        for uid, graphic in _graphics(ds)
        if uid == middle and (len(graphic.GraphicData) > 2 or graphic.GraphicData[0] == 33.5)
    }
    assert drawn[middle, "POINT"] == [[33.5, 20.5]]
    corners = [[12, 10.25], [40.75, 10.25], [40.75, 30.5], [12, 30.5], [12, 10.25]]
    assert drawn[middle, "POLYLINE"] == corners
    said = [
        text.UnformattedTextValue
        for item in ds.GraphicAnnotationSequence
        for text in item.get("TextObjectSequence", ())
    ]
    assert "Nodule 0.83" in said


def test_masks_are_outlined_on_their_images(one):
    """Each image with a label has closed lines, and no other image has any."""
    source = originals.source("CT", originals.NAMES[0])
    found = _graphics(one("CT", "masks", GSPS))
    shown = {uid for uid, _ in found}
    assert shown == {reference.sop_instance_uid for reference in source.references[2:8]}
    for _, graphic in found:
        assert graphic.GraphicData[:2] == graphic.GraphicData[-2:]
        assert graphic.NumberOfGraphicPoints == len(graphic.GraphicData) // 2


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("CT", {"RescaleIntercept": -1024, "PresentationLUTShape": "IDENTITY"}),
        ("DX", {"PresentationLUTShape": "INVERSE"}),
        ("MR", {"PresentationLUTShape": "IDENTITY"}),
    ],
)
def test_values_are_shown_as_the_original_says(one, kind, expected):
    """Rescale, window and inversion are stated: a viewer asks the original no more."""
    ds = one(kind, "measurements", GSPS)
    assert {keyword: ds[keyword].value for keyword in expected} == expected
    assert ("RescaleSlope" in ds) is (kind == "CT")
    voi = ds.SoftcopyVOILUTSequence[0]
    assert (voi.WindowCenter, voi.WindowWidth) == ((300, 800) if kind == "MR" else (40, 400))


def test_each_image_keeps_its_own_window(sided):
    """The second breast is not shown in the window of the first."""
    grey = {"PhotometricInterpretation": "MONOCHROME2"}
    made = sided("masks", **grey, WindowCenter="900", WindowWidth="700")
    (state,) = [dcmread(io.BytesIO(one.part10)) for one in made if one.kind is GSPS]
    windows = {
        voi.ReferencedImageSequence[0].ReferencedSOPInstanceUID: voi.WindowCenter
        for voi in state.SoftcopyVOILUTSequence
    }
    references = originals.source("MG", originals.NAMES[0]).references
    assert [windows[one.sop_instance_uid] for one in references] == [40, 900]
    (alike,) = [one for one in sided("masks", **grey) if one.kind is GSPS]
    (voi,) = dcmread(io.BytesIO(alike.part10)).SoftcopyVOILUTSequence
    assert "ReferencedImageSequence" not in voi


@pytest.mark.parametrize(
    "change",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PhotometricInterpretation": "MONOCHROME2", "RescaleSlope": "2", "RescaleIntercept": "0"},
    ],
)
def test_images_that_no_one_state_shows_rightly_have_none(sided, change):
    """A state holds one rescale and one inversion: it would show the second image wrongly."""
    assert not [one for one in sided("masks", **change) if one.kind is GSPS]


def test_images_of_two_sizes_have_an_area_each(one):
    """The displayed area of each image is that image."""
    areas = one("DX", "marks", GSPS).DisplayedAreaSelectionSequence
    ends = [list(area.DisplayedAreaBottomRightHandCorner) for area in areas]
    assert sorted(ends) == [[61, 65], [61, 73]]
    assert all(len(area.ReferencedImageSequence) == 1 for area in areas)


def test_numbers_stand_in_a_corner_of_all_images(one):
    """What has no place is written on every image, with a word of caution."""
    ds = one("CT", "measurements", GSPS)
    (item,) = ds.GraphicAnnotationSequence
    assert "ReferencedImageSequence" not in item
    words = item.TextObjectSequence[0].UnformattedTextValue
    assert "Volume of both lungs: 4321.5 mL" in words
    assert "not verified by a person" in words
    assert len(ds.ReferencedSeriesSequence[0].ReferencedImageSequence) == 10
