"""Servers over HTTP: KServe v2 of Triton and MLServer, and JSON predict calls, as over gRPC."""

import json
import time

import numpy as np
import pytest

from ai import kserve_bodies, predict
from ai.contract import Served, Tensor
from ai.endpoint import Call
from ai.http_calls import Said
from ai.kserve import KserveEndpoint
from config.models import Model
from config.shapes import Secret
from dicom.errors import BadAnswer, ModelUnavailable, Unsuitable
from examples.peers import mlserver, predict_server
from examples.peers.predict_server import IMAGES, MEANS, PREDICT, Images
from examples.peers.process import free_port


@pytest.fixture(scope="module")
def ml_server(tmp_path_factory):
    if not mlserver.is_installed():
        pytest.skip("needs MLServer: deploy/setup-mlserver.sh")
    with mlserver.serving(tmp_path_factory.mktemp("mlserver")) as serving:
        yield serving


@pytest.fixture
def predicting():
    with predict_server.serving() as serving:
        yield serving


def test_triton_over_http_answers_as_over_grpc(loop, pair, model, values):
    """The same numbers come back; Triton's binary extension carries them."""
    by_grpc = loop.infer(model(pair[0].endpoint), values(5))
    by_http = loop.infer(model(f"http://127.0.0.1:{pair[0].http_port}"), values(5))
    np.testing.assert_array_equal(by_http.arrays["y"], by_grpc.arrays["y"])
    assert by_http.served == by_grpc.served


def test_a_sequence_over_http(loop, pair, model, rows):
    """A sequence keeps its state on the server: the last answer sums all requests."""
    orders = [(0, number) for number in (1, 2, 3)]
    answer = loop.infer(
        model(f"http://127.0.0.1:{pair[0].http_port}", model="serial"), rows(orders, True)
    )
    assert answer.arrays["y"].ravel().tolist() == [6]


def test_a_model_that_falls_over_is_asked_elsewhere(loop, pair, model, rows):
    """A fault over HTTP sends the request to another endpoint, here over gRPC."""
    with pytest.raises(ModelUnavailable, match="HTTP 500"):
        loop.infer(model(f"http://127.0.0.1:{pair[0].http_port}", timeout_s=1), rows([(3, 0)]))
    gone = f"http://127.0.0.1:{free_port()}"
    answer = loop.infer(model(gone, pair[0].endpoint), rows([(0, 7)]))
    assert answer.arrays["y"].ravel().tolist() == [7]


def test_a_model_that_is_not_there(loop, pair, model, values):
    """An unknown model is named as not ready, with what may have been meant; either way."""
    for address in (f"http://127.0.0.1:{pair[0].http_port}", pair[0].endpoint):
        settings = model(address, model="pupet", timeout_s=1)
        with pytest.raises(ModelUnavailable, match=r"pupet is not ready.*did you mean puppet"):
            loop.infer(settings, values(1))


@pytest.mark.parametrize("way", ["grpc", "http"])
def test_mlserver_conforms(loop, ml_server, model, way):
    """Another server of KServe v2 answers through the same clients, its contract in the config."""
    address = f"127.0.0.1:{ml_server.grpc_port}" if way == "grpc" else ml_server.url
    answer = loop.infer(model(address, model=ml_server.model), Images())
    assert answer.arrays["mean"].tolist() == MEANS
    assert answer.served.server.startswith("mlserver 1.")
    assert answer.served.parameters == {}


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_a_predict_call(loop, predicting, model, form):
    """By rows as Vertex AI has it, and by columns: the same means."""
    settings = model(predicting.url, predict={**PREDICT, "form": form})
    answer = loop.infer(settings, Images())
    assert answer.arrays["mean"].tolist() == MEANS
    assert answer.arrays["mean"].dtype == np.float32
    assert list(predicting.asked[0]) == [form]
    assert answer.served.server == "HTTP predict"


