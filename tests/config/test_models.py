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


AWS = 'identity = "aws"\nregion = "eu-central-1"'
GOOGLE = 'identity = "google"'
CLOUD = "https://cloud.example.org/v1/x"


@pytest.mark.parametrize("endpoint", [CLOUD, "http://127.0.0.1:8000/x"])
@pytest.mark.parametrize("rest", [AWS, GOOGLE, f'{GOOGLE}\nheaders = {{ x = {{ env = "X" }} }}'])
def test_a_clouds_identity_goes_with_a_url(tmp_path, endpoint, rest):
    """AWS needs its region, Google nothing; over HTTPS, or on this machine."""
    assert problems(tmp_path, endpoint, f"{rest}\n{PREDICT}") == {}


@pytest.mark.parametrize(
    ("endpoint", "rest", "key", "words"),
    [
        (CLOUD, 'identity = "azure"', "identity", "must be 'aws' or 'google'"),
        (CLOUD, 'identity = "aws"', "region", "is missing beside"),
        (CLOUD, 'identity = "aws"\nregion = "Frankfurt"', "region", "looks like eu-central-1"),
        (CLOUD, f'{GOOGLE}\nregion = "eu-central-1"', "region", "of no use"),
        (CLOUD, 'region = "eu-central-1"', "region", "of no use"),
        (CLOUD, f'{GOOGLE}\ntoken = {{ env = "X" }}', "token", "only one of the two"),
        (CLOUD, f'{AWS}\nheaders = {{ authorization = {{ env = "X" }} }}', "headers", "itself"),
        ("http://host:8000", AWS, "endpoints[0]", "in the clear"),
        ("127.0.0.1:8001", GOOGLE, "endpoints[0]", "not for gRPC"),
        ("triton:8001", f"{AWS}\ntls = {{}}", "endpoints[0]", "not for gRPC"),
    ],
)
def test_an_identity_that_cannot_be_used_is_named(tmp_path, endpoint, rest, key, words):
    """Each key that does not fit stands with words; the rest of the table is sound."""
    found = problems(tmp_path, endpoint, rest)
    assert list(found) == [f"models.m.{key}"]
    assert words in found[f"models.m.{key}"]


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
