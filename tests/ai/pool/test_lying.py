"""Answers that a real Triton never gives, headers, and TLS: against a small server of our own."""

import os

import grpc
import pytest

from ai.tracing import trace_id
from config.shapes import ClientTls, Secret
from dicom.errors import BadAnswer, ConfigFault, ModelUnavailable
from examples.peers.certificates import Authority


def other_id(answer):
    answer.id = "another"


def other_model(answer):
    answer.model_name = "another"


def cut(answer):
    answer.raw_output_contents[0] = answer.raw_output_contents[0][:-1]


def no_bytes(answer):
    del answer.raw_output_contents[:]


def without_output(answer):
    del answer.outputs[:]


def other_type(answer):
    answer.outputs[0].datatype = "FP64"


def too_large(answer):
    answer.outputs[0].shape[0] = 2**40


def negative(answer):
    answer.outputs[0].shape[0] = -1


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (other_id, "answered another request"),
        (other_model, "another model answered"),
        (cut, r"came with 3 bytes; FP32 \(1, 1\) has 4"),
        (no_bytes, r"came with 0 bytes"),
        (without_output, "output y is missing"),
        (other_type, "came as FP64"),
        (too_large, "came with 4 bytes"),
        (negative, r"came as FP32 \(-1, 1\)"),
    ],
)
def test_a_lie_is_a_bad_answer(*, loop, liar, model, values, lie, words):
    """What belongs to another request, or breaks off, never becomes a number."""

    def told(answer):
        lie(answer)
        return answer

    liar.lie = told
    with pytest.raises(BadAnswer, match=words):
        loop.infer(model(liar.address), values(1))


def test_typed_contents_are_read(loop, liar, model, values):
    """A server that packs numbers one by one is understood like one that sends bytes."""

    def typed(answer):
        del answer.raw_output_contents[:]
        answer.outputs[0].contents.fp32_contents.append(4.5)
        return answer

    liar.lie = typed
    answer = loop.infer(model(liar.address), values(1))
    assert answer.arrays["y"].tolist() == [[4.5]]
    assert answer.served.parameters == {}


def test_a_version_that_changes_again_and_again_is_given_up(loop, liar, model, values):
    """A server that never answers by the version that it describes is unavailable."""

    def newer(answer):
        answer.model_version = "2"
        return answer

    liar.lie = newer
    with pytest.raises(ModelUnavailable, match="changed its version"):
        loop.infer(model(liar.address), values(1))


def test_each_request_carries_who_asks_and_why(loop, liar, model, values, monkeypatch):
    """Token, headers and traceparent go with every call; ids and span ids are never used twice."""
    monkeypatch.setenv("MODEL_TOKEN", "s3cret")
    monkeypatch.setenv("MODEL_KEY", "k3y")
    liar.lie = lambda answer: answer
    liar.seen.clear()
    settings = model(
        liar.address,
        token=Secret(env="MODEL_TOKEN"),
        headers={"x-api-key": Secret(env="MODEL_KEY")},
    )
    trace = trace_id("job-7")
    loop.infer(settings, values(3), trace=trace)
    assert {headers["authorization"] for _, headers in liar.seen} == {"Bearer s3cret"}
    assert {headers["x-api-key"] for _, headers in liar.seen} == {"k3y"}
    parents = [headers["traceparent"].split("-") for _, headers in liar.seen]
    assert {(version, found, flags) for version, found, _, flags in parents} == {
        ("00", trace, "01")
    }
    assert len({span for _, _, span, _ in parents}) == 3
    assert len({request.id for request, _ in liar.seen}) == 3
    assert all(request.model_version == "1" for request, _ in liar.seen)


def test_a_missing_token_is_told_by_its_setting(loop, liar, model, values):
    """A secret that is not there is the config's fault, and no call is made without it."""
    os.environ.pop("NO_SUCH_TOKEN", None)
    liar.seen.clear()
    with pytest.raises(ConfigFault, match="not set"):
        loop.infer(model(liar.address, token=Secret(env="NO_SUCH_TOKEN")), values(1))
    assert not liar.seen


@pytest.fixture(scope="module")
def sealed(liar, tmp_path_factory):
    """The same server behind mutual TLS, and the files of a client."""
    authority = Authority(tmp_path_factory.mktemp("tls"), "hospital")
    server, client = authority.issue("triton", "triton.example"), authority.issue("node")
    credentials = grpc.ssl_server_credentials(
        [(server.key.read_bytes(), server.certificate.read_bytes())],
        root_certificates=authority.file.read_bytes(),
        require_client_auth=True,
    )
    plain = liar.address
    with liar.serving(credentials):
        address = liar.address
        liar.address = plain
        yield address, authority, client


def test_tls_is_mutual_and_checks_the_name(loop, liar, sealed, model, values):
    """The node believes its own authority alone, wants the right name, and shows itself."""
    address, authority, client = sealed
    liar.lie = lambda answer: answer
    good = {
        "ca": authority.file,
        "certificate": client.certificate,
        "key": client.key,
        "name": "triton.example",
    }
    answer = loop.infer(model(address, tls=ClientTls(**good)), values(2))
    assert answer.arrays["y"].ravel().tolist() == [0, 1]
    stranger = Authority(authority.file.parent / "abroad", "stranger")
    for change in (
        {"name": None},
        {"ca": stranger.file},
        {"certificate": None, "key": None},
    ):
        settings = model(address, tls=ClientTls(**{**good, **change}), timeout_s=2)
        with pytest.raises(ModelUnavailable, match="UNAVAILABLE"):
            loop.infer(settings, values(1))
    with pytest.raises(ModelUnavailable):
        loop.infer(model(address, timeout_s=2), values(1))
