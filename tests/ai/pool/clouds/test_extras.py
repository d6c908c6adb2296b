"""Without its extra an identity is refused before anybody is called."""

import sys

import pytest

from ai import connections, identity
from dicom.errors import ConfigFault


@pytest.mark.parametrize(
    ("kind", "package"), [("aws", "botocore"), ("google", "google.auth"), ("google", "requests")]
)
def test_a_missing_extra_is_named(monkeypatch, settings, kind, package):
    """Without its package an identity is refused before anybody is called: install the extra."""
    assert identity.missing(kind) == ""
    monkeypatch.setitem(sys.modules, package, None)
    words = rf'pip install "penumbra-node\[{kind}\]"'
    with pytest.raises(ConfigFault, match=words):
        connections.connect(connections.keys(settings("https://host/x", identity=kind))[0])
