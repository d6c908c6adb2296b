"""Declared tensors must be able to hold what a contract fills in, and to say what it reads."""

import json

import pytest

from ai import declared
from ai.contract import Served, Tensor
from config.models import Model
from dicom.errors import BadAnswer

SETTINGS = Model(endpoints=("127.0.0.1:1",), model="m")
CODE = {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"}
CLASSES = [{"name": CODE}]
NUMBER = {
    "kind": "measurement",
    "name": CODE,
    "unit": {"value": "1", "scheme": "UCUM", "meaning": "no units"},
}


def model(row, datatype, shape, output=None, answers=("FP32", (-1,)), *, batch=0, beside=()):
    """A model with one image input, and one output unless more is said."""
    output = output or {"kind": "embedding"}
    return Served(
        model="m",
        version="1",
        server="s",
        inputs=(Tensor("image", datatype, shape), *(each for _, each in beside)),
        outputs=(Tensor("found", *answers),),
        parameters={
            "penumbra.algorithm": "a",
            "penumbra.algorithm_version": "1",
            "penumbra.procedure": '{"value": "25045-6", "scheme": "LN", "meaning": "CT"}',
            "penumbra.wants.modality": "CT",
            "penumbra.input.image": json.dumps(row),
            "penumbra.output.found": json.dumps(output),
            **{f"penumbra.input.{each.name}": json.dumps(said) for said, each in beside},
        },
        max_batch_size=batch,
    )


@pytest.mark.parametrize(
    ("row", "datatype", "shape", "batch"),
    [
        ({"kind": "volume"}, "INT16", (-1, -1, -1), 0),
        ({"kind": "volume", "layout": "1czyx", "normalise": "unit"}, "FP32", (1, 1, -1, -1, -1), 0),
        ({"kind": "volume", "layout": "1zyx"}, "UINT16", (-1, -1, -1, -1), 4),
        ({"kind": "volume", "size": [8, 16, 32]}, "FP32", (8, 16, 32), 0),
        ({"kind": "volume", "size": [0, 16, 32]}, "FP32", (-1, 16, 32), 0),
        ({"kind": "volume", "size": [16, 32]}, "FP32", (-1, 16, 32), 0),
        ({"kind": "slices", "layout": "ncyx"}, "FP16", (-1, 3, -1, -1), 0),
        ({"kind": "slices"}, "UINT8", (-1, -1, -1), 8),
        ({"kind": "images", "batch": 1}, "FP32", (1, -1, -1), 0),
        ({"kind": "tiles", "normalise": "unit"}, "FP32", (-1, -1, -1, 3), 8),
        ({"kind": "stream", "layout": "nyx"}, "INT16", (-1, -1, -1), 0),
    ],
)
def test_layouts_that_fit_are_taken(row, datatype, shape, batch):
    """Layouts, fixed sizes, colours and a batch's axis are understood."""
    answers = ("FP32", (-1, -1) if row["kind"] in {"slices", "images", "tiles"} else (-1,))
    contract = declared.read(model(row, datatype, shape, answers=answers, batch=batch), SETTINGS)
    (image,) = contract.inputs
    assert (image.datatype, image.shape) == (datatype, shape)
    assert len(image.preparation.layout) == len(shape)
    if batch:
        assert image.preparation.layout[0] == "1" or image.preparation.batch <= batch


@pytest.mark.parametrize(
    ("row", "datatype", "shape", "batch", "words"),
    [
        (
            {"kind": "volume"},
            "INT16",
            (-1, -1),
            0,
            r'needs INT16 \[-1, -1, -1\] by its layout "zyx"',
        ),
        ({"kind": "volume"}, "INT64", (-1, -1, -1), 0, "one of UINT8, INT16"),
        ({"kind": "volume"}, "BYTES", (-1, -1, -1), 0, "one of UINT8, INT16"),
        ({"kind": "volume"}, "INT16", (-1, -1, -1, -1), 2, 'no room for the batch.*"1zyx"'),
        ({"kind": "volume", "normalise": "unit"}, "INT16", (-1, -1, -1), 0, "declare it FP32"),
        ({"kind": "volume"}, "INT16", (-1, 256, 256), 0, 'axis y is fixed.*write "size" with 256'),
        ({"kind": "volume", "layout": "czyx"}, "INT16", (2, -1, -1, -1), 0, "1 or 3 colours"),
        ({"kind": "volume", "layout": "1zyx"}, "INT16", (2, -1, -1, -1), 0, "axis 1 .*length 2"),
        ({"kind": "slices"}, "INT16", (4, -1, -1), 0, 'write "batch": 4'),
        ({"kind": "slices", "batch": 9}, "INT16", (-1, -1, -1), 8, 'write "batch": 8'),
        ({"kind": "tiles", "batch": 1}, "UINT8", (-1, -1, -1, 1), 0, "tiles are RGB"),
        ({"kind": "tiles", "layout": "nyx"}, "UINT8", (-1, -1, -1), 0, "needs the axis c"),
        ({"kind": "spacing"}, "FP32", (3,), 0, "0 inputs are images"),
    ],
)
def test_images_that_do_not_fit_are_named(row, datatype, shape, batch, words):
    """A tensor that cannot hold the prepared images is refused, with what to write."""
    with pytest.raises(BadAnswer, match=words) as caught:
        declared.read(model(row, datatype, shape, batch=batch), SETTINGS)
    assert "model m: parameter penumbra.input" in str(caught.value)


def test_a_second_image_is_refused():
    """A contract has exactly one input of images."""
    second = ({"kind": "volume"}, Tensor("other", "INT16", (-1, -1, -1)))
    with pytest.raises(BadAnswer, match="2 inputs are images; exactly one"):
        declared.read(model({"kind": "volume"}, "INT16", (-1, -1, -1), beside=[second]), SETTINGS)


@pytest.mark.parametrize(
    ("kind", "said", "tensor", "words"),
    [
        ("volume", {"kind": "spacing"}, Tensor("s", "FP32", (3,)), ""),
        ("volume", {"kind": "spacing"}, Tensor("s", "FP32", (-1, 3)), ""),
        ("volume", {"kind": "spacing"}, Tensor("s", "FP32", (2,)), r"needs FP32 \[3\]"),
        ("slices", {"kind": "spacing"}, Tensor("s", "FP32", (2,)), ""),
        ("images", {"kind": "spacing"}, Tensor("s", "FP32", (3,)), r"needs FP32 \[2\]"),
        ("volume", {"kind": "attribute", "keyword": "KVP"}, Tensor("s", "FP32", (1,)), ""),
        ("volume", {"kind": "attribute", "keyword": "KVP"}, Tensor("s", "INT32", (1,)), "FP32"),
        ("volume", {"kind": "attribute", "keyword": "KVP"}, Tensor("s", "FP32", ()), "FP32"),
    ],
)
def test_numbers_beside_the_images_fit(kind, said, tensor, words):
    """Distances and attributes are FP32 of the length that the images' axes ask for."""
    answers = ("FP32", (-1,) if kind == "volume" else (-1, -1))
    served = model({"kind": kind}, "INT16", (-1, -1, -1), answers=answers, beside=[(said, tensor)])
    if not words:
        assert declared.read(served, SETTINGS).inputs[1].name == "s"
        return
    with pytest.raises(BadAnswer, match=words):
        declared.read(served, SETTINGS)


def test_a_batch_of_items_takes_no_row_for_each_request():
    """Where a server batches items, a tensor that has one row a request cannot be sent."""
    beside = [({"kind": "spacing"}, Tensor("s", "FP32", (-1, 2)))]
    served = model(
        {"kind": "slices"},
        "INT16",
        (-1, -1, -1),
        answers=("FP32", (-1, -1)),
        batch=8,
        beside=beside,
    )
    with pytest.raises(BadAnswer, match="set max_batch_size: 0"):
        declared.read(served, SETTINGS)


@pytest.mark.parametrize(
    ("kind", "output", "answers", "is_batched"),
    [
        ("volume", NUMBER, ("FP32", (1,)), False),
        ("volume", NUMBER, ("FP32", (-1, 1)), True),
        ("slices", NUMBER, ("FP32", (-1,)), False),
        ("slices", NUMBER, ("FP32", (-1, 1)), False),
        ("tiles", {**NUMBER, "aggregate": "weighted"}, ("FP32", (-1, 2)), False),
        ("volume", {"kind": "classification", "classes": CLASSES * 3}, ("FP32", (1, 3)), True),
        ("images", {"kind": "classification", "classes": CLASSES}, ("FP32", (-1, 1)), False),
        ("volume", {"kind": "mask", "classes": CLASSES}, ("FP32", (-1, -1, -1)), False),
        ("volume", {"kind": "mask", "classes": CLASSES * 2}, ("UINT8", (-1, -1, -1)), False),
        ("volume", {"kind": "boxes", "classes": CLASSES}, ("FP32", (-1, 6)), False),
        ("volume", {"kind": "boxes", "classes": CLASSES}, ("FP32", (1, -1, 6)), True),
        ("slices", {"kind": "boxes", "classes": CLASSES}, ("FP32", (-1, 100, 5)), False),
        ("tiles", {"kind": "points", "classes": CLASSES}, ("FP32", (-1, 4)), False),
        ("tiles", {"kind": "heatmap", "title": CODE}, ("FP32", (-1, 1)), False),
        ("volume", {"kind": "heatmap", "title": CODE}, ("FP32", (8, 8, 8)), False),
        ("volume", {"kind": "text"}, ("BYTES", (1,)), False),
        ("images", {"kind": "refusal"}, ("BYTES", (-1, 1)), False),
        ("volume", {"kind": "embedding"}, ("FP32", (1, 64)), True),
    ],
)
def test_outputs_that_fit_are_taken(kind, output, answers, is_batched):
    """Each kind of output has its shapes, about the whole or for each item."""
    shape = (-1, -1, -1, 3) if kind == "tiles" else (-1, -1, -1)
    found = declared.read(model({"kind": kind}, "INT16", shape, output, answers), SETTINGS)
    assert found.outputs[0].is_batched is is_batched


@pytest.mark.parametrize(
    ("kind", "output", "answers", "words"),
    [
        ("volume", NUMBER, ("FP64", (1,)), r"declared FP64 \[1\], its kind needs FP32 \[1\]"),
        ("volume", NUMBER, ("FP32", (2,)), r"needs FP32 \[1\]"),
        ("volume", {**NUMBER, "aggregate": "mean"}, ("FP32", (1,)), "input is volume: leave it"),
        ("tiles", NUMBER, ("FP32", (-1,)), 'write "aggregate"'),
        ("tiles", {"kind": "mask", "classes": CLASSES}, ("UINT8", (-1,)), 'is a "heatmap"'),
        ("images", {"kind": "classification", "classes": CLASSES * 2}, ("FP32", (-1, 3)), "-1, 2"),
        ("volume", {"kind": "mask", "classes": CLASSES * 2}, ("FP32", (-1, -1, -1)), "UINT8"),
        ("volume", {"kind": "mask", "classes": CLASSES}, ("UINT8", (-1, -1)), "axes of the input"),
        ("volume", {"kind": "mask", "classes": CLASSES}, ("INT64", (-1,) * 3), "axes of the input"),
        ("volume", {"kind": "boxes", "classes": CLASSES}, ("FP32", (-1, 5)), r"\[-1, 6\]"),
        ("volume", {"kind": "points", "classes": CLASSES}, ("FP32", (4,)), r"\[-1, 4\]"),
        ("volume", {"kind": "embedding"}, ("FP32", (4, 4)), "its kind needs"),
        ("volume", {"kind": "text"}, ("FP32", (1,)), r"BYTES \[1\]"),
        ("volume", {"kind": "heatmap"}, ("FP32", (1, 1, 1)), "needs title"),
        ("volume", {"kind": "boxes"}, ("FP32", (-1, 6)), "needs classes"),
    ],
)
def test_outputs_that_do_not_fit_are_named(kind, output, answers, words):
    """A tensor that cannot say what the contract reads is refused, with what it must be."""
    shape = (-1, -1, -1, 3) if kind == "tiles" else (-1, -1, -1)
    with pytest.raises(BadAnswer, match=words) as caught:
        declared.read(model({"kind": kind}, "INT16", shape, output, answers), SETTINGS)
    assert "model m: parameter penumbra.output.found" in str(caught.value)


@pytest.mark.parametrize(("kind", "words"), [("images", "needs slices"), ("stream", "asked once")])
def test_mirrored_questions_fit_the_input(kind, words):
    """Images have no z to be mirrored along, and a stream is not asked twice."""
    answers = ("FP32", (-1, -1) if kind == "images" else (-1,))
    served = model({"kind": kind}, "INT16", (-1, -1, -1), answers=answers)
    axis = "flip-z" if kind == "images" else "flip-x"
    table = Model.model_validate(
        {"endpoints": ("h:1",), "model": "m", "trust": {"augment": (axis,)}}
    )
    with pytest.raises(BadAnswer, match=words):
        declared.read(served, table)
