"""Run a frozen TensorFlow graph in numpy, node by node: what a conversion is compared with.

Slow and literal, channels last as in the graph, and without a line that ai/conversion/network.py
uses: a mistake made there is not made here as well. Dropout is off.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ai.conversion.graphdef import Node

Array = npt.NDArray[Any]


def run(graph: Mapping[str, Node], output: str, feed: Mapping[str, Array]) -> Array:
    """Compute one node's first output from arrays by the name of their placeholder."""
    known: dict[str, Array] = dict(feed)

    def value(name: str) -> Array:
        node = graph[name.partition(":")[0]]
        if node.name not in known:
            # A Merge gives what arrived: without training that is the branch of Identity.
            given = [one for one in node.inputs if not one.startswith("^")]
            if node.op == "Merge":
                given = [one for one in given if graph[one].op == "Identity"]
            elif node.op == "Switch":
                given = given[:1]
            elif node.op == "Conv3DBackpropInputV2":
                given = given[1:]  # the shape of the result is known without
            known[node.name] = _compute(node, [value(one) for one in given])
        return known[node.name]

    return value(output)


def _compute(node: Node, given: list[Array]) -> Array:
    result: Array
    match node.op:
        case "Const":
            assert node.value is not None
            result = node.value
        case "Identity" | "Merge" | "Switch":
            result = given[0]
        case "BiasAdd":
            result = given[0] + given[1]
        case "Relu":
            result = np.maximum(given[0], 0)
        case "Sigmoid":
            result = 1 / (1 + np.exp(np.minimum(-given[0], 80)))
        case "ConcatV2":
            result = np.concatenate(given[:-1], axis=int(given[-1]))
        case "MaxPool3D":
            result = _pool(given[0])
        case "Conv3D":
            result = _convolve(*given)
        case "Conv3DBackpropInputV2":
            result = _spread(*given)
        case _:
            raise NotImplementedError(f"{node.op} is in no graph that is converted here")
    return result


def _pool(image: Array) -> Array:
    """Take the greatest of each 2 x 2 x 2 voxels."""
    count, depth, height, width, channels = image.shape
    blocks = image.reshape(count, depth // 2, 2, height // 2, 2, width // 2, 2, channels)
    greatest: Array = blocks.max(axis=(2, 4, 6))
    return greatest


def _convolve(image: Array, kernel: Array) -> Array:
    """Sum the image, shifted by each place of the kernel (z, y, x, in, out), zeros outside."""
    reach = [size // 2 for size in kernel.shape[:3]]
    padded = np.pad(image, [(0, 0), *[(one, one) for one in reach], (0, 0)])
    depth, height, width = image.shape[1:4]
    total = np.zeros((*image.shape[:4], kernel.shape[4]), dtype=np.float64)
    for z, y, x in np.ndindex(*kernel.shape[:3]):
        total += padded[:, z : z + depth, y : y + height, x : x + width] @ kernel[z, y, x]
    return total.astype(np.float32)


def _spread(kernel: Array, image: Array) -> Array:
    """Spread each voxel over the kernel (z, y, x, out, in), two apart.

    The forward convolution with "SAME" in steps of two starts at the first voxel, so that what
    reaches beyond the doubled size is cut off at the end.
    """
    count, *sizes = image.shape[:4]
    longest = [2 * size + kernel.shape[axis] for axis, size in enumerate(sizes)]
    total = np.zeros((count, *longest, kernel.shape[3]), dtype=np.float64)
    for z, y, x in np.ndindex(*kernel.shape[:3]):
        part = image @ kernel[z, y, x].T
        total[:, z : z + 2 * sizes[0] : 2, y : y + 2 * sizes[1] : 2, x : x + 2 * sizes[2] : 2] += (
            part
        )
    doubled: Array = total[:, : 2 * sizes[0], : 2 * sizes[1], : 2 * sizes[2]]
    return doubled.astype(np.float32)
