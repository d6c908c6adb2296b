"""Who an object is, by the first bytes of its dataset."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom import identity
from dicom.errors import CannotUnderstand
from dicom.identity import Identity
from dicom.incoming import begin
from examples.peers.stow import CT, image

SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "big endian": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
}


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
def test_the_first_bytes_are_enough(syntax):
    """The UIDs are read where the rest is missing, in each encoding; before them it is cut."""
    file = image("1.2.3.5", syntax=syntax)
    dataset = file[begin(file).dataset_offset :]
    found = Identity(CT, "1.2.3.5", "1.2.3", "1.2.3.4")
    assert identity.read(dataset, syntax, is_whole=True) == found
    if syntax != SYNTAXES["deflated"]:
        assert identity.read(dataset[:-900], syntax, is_whole=False) == found
        series = dataset.index(b"1.2.3.4\0")
        for end in range(series):
            with pytest.raises(CannotUnderstand):
                identity.read(dataset[:end], syntax, is_whole=False)


@given(st.binary(max_size=200), st.sampled_from(list(SYNTAXES.values())))
def test_nothing_else_is_raised(start, syntax):
    """Whatever bytes come, they are somebody, or cannot be understood."""
    with contextlib.suppress(CannotUnderstand):
        assert identity.read(start, syntax, is_whole=True)
