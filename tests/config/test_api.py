"""[http] and [tokens.NAME]: sites, the viewer's folder, and the titles of who stores."""

import pytest

from config.load import load
from dicom.errors import ConfigFault

DIGEST = "sha256:" + "0" * 64
STORES = f'[tokens.NAME]\ndigest = "{DIGEST}"\nmay = ["store"]\n'


def problems(tmp_path, text, **more):
    """Load a file, and give what is wrong with it by its place."""
    (tmp_path / "node.toml").write_text(text)
    try:
        load(tmp_path / "node.toml", **more)
    except ConfigFault as fault:
        return dict(fault.problems)
    return {}


@pytest.mark.parametrize("origin", ["https://a.example", "http://[::1]:3000", "https://a:8443"])
def test_sites_are_named_by_their_origin(tmp_path, origin):
    """An origin is a scheme, a host and perhaps a port."""
    assert problems(tmp_path, f'[http]\norigins = ["{origin}"]\n') == {}


@pytest.mark.parametrize("origin", ["*", "null", "https://a/", "https://A.example", "a.example"])
def test_what_is_no_origin_is_a_fault(tmp_path, origin):
    """Anything else would never match, or match everything."""
    assert "http.origins[0]" in problems(tmp_path, f'[http]\norigins = ["{origin}"]\n')


def test_the_viewer_must_be_there_for_who_serves_it(tmp_path):
    """A folder without a page is a fault at the start of the node, and for no worker."""
    text = '[http]\nviewer = "ohif"\n'
    assert "http.viewer" in problems(tmp_path, text, with_tls=True)
    assert problems(tmp_path, text) == {}
    (tmp_path / "ohif").mkdir()
    (tmp_path / "ohif" / "index.html").touch()
    assert problems(tmp_path, text, with_tls=True) == {}


TITLES = {
    "its name": (STORES.replace("NAME", "ward-7"), ""),
    "its own": (STORES.replace("NAME", "x") + 'ae_title = "WARD"\n', ""),
    "too long": (STORES.replace("NAME", "x") + f'ae_title = "{"W" * 17}"\n', "is no AE title"),
    "a peer's": (STORES.replace("NAME", "ct1") + "[peers.CT1]\n", "which is one of [peers]"),
    "a source's": (
        STORES.replace("NAME", "in") + '[sources.in]\nkind = "folder"\npath = "in"\n',
        "[sources.in]",
    ),
    "a peer's, of one who does not store": (
        STORES.replace("NAME", "ct1").replace("store", "query") + "[peers.CT1]\n", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), TITLES.values(), ids=TITLES)
def test_rules_can_tell_who_stored(tmp_path, text, words):
    """The title of a token that stores is valid, and nobody else's."""
    found = problems(tmp_path, text)
    assert bool(found) == bool(words)
    assert words in "".join(found.values())
