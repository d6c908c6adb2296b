"""Where models' servers are: gRPC, KServe over HTTPS, or a predict call, checked with words."""

import pytest

from config.load import load
from dicom.errors import ConfigFault

PREDICT = "predict = { inputs = { x = { shape = [-1, 2] } }, outputs = { y = { shape = [-1] } } }"


def problems(tmp_path, endpoint, rest=""):
    text = f'[models.m]\nendpoints = ["{endpoint}"]\nmodel = "m"\n{rest}\n'
    (tmp_path / "node.toml").write_text(text)
    try:
        load(tmp_path / "node.toml", with_secrets=False)
    except ConfigFault as fault:
        return dict(fault.problems)
    return {}


@pytest.mark.parametrize(
    ("endpoint", "rest"),
    [
        ("triton:8001", ""), ("[::1]:8001", ""), ("https://kserve.example.org:8000", ""),
        ("http://127.0.0.1:8000/base", ""), ("https://vertex.example.org/v1/x:predict", PREDICT),
    ],
)  # fmt: skip
def test_servers_are_named_by_port_or_url(tmp_path, endpoint, rest):
    """host:port is gRPC, a URL is HTTP; without TLS on this machine alone."""
    assert problems(tmp_path, endpoint, rest) == {}


@pytest.mark.parametrize(
    ("endpoint", "rest", "words"),
    [
        ("triton", "", "host:port"),
        ("triton:x", "", "host:port"),
        ("ftp://host/x", "", "must be a URL such as"),
        ("https:///x", "", "must be a URL such as"),
        ("http://host:8000", "", "in the clear"),
        ("https://user:word@host", "", "a user or a password"),
        ("https://host/x?key=1", "", "must not have"),
        ("triton:8001", PREDICT, "must be a URL"),
    ],
)
def test_what_cannot_be_called_is_named(tmp_path, endpoint, rest, words):
    """The fault stands at the endpoint, and says what to write."""
    assert words in problems(tmp_path, endpoint, rest)["models.m.endpoints[0]"]
