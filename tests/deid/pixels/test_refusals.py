"""Pixels that cannot be looked into, or not written again, do not pass."""

import io

import pydicom
import pytest

from deid.apply import deidentify
from dicom.errors import DeidFault, NotClean


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"PhotometricInterpretation": "CMYK"}, (NotClean, "(0028,0004)")),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, (NotClean, "palette")),
        ({"Rows": 0}, (DeidFault, "no possible size")),
        ({"Rows": 4000}, (DeidFault, "shorter than its frames")),
        ({"Rows": None}, (DeidFault, "(0028,0010) is missing")),
        ({"NumberOfFrames": 2}, (DeidFault, "shorter than its frames")),
        ({"BitsStored": 9}, (DeidFault, "do not fit")),
        ({"BitsAllocated": 24}, (NotClean, "cells of this size")),
        ({"PlanarConfiguration": 2}, (NotClean, "(0028,0006)")),
        (
            {"BitsAllocated": 1, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
            (NotClean, "cells of this size"),
        ),
    ],
)
def test_pixels_that_cannot_be_shown_are_refused(run, make, grey, changes, fault):
    """What does not add up is neither read nor passed, and the words name the attribute."""
    kind, words = fault
    dataset = pydicom.dcmread(io.BytesIO(make.build(grey())))
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    with pytest.raises(kind) as caught:
        run(make.save(dataset, make.Recipe().syntax))
    assert words in str(caught.value)


@pytest.mark.parametrize("bits", [1, 32])
def test_cells_of_unknown_order_are_refused(run, make, grey, bits):
    """In big endian readers do not agree about such cells: what one sees, another does not."""
    dataset = make.describe(grey().astype("u4"), make.Recipe(bits=16))
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelData = bytes(grey().size * bits // 8)
    with pytest.raises(NotClean, match="cells of this size"):
        run(make.save(dataset, "1.2.840.10008.1.2.2"))


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.30", "1.2.840.10008.5.1.4.1.1.7"])
def test_pixels_of_floating_point_pass_by_their_class_alone(build, compiled, make, grey, sop_class):
    """Nobody here can read floats: computed values pass, and anything else is held."""
    dataset = make.describe(grey().astype("u1"), make.Recipe(sop_class=sop_class))
    dataset.BitsAllocated = 32
    del dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.FloatPixelData = grey().astype("<f4").tobytes()
    part10, profile = build(dataset), compiled("basic", "clean-pixel-data")
    if sop_class.endswith(".7"):
        with pytest.raises(NotClean, match="floating point"):
            deidentify(part10, profile)
        return
    done = deidentify(part10, profile)
    assert "clean-pixel-data" in done.options
    assert any("not read" in words for place, words in done.account if place == "(7FE0,0008)")
    after = pydicom.dcmread(io.BytesIO(b"".join(done.chunks)))
    assert after.FloatPixelData == dataset.FloatPixelData


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.102"])
def test_what_has_no_decoder_is_refused(run, make, grey, syntax):
    """Video and unknown codecs cannot be looked into, so they do not pass."""
    recipe = make.Recipe(syntax=syntax)
    with pytest.raises(NotClean, match="cannot be looked into"):
        run(make.build(grey(), recipe, [b"\0\0\0\1 whatever"]))


def test_pixel_data_in_the_wrong_form_is_refused(run, make, grey):
    """Native bytes under a transfer syntax of fragments are read by nobody the same way."""
    recipe = make.Recipe(syntax="1.2.840.10008.1.2.5")
    dataset = make.describe(grey().astype("u1"), recipe)
    dataset.PixelData = grey().astype("u1").tobytes()
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = False
    native = make.save(dataset, make.Recipe().syntax).replace(
        b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"
    )
    with pytest.raises(DeidFault, match="not encoded as"):
        run(native)


def test_a_region_without_corners_is_refused(run, make, grey):
    """A region that does not say where it is cannot be kept."""
    part10 = make.build(
        grey(),
        make.Recipe(sop_class=make.US),
        Modality="US",
        SequenceOfUltrasoundRegions=[pydicom.Dataset()],
    )
    with pytest.raises(DeidFault, match="ultrasound region"):
        run(part10)
