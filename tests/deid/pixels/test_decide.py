"""Which images are looked at, and which never pass."""

import pytest

from deid.pixels.decide import decide
from deid.pixels.rules import DeviceRule, classes

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
SC = "1.2.840.10008.5.1.4.1.1.7"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"

SLICE = {
    "SOPClassUID": (CT,),
    "Modality": ("CT",),
    "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL"),
    "SamplesPerPixel": ("1",),
    "BitsAllocated": ("16",),
    "PhotometricInterpretation": ("MONOCHROME2",),
}
CLEAN = DeviceRule("quiet", {"Modality": ("*",)}, "phantoms show none", clean=True)
HELD = DeviceRule("loud", {"Modality": ("*",)}, "pages of text", refuse=True)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "pass"),
        ({"SOPClassUID": (ENHANCED_MR,), "Modality": ("MR",)}, "pass"),
        ({"BurnedInAnnotation": ("NO",)}, "pass"),
        ({"BurnedInAnnotation": ("YES",)}, "look"),
        ({"ImageType": ("DERIVED", "SECONDARY", "SCREEN SAVE")}, "look"),
        ({"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "look"),
        ({"ImageType": ()}, "look"),
        ({"Modality": ("OT",)}, "look"),
        ({"ConversionType": ("WSD",)}, "look"),
        ({"BitsAllocated": ("8",)}, "look"),
        ({"SamplesPerPixel": ("3",), "PhotometricInterpretation": ("RGB",)}, "look"),
        ({"SOPClassUID": (SC,)}, "look"),
        ({"SOPClassUID": (SC,), "BurnedInAnnotation": ("NO",)}, "look"),
        ({"SOPClassUID": (DX,), "Modality": ("DX",)}, "look"),
        ({"SOPClassUID": ("1.2.3.4",)}, "look"),
        ({"SOPClassUID": (SEGMENTATION,), "Modality": ("SEG",)}, "pass"),
        ({"SOPClassUID": (SLIDE,), "ImageType": ("ORIGINAL", "PRIMARY", "LABEL")}, "refuse"),
        ({"SOPClassUID": (SLIDE,), "ImageType": ("ORIGINAL", "PRIMARY", "OVERVIEW")}, "refuse"),
        ({"SOPClassUID": (SLIDE,), "SpecimenLabelInImage": ("YES",)}, "refuse"),
        (
            {
                "SOPClassUID": (SLIDE,),
                "ImageType": ("ORIGINAL", "PRIMARY", "VOLUME", "NONE"),
                "SpecimenLabelInImage": ("NO",),
            },
            "pass",
        ),
    ],
)
def test_what_an_image_says_decides(changes, verdict):
    """Only what a scanner computed for each pixel passes unread; a slide's label never passes."""
    assert decide(SLICE | changes, classes(), None).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "device", "verdict"),
    [
        ({"SOPClassUID": (SC,)}, CLEAN, "pass"),
        ({"SOPClassUID": (SC,), "BurnedInAnnotation": ("YES",)}, CLEAN, "look"),
        ({"SOPClassUID": (SLIDE,), "SpecimenLabelInImage": ("YES",)}, CLEAN, "refuse"),
        ({}, HELD, "refuse"),
    ],
)
def test_a_device_rule_has_its_limits(changes, device, verdict):
    """A rule may hold anything; it lets pass neither labels nor what says YES itself."""
    decision = decide(SLICE | changes, classes(), device)
    assert decision.verdict == verdict
    assert decision.must_find == ("BurnedInAnnotation" in changes)


def test_every_verdict_has_a_reason():
    """Whatever is decided, the account can say why."""
    assert all(rule.reason and rule.when for rule in classes())
    assert decide({}, classes(), None).reason