def test_a_token_opens_it(loop, tmp_path, model):
    """A server that does not know us is waited for, and the words say what to check."""
    (tmp_path / "token").write_text("open sesame")
    (tmp_path / "token").chmod(0o600)
    token = Secret(file=tmp_path / "token")
    with predict_server.serving("open sesame") as serving:
        answer = loop.infer(model(serving.url, predict=PREDICT, token=token), Images())
        assert answer.arrays["mean"].tolist() == MEANS
        with pytest.raises(ModelUnavailable, match="HTTP 401: who are you; check the token"):
            loop.infer(model(serving.url, predict=PREDICT, timeout_s=0.5), Images())


ONE = b'{"predictions": [{"mean": [1]}]}'
AWAY = [(503, b"", "HTTP 503"), (500, b"{", "HTTP 500")]
WRONG = [
    (200, b"", 'no JSON object with "predictions"'),
    (200, b"[" * 100_000, 'no JSON object with "predictions"'),
    (200, b"[1]", 'no JSON object with "predictions"'),
    (200, b'{"predictions": 3}', "no list of 3"),
    (200, ONE, "no list of 3"),
    (200, b'{"predictions": [{"other": [1]}, {}, {}]}', "mean is missing"),
    (200, b'{"predictions": [["x"], ["y"], ["z"]]}', "no numbers"),
    (200, b'{"predictions": [{"mean": [1]}, {"mean": [1, 2]}, {"mean": [1]}]}', "no numbers"),
    (400, b'{"error": "bad shape\\nsecond line"}', "HTTP 400: bad shape$"),
    (400, b'{"error": {"code": 400, "message": "bad shape"}}', "HTTP 400: bad shape$"),
    (400, b'{"Message": "bad shape"}', "HTTP 400: bad shape$"),
    (400, b'{"error": {"message": [1]}}', r"HTTP 400: \[1\]$"),
    (302, b"", "HTTP 302"),
]


@pytest.mark.parametrize(
    ("fault", "said"),
    [*((BadAnswer, one) for one in WRONG), *((ModelUnavailable, one) for one in AWAY)],
)
def test_a_bad_answer_never_becomes_a_number(loop, predicting, model, fault, said):
    """What breaks off, lacks an output or a row, or is of another shape is refused with words."""
    status, body, words = said
    predicting.answers += [(status, body)] * 50
    with pytest.raises(fault, match=words):
        loop.infer(model(predicting.url, predict=PREDICT, timeout_s=0.5), Images())


def test_an_answer_in_drips_ends_with_the_time(loop, predicting, model):
    """A server that sends a byte now and then is slow, however long it keeps on."""
    predicting.drip_s = 0.05
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"no answer within"):
        loop.infer(model(predicting.url, predict=PREDICT, timeout_s=0.3), Images())
    assert time.monotonic() - began < 2


class Told:
    """Calls that are answered from a table of paths, as a server of ill will would."""

    address = "http://liar"

    def __init__(self, **answers: object) -> None:
        self.answers: dict[str, object] = {
            "ready": {}, "v2": {"name": "liar", "version": "1"},
            "m": {"versions": ["1"], "inputs": TENSORS, "outputs": TENSORS}, "config": {},
            **answers,
        }  # fmt: skip

    async def ask(self, method, path, timeout_s, body=None, headers=None):
        found = self.answers[path.rsplit("/", 1)[1]]
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        return Said(404 if found is None else 200, {}, body)


TENSORS = [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "answers",
    [
        {"v2": DEEP}, {"v2": [1]}, {"m": DEEP}, {"m": {"versions": 3}}, {"m": {"inputs": "x"}},
        {"m": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [float("inf")]}]}},
        {"m": {"inputs": [{"name": "x", "datatype": "FP32", "shape": ["wide"]}]}},
        {"m": {"inputs": [{"datatype": "FP32", "shape": [1]}]}}, {"config": DEEP},
        {"config": {"max_batch_size": "many"}}, {"config": {"dynamic_batching": [1]}},
    ],
)  # fmt: skip
def test_a_broken_description_is_a_bad_answer(loop, answers):
    """Whatever a server says of its model, it is understood or refused in words."""
    fine = loop.run(KserveEndpoint(Told()).describe("m", ""))
    assert (fine.version, fine.inputs[0].shape, fine.max_batch_size) == ("1", (-1, 1), 0)
    with pytest.raises(BadAnswer, match="http://liar"):
        loop.run(KserveEndpoint(Told(**answers)).describe("m", ""))


