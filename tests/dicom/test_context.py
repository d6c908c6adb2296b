"""What the node accepts and proposes covers every storage class in every transfer syntax."""

import pytest
from pydicom.uid import UID
from pynetdicom import AllStoragePresentationContexts

from dicom.context import MOST_CONTEXTS, accepted, proposals, storage_contexts

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_every_class_in_every_syntax_is_accepted():
    """No storage class that pynetdicom knows is missing, no syntax, and no private class."""
    contexts = {one.abstract_syntax: one for one in storage_contexts(["1.2.3.4", CT])}
    assert {one.abstract_syntax for one in AllStoragePresentationContexts} < contexts.keys()
    assert "1.2.3.4" in contexts
    assert len(contexts) == len(storage_contexts(["1.2.3.4"]))
    for context in contexts.values():
        assert len(context.transfer_syntax) >= 45


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.55",
        "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.93",
        "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.108", "1.2.840.10008.1.2.4.110",
        "1.2.840.10008.1.2.4.112", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.203",
        "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.7.1",
    ],
)  # fmt: skip
def test_each_family_is_there(syntax):
    """Uncompressed, deflated, big endian, JPEG, -LS, 2000, XL, HTJ2K, MPEG, RLE, SMPTE ST 2110."""
    (context,) = [one for one in storage_contexts() if one.abstract_syntax == CT]
    assert syntax in context.transfer_syntax, UID(syntax).name


def test_proposals_fit_an_association():
    """Pairs are proposed once each, in groups of at most 128."""
    pairs = [(CT, f"1.2.{number}") for number in range(300)]
    groups = proposals([*pairs, *pairs])
    assert [len(group) for group in groups] == [128, 128, 44]
    assert max(map(len, groups)) == MOST_CONTEXTS
    flat = [(one.abstract_syntax, one.transfer_syntax[0]) for group in groups for one in group]
    assert flat == pairs


def test_what_was_not_accepted_has_no_context():
    """A pair that the peer did not take has no id to send under."""
    (group,) = proposals([(CT, "1.2.840.10008.1.2")])
    group[0].context_id = 5
    assert accepted(group, CT, "1.2.840.10008.1.2") == 5
    assert accepted(group, CT, "1.2.840.10008.1.2.1") is None
    assert accepted([], CT, "1.2.840.10008.1.2") is None
