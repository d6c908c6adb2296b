"""ONNX models run on the wheel's Triton as they do on one with the C++ backend."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpcclient
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

WEIGHT = np.arange(6, dtype=np.float32).reshape(3, 2)
BATCHED = """
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2 ] } ]
dynamic_batching { max_queue_delay_microseconds: 200000 }
instance_group [ { kind: KIND_CPU } ]
parameters [ { key: "intra_op_thread_count" value { string_value: "1" } } ]
"""
PLAIN = """
backend: "onnxruntime"
input [
  { name: "s" data_type: TYPE_STRING dims: [ -1 ] },
  { name: "x" data_type: TYPE_FP16 dims: [ -1, -1 ] }
]
output [
  { name: "t" data_type: TYPE_STRING dims: [ -1 ] },
  { name: "y" data_type: TYPE_FP16 dims: [ -1, -1 ] }
]
instance_group [ { kind: KIND_CPU } ]
"""
info = helper.make_tensor_value_info


def lay(folder, graph, config):
    """Write a model into a repository."""
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    version = folder / graph.name / "1"
    version.mkdir(parents=True)
    onnx.save(made, version / "model.onnx")
    (folder / graph.name / "config.pbtxt").write_text(config)


def lay_batched(folder, name="batched", config=BATCHED):
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        name,
        [info("x", TensorProto.FLOAT, ["n", 3])],
        [info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    lay(folder, graph, config)


@pytest.fixture(scope="module")
def client(serving):
    client = grpcclient.InferenceServerClient(serving.endpoint)
    yield client
    client.close()


@pytest.fixture(scope="module", autouse=True)
def complaints(serving, client):
    """Load all models at once; gives what was said of each that did not load."""
    lay_batched(serving.repository)
    lay_batched(serving.repository, "unfit", BATCHED.replace('"y"', '"z"'))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["s"], ["t"]), helper.make_node("Add", ["x", "x"], ["y"])],
        "plain",
        [info("s", TensorProto.STRING, ["n"]), info("x", TensorProto.FLOAT16, ["a", "b"])],
        [info("t", TensorProto.STRING, ["n"]), info("y", TensorProto.FLOAT16, ["a", "b"])],
    )
    lay(serving.repository, graph, PLAIN)
    said = {}

    def load(name):
        try:
            client.load_model(name)
        except InferenceServerException as fault:
            said[name] = str(fault)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(load, ("batched", "plain", "unfit")))
    return said


def test_requests_are_joined_and_parted_again(asker, client):
    """Dynamic batching makes one run of several requests, and each gets its own rows."""
    chance = np.random.default_rng(5)
    given = [chance.random((rows, 3)).astype(np.float32) for rows in (1, 2, 3, 1, 2, 4, 1, 1)]
    with ThreadPoolExecutor(len(given)) as threads:
        answers = list(threads.map(lambda x: asker.ask("batched", {"x": x}), given))
    for x, answer in zip(given, answers, strict=True):
        assert answer["y"] == pytest.approx(x @ WEIGHT, rel=1e-5)
    (statistics,) = client.get_inference_statistics("batched").model_stats
    assert statistics.execution_count < statistics.inference_count == 15


def test_strings_and_halves_keep_their_values(asker):
    """Text is UTF-8 on both sides, and FP16 stays FP16."""
    words = np.array(["Grüße".encode(), b""], dtype=object)
    answer = asker.ask("plain", {"s": words, "x": np.ones((2, 3), np.float16)})
    assert answer["t"].tolist() == words.tolist()
    assert answer["y"].dtype == np.float16
    assert (answer["y"] == 2).all()


def test_a_wrong_tensor_fails_its_request_alone(asker):
    """ONNX Runtime's words reach the caller, and the model answers the next request."""
    with pytest.raises(InferenceServerException):
        asker.ask("batched", {"x": np.ones((1, 4), np.float32)})
    assert asker.ask("batched", {"x": np.ones((1, 3), np.float32)})["y"].tolist() == [[6, 9]]


def test_a_config_that_does_not_fit_the_file_is_told(complaints):
    """The model does not load, and says which tensors differ."""
    assert list(complaints) == ["unfit"]
    assert "differ in their outputs: not in the file ['z']" in complaints["unfit"]
