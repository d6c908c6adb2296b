"""The second look: another reader refuses what the first writer left."""

import pytest
from pydicom.uid import generate_uid

from deid.vault import reidentify as writing
from deid.vault.second_look import looks_ours
from dicom.errors import DeidFault
from dicom.uid import derive


def test_the_second_look_finds_what_the_first_left(lab, leave, come_back, monkeypatch):
    """If replacing failed silently, another reader would still refuse the object."""
    monkeypatch.setattr(writing._Back, "_change", lambda _, element, codecs: bytes(element.value))
    image = leave(lab.part10(lab.original()))
    with pytest.raises(DeidFault, match="second look"):
        come_back(lab.part10(lab.report_on(image)))


@pytest.mark.parametrize(
    ("uid", "is_ours"),
    [
        (derive("x"), True),
        ("2.25.0", False),
        ("2.25.x", False),
        ("2.25", False),
        ("1.2.3", False),
        ("2.25." + "9" * 39, False),
    ],
)
def test_our_pseudonyms_are_told_from_others(uid, is_ours):
    """Only version 8 UUIDs look like pseudonyms of ours."""
    assert looks_ours(uid) is is_ours


def test_random_uuids_do_not_look_ours():
    """UIDs of other software, made of random UUIDs, are never taken for pseudonyms."""
    assert not any(looks_ours(generate_uid(prefix=None)) for _ in range(200))
