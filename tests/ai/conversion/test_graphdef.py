"""A frozen TensorFlow graph is read, run in numpy and converted, without TensorFlow."""

import contextlib

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, checker, helper

from ai.conversion import graphdef, numpy_graph
from ai.conversion.graphdef import Node, NotUnderstood
from ai.conversion.network import Network

SIZE = 8


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """Encode one field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % 2**64)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(array):
    sizes = b"".join(field(2, field(1, size)) for size in array.shape)
    kind = {"f": 1, "i": 3}[array.dtype.kind]
    return field(1, kind) + field(2, sizes) + field(4, array.tobytes())


def node(name, op, *inputs, **attributes):
    body = field(1, name.encode()) + field(2, op.encode())
    body += b"".join(field(3, one.encode()) for one in inputs)
    for key, value in attributes.items():
        if isinstance(value, str):
            held = field(2, value.encode())
        elif isinstance(value, np.ndarray):
            held = field(8, tensor(value))
        else:
            held = field(1, field(3, b"".join(varint(one) for one in value)))
        body += field(5, field(1, key.encode()) + field(2, held))
    return field(1, body)


def network():
    """Every operation that is known, once: down, dropout, up again, joined, one channel."""
    chance = np.random.default_rng(7)

    def constant(name, *shape):
        values = chance.normal(0, 0.4, shape).astype(np.float32)
        return node(name, "Const", value=values)

    one, two = (1, 1, 1, 1, 1), (1, 2, 2, 2, 1)
    last = {"data_format": "NDHWC"}
    same = {"strides": one, "padding": "SAME", **last}
    return b"".join([
        node("img", "PlaceholderWithDefault"),
        constant("k1", 3, 3, 3, 1, 4),
        node("k1/read", "Identity", "k1"),
        constant("b1", 4),
        node("conv", "Conv3D", "img", "k1/read", **same),
        node("bias", "BiasAdd", "conv", "b1", data_format="NHWC"),
        node("relu", "Relu", "bias"),
        node("pool", "MaxPool3D", "relu", ksize=two, strides=two, padding="VALID", **last),
        node("switch", "Switch", "pool", "training"),
        node("kept", "Identity", "switch"),
        node("dropped", "Mul", "switch:1", "chance"),
        node("merge", "Merge", "kept", "dropped"),
        constant("k2", 3, 3, 3, 5, 4),
        node("up", "Conv3DBackpropInputV2", "shape", "k2", "merge", strides=two, padding="SAME",
             **last),
        node("axis", "Const", value=np.array(-1, dtype="<i4")),
        node("joined", "ConcatV2", "up", "relu", "axis"),
        constant("k3", 1, 1, 1, 9, 1),
        node("flat", "Conv3D", "joined", "k3", **same),
        node("prob", "Sigmoid", "flat"),
    ])  # fmt: skip


def test_conversion_and_original_agree():
    """Paddings, strides and axes of each operation come out the same in ONNX Runtime."""
    graph = graphdef.read(network())
    image = np.random.default_rng(3).random((1, SIZE, SIZE, SIZE, 1)).astype(np.float32)
    wanted = numpy_graph.run(graph, "prob", {"img": image})
    made = Network(graph, "img")
    name = made.follow("prob")
    shape = [1, 1, SIZE, SIZE, SIZE]
    info = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            made.nodes, "g", [info("img", TensorProto.FLOAT, shape)],
            [info(name, TensorProto.FLOAT, shape)], made.weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"img": image.reshape(shape)})
    assert np.ptp(wanted) > 0.1
    assert np.abs(found.reshape(wanted.shape) - wanted).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("relu", {"op": "Elu"}, "operation Elu"),
        ("conv", {"texts": {"padding": "VALID", "data_format": "NDHWC"}}, "padded to the same"),
        ("conv", {"texts": {"padding": "SAME", "data_format": "NCDHW"}}, "channels last"),
        ("axis", {"value": np.array(1)}, "another axis"),
        ("merge", {"inputs": ("dropped", "pool")}, "something else than a dropout"),
        ("prob", {"inputs": ("gone",)}, "gone is missing"),
    ],
)
def test_what_is_not_understood_is_not_converted(name, change, words):
    """Another operation or padding is named; nothing is converted by guess."""
    graph = graphdef.read(network())
    old = graph[name]
    facts = {
        key: change.get(key, getattr(old, key))
        for key in ("op", "inputs", "value", "texts", "integers")
    }
    graph[name] = Node(name, **facts)
    with pytest.raises(NotUnderstood, match=words):
        Network(graph, "img").follow("prob")


@given(st.data())
def test_damaged_graphs_raise_one_fault(data):
    """Cut off or overwritten anywhere, a graph is read or refused, never anything else."""
    whole = bytearray(network())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(NotUnderstood):
        graphdef.read(bytes(whole[:end]))
