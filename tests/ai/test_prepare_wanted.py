"""What a contract wants of a stack of slices: lying, thickness, voltage, contrast, body part."""

from dataclasses import replace

import numpy as np
import pytest

from ai.contract import Code, Contract, Contrast, Input, InputKind, Orientation, Wants
from ai.prepare import prepare
from dicom.errors import Unsuitable

CT = Wants(modality="CT", min_slices=4)


def _contract(wants):
    code = Code("1", "99TEST", "Test")
    return Contract("a", "1", "", code, wants, (Input("v", InputKind.VOLUME),), ())


def _set(**values):
    def change(_, ds):
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return change


def _lying(*orientation):
    normal = np.cross(orientation[:3], orientation[3:])

    def change(z, ds):
        ds.ImageOrientationPatient = list(orientation)
        ds.ImagePositionPatient = [float(part) for part in 5.0 * z * normal]

    return change


@pytest.mark.parametrize(
    ("orientation", "wanted", "fits"),
    [
        ((0, 1, 0, 0, 0, -1), Orientation.SAGITTAL, True),
        ((1, 0, 0, 0, 0, -1), Orientation.CORONAL, True),
        ((1, 0, 0, 0, 1, 0), Orientation.AXIAL, True),
        ((0, 1, 0, 0, 0, -1), Orientation.CORONAL, False),
        ((1, 0, 0, 0, 0, -1), Orientation.AXIAL, False),
        ((1, 0, 0, 0, 1, 0), Orientation.SAGITTAL, False),
        ((1, 0, 0, 0, 0, -1), Orientation.ANY, True),
    ],
)
def test_slices_lie_as_the_contract_wants(edited, orientation, wanted, fits):
    """Axial, sagittal, coronal, or any of them."""
    contract = _contract(replace(CT, orientation=wanted))
    objects = edited(_lying(*orientation))
    if fits:
        assert prepare(contract, objects).grid.items == 24
    else:
        with pytest.raises(Unsuitable, match=f"the slices are not {wanted}"):
            prepare(contract, objects)


@pytest.mark.parametrize(
    ("change", "wants", "words"),
    [
        (_set(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), {}, "is a localizer"),
        (_set(), {"max_thickness_mm": 2.5}, "SliceThickness is 5 mm; 0 to 2.5 mm is wanted"),
        (_set(), {"min_thickness_mm": 6}, "SliceThickness is 5 mm"),
        (_set(SliceThickness=None), {"max_thickness_mm": 6}, "has no SliceThickness"),
        (_set(KVP=100), {"kvp": (119, 121)}, "KVP is 100; 119 to 121 is wanted"),
        (_set(KVP=None), {"kvp": (119, 121)}, "has no KVP"),
        (_set(ContrastBolusAgent="IOHEXOL"), {"contrast": Contrast.NONE}, "with a contrast agent"),
        (_set(), {"contrast": Contrast.REQUIRED}, "names no contrast agent"),
        (_set(BodyPartExamined="HEAD"), {"body_parts": ("CHEST", "LUNG")}, "none of CHEST, LUNG"),
        (_set(ViewPosition="PA"), {"views": ("AP",)}, "ViewPosition is none of AP"),
    ],
)
def test_what_is_acquired_otherwise_is_refused(edited, change, wants, words):
    """Each want that a Series does not meet is named, with what was found."""
    with pytest.raises(Unsuitable, match=words):
        prepare(_contract(replace(CT, **wants)), edited(change))


@pytest.mark.parametrize(
    ("change", "wants"),
    [
        (_set(ContrastBolusAgent="NONE"), {"contrast": Contrast.NONE}),
        (_set(ContrastBolusAgent="IOHEXOL"), {"contrast": Contrast.REQUIRED}),
        (_set(BodyPartExamined=""), {"body_parts": ("CHEST",)}),
        (_set(), {"body_parts": ("chest",), "kvp": (120, 120), "max_thickness_mm": 5.0}),
    ],
)
def test_what_is_acquired_as_wanted_is_taken(edited, change, wants):
    """What fits, and what is silent about the body part, is given."""
    assert prepare(_contract(replace(CT, **wants)), edited(change)).batches == 1
