"""Write wsi_labelling: a labelling index by H-DAB colour deconvolution, as one ONNX graph.

Nothing is learnt: the graph is the method. Optical density of each pixel is parted into
haematoxylin, DAB and a rest along the stain vectors that Ruifrok and Johnston measured (2001); what
lies above a threshold is nucleus, and labelled where the DAB does. Imports onnx.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, checker, helper, numpy_helper, save

TILE: Final = 256
_OPSET: Final = 18
HAEMATOXYLIN: Final = (0.650, 0.704, 0.286)
DAB: Final = (0.268, 0.570, 0.776)
"""Optical densities of red, green and blue for one unit of stain."""
NUCLEUS_FROM: Final = 0.25
"""Units of both stains together from which a pixel is nucleus."""
LABELLED_FROM: Final = 0.15
"""Units of DAB from which a nucleus is labelled there."""
STAINED_FROM: Final = 0.10
"""Units of both from which a pixel's colour is looked at."""
UNEXPLAINED_MOST: Final = 0.20
"""Share of the colour that may be neither stain; above it the slide is another staining."""
REFUSAL: Final = "the colours are not those of haematoxylin and DAB"
_IR_VERSION: Final = 8
_INPUT: Final = "tiles"


def unmixing() -> npt.NDArray[np.float32]:
    """Give the matrix (stain, colour) that turns optical densities into units of stain."""
    first, second = (np.array(stain) / np.linalg.norm(stain) for stain in (HAEMATOXYLIN, DAB))
    rest = np.cross(first, second)
    stains = np.stack([first, second, rest / np.linalg.norm(rest)])
    return np.asarray(np.linalg.inv(stains).T, dtype=np.float32)


def write(path: Path) -> None:
    """Write the graph: tiles UINT8 (n, 256, 256, 3) to labelling, heat map and refusal."""
    graph = _Graph()
    stains = _stains(graph)
    nuclei, labelled = _areas(graph, stains)
    share = graph("Div", labelled, graph("Max", nuclei, graph.number(1.0)))
    percent = graph("Mul", share, graph.number(100.0), name="labelled_percent")
    graph("Concat", percent, nuclei, name="labelling", axis=1)
    _refusal(graph, stains)
    outputs = [
        helper.make_tensor_value_info("labelling", TensorProto.FLOAT, ["n", 2]),
        helper.make_tensor_value_info("labelled_percent", TensorProto.FLOAT, ["n", 1]),
        helper.make_tensor_value_info("refusal", TensorProto.STRING, ["n"]),
    ]
    given = helper.make_tensor_value_info(_INPUT, TensorProto.UINT8, ["n", TILE, TILE, 3])
    made = helper.make_graph(graph.nodes, "wsi_labelling", [given], outputs, graph.constants)
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, path)


def _stains(graph: "_Graph") -> str:
    """Units of stain (n, 3, y, x)."""
    channels_first = graph("Transpose", _INPUT, perm=[0, 3, 1, 2])
    light = graph("Cast", channels_first, to=TensorProto.FLOAT)
    shown = graph("Div", graph("Add", light, graph.number(1.0)), graph.number(256.0))
    density = graph("Mul", graph("Log", shown), graph.number(-1 / np.log(10)))
    weights = graph.constant(unmixing()[:, :, np.newaxis, np.newaxis])
    return graph("Conv", density, weights, kernel_shape=[1, 1])


def _areas(graph: "_Graph", stains: str) -> tuple[str, str]:
    """Pixels of nuclei, and of labelled ones, of each tile (n, 1)."""
    blue, brown = (graph("Relu", _stain(graph, stains, which)) for which in (0, 1))
    both = graph("Add", blue, brown)
    nucleus = graph("GreaterOrEqual", both, graph.number(NUCLEUS_FROM))
    labelled = graph("GreaterOrEqual", brown, graph.number(LABELLED_FROM))
    return _count(graph, nucleus), _count(graph, graph("And", nucleus, labelled))


def _refusal(graph: "_Graph", stains: str) -> None:
    """Words for each tile (n,) where the request's colours are largely neither stain."""
    size = graph("Abs", stains)
    each = [_stain(graph, size, which) for which in range(3)]
    total = graph("Sum", *each)
    looked_at = graph(
        "Cast",
        graph("GreaterOrEqual", total, graph.number(STAINED_FROM)),
        to=TensorProto.FLOAT,
    )
    rest = graph("ReduceSum", graph("Mul", each[2], looked_at), keepdims=0)
    whole = graph("ReduceSum", graph("Mul", total, looked_at), keepdims=0)
    limit = graph("Mul", whole, graph.number(UNEXPLAINED_MOST))
    words = graph(
        "Where",
        graph("Greater", rest, limit),
        graph.constant(np.array([REFUSAL], dtype=object)),
        graph.constant(np.array([""], dtype=object)),
    )
    count = graph("Shape", _INPUT, start=0, end=1)
    graph("Expand", words, count, name="refusal")


def _stain(graph: "_Graph", stains: str, which: int) -> str:
    return graph("Gather", stains, graph.constant(np.array([which], dtype=np.int64)), axis=1)


def _count(graph: "_Graph", mask: str) -> str:
    ones = graph("Cast", mask, to=TensorProto.FLOAT)
    axes = graph.constant(np.array([2, 3], dtype=np.int64))
    return graph("ReduceSum", ones, axes, keepdims=0)


class _Graph:
    """Collects nodes and constants; calling it adds a node and returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))
