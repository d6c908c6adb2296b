"""What a name says of a file, before anybody opens it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.sources.place import Kind, images_of, kind_of, sidecar_of

NAMES = [
    ("a", Kind.OBJECT), ("a.dcm", Kind.OBJECT), ("IM000001", Kind.OBJECT),
    ("1.2.840.3", Kind.OBJECT),
    ("x/a.JPG", Kind.IMAGE), ("a.jpeg", Kind.IMAGE), ("a.png", Kind.IMAGE),
    ("a.json", Kind.SIDECAR), ("a.JSON", Kind.SIDECAR),
    (".a", Kind.NOTHING), ("x/.a", Kind.NOTHING), (".x/a", Kind.NOTHING), ("~a", Kind.NOTHING),
    ("a~", Kind.NOTHING), ("a.tmp", Kind.NOTHING), ("a.dcm.part", Kind.NOTHING), ("", Kind.NOTHING),
    ("x/", Kind.NOTHING), ("DICOMDIR", Kind.NOTHING), ("x/dicomdir", Kind.NOTHING),
    ("a.dcm.reason.txt", Kind.NOTHING), ("Thumbs.db", Kind.NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), NAMES)
def test_kinds(name, kind):
    """Names tell objects, images and sidecars from what is unfinished or of no interest."""
    assert kind_of(name) is kind


@given(st.text())
def test_every_name_has_a_kind(name):
    """Whatever a file is called, it has a kind; an image and its sidecar find each other."""
    if kind_of(name) is Kind.IMAGE:
        sidecar = sidecar_of(name)
        assert kind_of(sidecar) is Kind.SIDECAR
        assert {each.lower() for each in images_of(sidecar)} >= {name.lower()} or not name.islower()
