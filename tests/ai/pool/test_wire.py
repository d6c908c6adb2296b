"""What goes over the wire is what tritonclient itself would send."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2
from tritonclient.grpc._utils import _get_inference_request
from tritonclient.utils import np_to_triton_dtype

from ai.contract import Served, Tensor
from ai.endpoint import Call, Step
from ai.triton import newest
from ai.triton_wire import Given, Writer

dtypes = st.sampled_from([np.dtype(name) for name in ("i2", "u1", "f4", "f8", "?", "u8", "f2")])
numbers = arrays.arrays(dtypes, arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
texts = st.lists(st.binary(max_size=200), min_size=1, max_size=4).map(
    lambda found: np.array(found, dtype=np.object_)
)


def served(found, levels=0):
    inputs = tuple(
        Tensor(f"in{i}", np_to_triton_dtype(array.dtype), array.shape)
        for i, array in enumerate(found)
    )
    return Served("m", "3", "triton", inputs, (Tensor("out", "FP32", (1,)),), {}, 0, levels)


def theirs(model, found, **keys):
    inputs = []
    for tensor, array in zip(model.inputs, found, strict=True):
        given_input = InferInput(tensor.name, list(array.shape), tensor.datatype)
        given_input.set_data_from_numpy(array)
        inputs.append(given_input)
    keys = {"sequence_id": 0, "sequence_start": False, "sequence_end": False, "priority": 0, **keys}
    return _get_inference_request(
        model_name="m", model_version="3", request_id="r-1", inputs=inputs,
        outputs=[InferRequestedOutput("out")], timeout=None, parameters=None, **keys,
    )  # fmt: skip


def ours(model, found, writer=None, **keys):
    given_inputs = [Given(*each) for each in zip(model.inputs, found, strict=True)]
    call = Call(served=model, tensors={}, timeout_s=1, **keys)
    written = (writer or Writer()).request(call, "r-1", given_inputs)
    return service_pb2.ModelInferRequest.FromString(written)


@given(st.lists(numbers | texts, min_size=1, max_size=3))
def test_any_arrays_are_written_as_tritonclient_writes_them(found):
    """Names, shapes and bytes are the same, for numbers of any type and for texts."""
    model = served(found)
    assert ours(model, found) == theirs(model, found)


@given(st.lists(numbers | texts, min_size=1, max_size=2), st.data())
def test_one_request_says_nothing_of_the_one_before(found, data):
    """Whatever changed since, arrays, shapes, model, urgency or sequence, is what is written."""
    writer, model = Writer(), served(found, levels=2)
    steps = st.sampled_from([None, Step(5, is_first=True, is_last=False)])
    for _ in range(3):
        if data.draw(st.booleans(), "others"):
            found = data.draw(st.lists(numbers | texts, min_size=1, max_size=2))
            model = served(found, levels=2)
        urgent, step = data.draw(st.booleans(), "urgent"), data.draw(steps)
        sequence = {} if step is None else {"sequence_id": 5, "sequence_start": True}
        expected = theirs(model, found, priority=1 if urgent else 0, **sequence)
        assert ours(model, found, writer, urgent=urgent, step=step) == expected


def test_arrays_of_another_shape_are_written_by_theirs():
    """A model that takes any number of slices is told how many it gets this time."""
    writer, slices = Writer(), np.zeros((5, 4), np.int16)
    model = served([slices])
    for count in (5, 3, 3, 5):
        assert ours(model, [slices[:count]], writer) == theirs(model, [slices[:count]])


def test_arrays_in_another_order_of_axes_are_written_by_their_axes():
    """A transposed view is sent as what it shows, not as it lies in memory."""
    found = [np.arange(24, dtype=np.int16).reshape(2, 3, 4).transpose(2, 0, 1)]
    assert ours(served(found), found) == theirs(served(found), found)


def test_long_arrays_have_their_length():
    """Lengths of several bytes are written right."""
    for size in (127, 128, 16_383, 16_384, 3_000_000):
        found = [np.full(size, 7, dtype=np.uint8)]
        assert ours(served(found), found) == theirs(served(found), found)


@pytest.mark.parametrize(
    ("keys", "their_keys", "levels"),
    [
        ({"urgent": True}, {"priority": 1}, 2),
        ({"urgent": True}, {}, 0),
        ({"urgent": False}, {}, 2),
        (
            {"step": Step(2**61, is_first=True, is_last=False)},
            {"sequence_id": 2**61, "sequence_start": True},
            0,
        ),
        (
            {"step": Step(5, is_first=False, is_last=True)},
            {"sequence_id": 5, "sequence_end": True},
            0,
        ),
    ],
)
def test_priority_and_sequence_are_parameters(keys, their_keys, levels):
    """Urgent requests are first where the model has priorities; a sequence has its marks."""
    found = [np.zeros((1, 2), dtype=np.int16)]
    model = served(found, levels)
    assert ours(model, found, **keys) == theirs(model, found, **their_keys)


def test_a_tensor_in_shared_memory_is_named_and_not_sent():
    """Its place is told, beside others whose bytes are sent in their order."""
    found = [np.zeros(9, np.int16), np.array([b"a"], np.object_), np.zeros(2, np.float32)]
    model = served(found)
    where = [("r", 0), ("", 0), ("r", 64)]
    inputs = [
        Given(tensor, array, *place)
        for tensor, array, place in zip(model.inputs, found, where, strict=True)
    ]
    message = service_pb2.ModelInferRequest.FromString(
        Writer().request(Call(model, {}, 1.0), "r-1", inputs)
    )
    assert list(message.raw_input_contents) == [b"\x01\x00\x00\x00a"]
    told = [
        {name: each.string_param or each.int64_param for name, each in row.parameters.items()}
        for row in message.inputs
    ]
    assert told == [
        {"shared_memory_region": "r", "shared_memory_byte_size": 18},
        {},
        {
            "shared_memory_region": "r",
            "shared_memory_byte_size": 8,
            "shared_memory_offset": 64,
        },
    ]


@pytest.mark.parametrize(
    ("versions", "found"),
    [(["1", "10", "9"], "10"), (["a", "b"], "b"), (["v9", "1"], "1"), ([], "")],
)
def test_the_newest_version_is_the_highest_number(versions, found):
    """Versions are numbers; names come after them, and none is none."""
    assert newest(versions) == found