@pytest.mark.parametrize("index", [None, DEEP, 3, [4, {"name": 5}]])
def test_no_word_about_a_model_is_no_fault(loop, index):
    """A server without a repository, or with a strange one, leaves it at "not ready"."""
    with pytest.raises(ModelUnavailable, match=r"model m is not ready$"):
        loop.run(KserveEndpoint(Told(ready=None, index=index)).describe("m", ""))


def served(datatype: str = "FP32") -> Served:
    inputs = (Tensor("image", datatype, (-1, -1, -1)),)
    return Served("m", "1", "s", inputs, (Tensor("mean", "FP32", (-1, 1)),), {})


def test_texts_in_too_many_lists_are_refused():
    """Lists within lists are flattened, and not without end."""
    data: list[object] = ["x"]
    for _ in range(5000):
        data = [data]
    with pytest.raises(BadAnswer, match="not BYTES"):
        kserve_bodies._raw(Tensor("t", "BYTES", (1,)), {"datatype": "BYTES", "data": data})


def test_half_precision_has_no_json():
    """FP16 is refused where a server takes JSON alone: the words say what to do."""
    call = Call(served("FP16"), {"image": IMAGES.astype(np.float16)}, 1.0)
    with pytest.raises(Unsuitable, match="over gRPC"):
        kserve_bodies.request(call, "a", is_binary=False)


def test_rows_that_do_not_agree_are_refused():
    """A volume of other length than its neighbour has no rows to be said by."""
    inputs = (Tensor("a", "FP32", (-1, -1)), Tensor("b", "FP32", (-1, -1)))
    call = Call(
        Served("m", "1", "s", inputs, (), {}), {"a": np.zeros((2, 2)), "b": np.zeros((3, 2))}, 1.0
    )
    with pytest.raises(Unsuitable, match='begins with "1"'):
        predict._said(call, is_rows=True)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "another"}, {"model_name": "another"}, {"outputs": 3}, {"outputs": []},
        {"outputs": [{"name": "mean", "datatype": "FP32", "shape": [-1, 1], "data": [1]}]},
        {"outputs": [{"name": "mean", "datatype": "FP32", "shape": [3, 1], "data": [1]}]},
        {"outputs": [{"name": "mean", "datatype": "FP64", "shape": [1, 1], "data": [1]}]},
        {"outputs": [{"name": "mean", "datatype": "FP32", "shape": [1, 1], "data": ["x"]}]},
        {"outputs": [{"name": "mean", "datatype": "FP32", "shape": [1, 1],
                      "parameters": {"binary_data_size": 8}}]},
        {"outputs": [{"name": "mean", "datatype": "FP32", "shape": [1, 1],
                      "parameters": {"binary_data_size": -4}}]},
    ],
)  # fmt: skip
def test_a_lie_over_http_is_a_bad_answer(change):
    """Another request's answer, another model's, and every broken tensor."""
    fine = {"id": "a", "model_name": "m", "outputs": [
        {"name": "mean", "datatype": "FP32", "shape": [1, 1], "data": [[1.0]]}]}  # fmt: skip
    arrays, _ = kserve_bodies.answer(served(), "a", json.dumps(fine).encode(), None)
    assert arrays["mean"].tolist() == [[1.0]]
    body = json.dumps({**fine, **change}).encode()
    with pytest.raises(BadAnswer):
        kserve_bodies.answer(served(), "a", body, str(len(body)))


def test_predict_says_what_it_needs():
    """A predict table without tensors is no description."""
    with pytest.raises(ValueError, match="inputs"):
        Model(endpoints=("https://host/x",), model="m", predict={"outputs": {}})
