"""Whatever bytes come, they are prepared or refused in words: nothing else happens."""

import io
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from ai import phantom_slide
from ai.contract import (
    Code,
    Contract,
    Input,
    InputKind,
    Normalise,
    Orientation,
    Preparation,
    Wants,
)
from ai.prepare import prepare
from dicom.errors import Unsuitable

HEADER_BYTES = 3500
"""Where most of a header lies; what is beyond is hit by a place counted from the end."""


def _contract(kind, modality, **how):
    images = Input("v", kind, Preparation(**how))
    spacing = Input("mm", InputKind.SPACING)
    wants = Wants(modality, orientation=Orientation.ANY, min_slices=1)
    return Contract("a", "1", "", Code("1", "99TEST", "Test"), wants, (images, spacing), ())


CONTRACTS = {
    "stack": _contract(
        InputKind.VOLUME, "CT", size=(8, 20, 20), spacing_mm=(2, 0, 9), normalise=Normalise.ZSCORE
    ),
    "images": _contract(
        InputKind.IMAGES, "CT", size=(20, 20), spacing_mm=(9, 9), normalise=Normalise.UNIT
    ),
    "tiles": _contract(
        InputKind.TILES, "SM", spacing_mm=(0.0007, 0.0007), normalise=Normalise.UNIT
    ),
}


@pytest.fixture(scope="module")
def objects(series, encode, tmp_path_factory):
    small = []
    for part10 in series[:4]:
        ds = dcmread(io.BytesIO(part10))
        ds.Rows = ds.Columns = 16
        ds.PixelData = ds.PixelData[: 16 * 16 * 2]
        small.append(encode(ds))
    how = {"size": 192, "tile": 64, "coding": "jpeg", "is_sparse": True}
    slide = phantom_slide.write(tmp_path_factory.mktemp("slide"), labelled_share=0.3, **how)
    levels = [path.read_bytes() for path in slide.files]
    # A function of its own, for Hypothesis prints a failing test's arguments.
    return lambda kind: levels if kind == "tiles" else small


@settings(max_examples=250, deadline=None)
@given(
    kind=st.sampled_from(sorted(CONTRACTS)),
    which=st.integers(0, 3),
    hits=st.lists(
        st.tuples(st.integers(132, HEADER_BYTES), st.integers(0, 255)), min_size=1, max_size=4
    ),
    is_at_end=st.booleans(),
)
@pytest.mark.p6
def test_broken_bytes_are_prepared_or_refused(objects, kind, which, hits, is_at_end):
    """A few wrong bytes anywhere in a header or in the pixels cause no other exception."""
    series = list(objects(kind))
    at = which % len(series)
    broken = bytearray(series[at])
    for place, byte in hits:
        broken[(-place if is_at_end else place) % len(broken)] = byte
    series[at] = bytes(broken)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns about odd values that it forgives
        said = ""
        try:
            prepared = prepare(CONTRACTS[kind], series)
            assert prepared.tensors(prepared.batches - 1)["v"].size
        except Unsuitable as refusal:
            said = str(refusal)
    assert "ZQX" not in said  # every value of the phantom's patient begins so


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(sorted(CONTRACTS)), share=st.floats(0, 0.999))
def test_cut_files_are_prepared_or_refused(objects, kind, share):
    """An object that breaks off anywhere is a refusal, or its pixels were still whole."""
    whole = objects(kind)[0]
    series = [whole[: int(len(whole) * share)], *objects(kind)[1:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            prepared = prepare(CONTRACTS[kind], series)
            prepared.tensors(0)
        except Unsuitable:
            return
    assert share > 0.5
