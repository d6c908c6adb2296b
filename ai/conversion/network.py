"""Turn the inference path of a frozen TensorFlow graph into ONNX nodes, channels first.

Follows the graph from its output back to its placeholder. What only training needs (dropout and
its switches) is left out: the branch that inference takes is followed instead.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ai.conversion.graphdef import Node, NotUnderstood

_SPATIAL: Final = 3


class Network:
    """ONNX nodes and weights, as they are found."""

    def __init__(self, graph: Mapping[str, Node], placeholder: str) -> None:
        """Take a graph, and the name of the node that stands for the input (channels first)."""
        self.graph = graph
        self.placeholder = placeholder
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self._done: set[str] = set()

    def follow(self, name: str) -> str:
        """Add all that a node needs; return the name of its ONNX value. Raises NotUnderstood."""
        node = self._node(name)
        if node.name == self.placeholder:
            return node.name
        if node.op in {"Identity", "Switch"}:
            return self.follow(node.inputs[0])
        if node.op == "Merge":  # what dropout does when it is not training
            return self.follow(self._inference(node))
        if node.name not in self._done:
            self._done.add(node.name)
            self._translate(node)
        return node.name

    def _node(self, name: str) -> Node:
        found = self.graph.get(name.partition(":")[0])
        if found is None:
            raise NotUnderstood(f"node {name} is missing")
        return found

    def _inference(self, merge: Node) -> str:
        plain = [name for name in merge.inputs if self._node(name).op == "Identity"]
        if len(plain) != 1:
            raise NotUnderstood(f"{merge.name} joins something else than a dropout")
        return plain[0]

    def _translate(self, node: Node) -> None:
        if node.op in {"Relu", "Sigmoid"}:
            self._add(node.op, [self.follow(node.inputs[0])], node)
        elif node.op == "BiasAdd":
            # Along the channels, which stand second here.
            bias = self._constant(node.inputs[1]).reshape(1, -1, *[1] * _SPATIAL)
            self._add("Add", [self.follow(node.inputs[0]), self._weight(node, bias)], node)
        elif node.op == "Conv3D":
            self._convolve(node)
        elif node.op == "Conv3DBackpropInputV2":
            self._convolve_back(node)
        elif node.op == "MaxPool3D":
            self._pool(node)
        elif node.op == "ConcatV2":
            if int(self._constant(node.inputs[-1])) not in {-1, 4}:
                raise NotUnderstood(f"{node.name} joins along another axis than the channels")
            given = [self.follow(name) for name in node.inputs[:-1]]
            self._add("Concat", given, node, axis=1)
        else:
            raise NotUnderstood(f"operation {node.op} of {node.name}")

    def _convolve(self, node: Node) -> None:
        kernel = self._constant(node.inputs[1])  # (z, y, x, in, out)
        sizes = kernel.shape[:_SPATIAL]
        if _steps(node) != (1, 1, 1) or any(size % 2 == 0 for size in sizes) or not _is_same(node):
            raise NotUnderstood(
                f"{node.name}: only odd kernels in steps of one, padded to the same"
            )
        pads = [size // 2 for size in sizes] * 2
        weight = self._weight(node, kernel.transpose(4, 3, 0, 1, 2))
        self._add("Conv", [self.follow(node.inputs[0]), weight], node, pads=pads)

    def _convolve_back(self, node: Node) -> None:
        kernel = self._constant(node.inputs[1])  # (z, y, x, out, in)
        steps, sizes = _steps(node), kernel.shape[:_SPATIAL]
        if not _is_same(node) or any(a < b for a, b in zip(sizes, steps, strict=True)):
            raise NotUnderstood(f"{node.name}: only padded to the same, and without gaps")
        # The forward convolution would pad this much in all, the odd one at the end.
        spare = [size - step for size, step in zip(sizes, steps, strict=True)]
        pads = [one // 2 for one in spare] + [one - one // 2 for one in spare]
        weight = self._weight(node, kernel.transpose(4, 3, 0, 1, 2))
        given = [self.follow(node.inputs[2]), weight]
        self._add("ConvTranspose", given, node, strides=list(steps), pads=pads)

    def _pool(self, node: Node) -> None:
        size, steps = node.integers["ksize"][1:4], _steps(node)
        if node.texts["padding"] != "VALID":
            raise NotUnderstood(f"{node.name}: only without padding")
        given = [self.follow(node.inputs[0])]
        self._add("MaxPool", given, node, kernel_shape=list(size), strides=list(steps))

    def _constant(self, name: str) -> npt.NDArray[Any]:
        node = self._node(name)
        while node.op == "Identity":
            node = self._node(node.inputs[0])
        if node.value is None:
            raise NotUnderstood(f"{node.name} is no constant")
        return node.value

    def _weight(self, node: Node, values: npt.NDArray[Any]) -> str:
        name = f"{node.name}/weight"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _add(self, op: str, given: list[str], node: Node, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, given, [node.name], name=node.name, **attributes))


def _steps(node: Node) -> tuple[int, ...]:
    if node.texts.get("data_format") != "NDHWC" or set(node.integers.get("dilations", (1,))) != {1}:
        raise NotUnderstood(f"{node.name}: only channels last, without dilation")
    strides = node.integers["strides"]
    if (strides[0], strides[4]) != (1, 1):
        raise NotUnderstood(f"{node.name}: steps over images or channels")
    return strides[1:4]


def _is_same(node: Node) -> bool:
    return node.texts["padding"] == "SAME"
