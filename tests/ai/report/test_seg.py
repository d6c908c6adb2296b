"""A Segmentation holds the pixels of its masks, where the originals lie."""

import io

import highdicom
import numpy as np
import pytest
from pydicom import dcmread

from ai.result import ResultKind
from examples.results import originals
from examples.results.findings import FINDINGS


def _truth(kind):
    (mask,) = FINDINGS["masks"](originals.source(kind, originals.NAMES[0]))
    return mask


def _read(results, kind):
    made = [one for one in results(kind, "masks") if one.kind is ResultKind.SEG]
    return [highdicom.seg.segread(io.BytesIO(one.part10)) for one in made]


def test_a_stack_reads_back_as_it_was(results):
    """highdicom gives each original's labels back; frames without a label are not there."""
    mask = _truth("CT")
    (seg,) = _read(results, "CT")
    uids = [one.sop_instance_uid for one in originals.source("CT", originals.NAMES[0]).references]
    held = [image for image, labels in enumerate(mask.labels) if labels.any()]
    assert seg.NumberOfFrames == sum(len(set(mask.labels[i].flat) - {0}) for i in held)
    there = seg.get_pixels_by_source_instance([uids[i] for i in held], combine_segments=True)
    np.testing.assert_array_equal(there, np.stack([mask.labels[i] for i in held]))


@pytest.mark.parametrize("kind", ["CT", "MR", "PT"])
def test_a_stack_lies_where_its_originals_do(results, kind):
    """Frame of reference, orientation, spacing and every position are the originals' own."""
    source = originals.source(kind, originals.NAMES[0])
    (seg,) = _read(results, kind)
    assert seg.FrameOfReferenceUID == source.frame_of_reference_uid
    volume = seg.get_volume(combine_segments=True)
    first = next(i for i, labels in enumerate(_truth(kind).labels) if labels.any())
    np.testing.assert_allclose(volume.spacing, (2.5, 0.703125, 0.703125), atol=1e-6)
    last = volume.map_indices_to_reference(np.array([[volume.shape[0] - 1, 0, 0]]))[0]
    ends = sorted([tuple(volume.position), tuple(last)])
    expected = sorted(source.planes[image].position for image in (first, 9 - first))
    np.testing.assert_allclose(ends, expected, atol=1e-4)


def test_images_without_a_place_have_one_each(results):
    """A radiograph's Segmentation is about that image alone, of its size, without a place."""
    mask, source = _truth("DX"), originals.source("DX", originals.NAMES[0])
    segs = _read(results, "DX")
    assert len(segs) == len(source.references)
    for seg, labels, reference in zip(segs, mask.labels, source.references, strict=True):
        assert "FrameOfReferenceUID" not in seg
        uid = reference.sop_instance_uid
        there = seg.get_pixels_by_source_instance([uid], combine_segments=True)
        np.testing.assert_array_equal(there[0], labels)  # its pixels do not fill whole bytes
        assert labels.size % 8


def test_the_second_breast_keeps_its_own_side(sided):
    """Which way rows and columns lead is said of each image by itself, not by the first of all."""
    made = [dcmread(io.BytesIO(one.part10)) for one in sided("masks") if one.kind is ResultKind.SEG]
    assert [list(one.PatientOrientation) for one in made] == [["A", "R"], ["P", "L"]]


def test_segments_are_described(results):
    """Codes, the algorithm, a colour and what follows a segment from report to image are stated."""
    made = results("CT", "masks")
    seg = dcmread(io.BytesIO(made[1].part10))
    lung, nodule = seg.SegmentSequence
    assert lung.SegmentedPropertyTypeCodeSequence[0].CodeValue == "39607008"
    assert lung.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    assert nodule.SegmentLabel == "Nodule"
    identified = lung.SegmentationAlgorithmIdentificationSequence[0]
    assert (identified.AlgorithmName, identified.AlgorithmVersion) == ("Penumbra example", "1.0.0")
    for segment in (lung, nodule):
        assert segment.TrackingUID.encode() in made[0].dataset
    assert lung.RecommendedDisplayCIELabValue != nodule.RecommendedDisplayCIELabValue
