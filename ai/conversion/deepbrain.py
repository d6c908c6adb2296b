"""Convert the brain extraction network of PyPI's deepbrain 0.1 (MIT) to ai/serving's mr_brain.

    pip download deepbrain==0.1 --no-deps --no-binary :all:
    python -m ai.conversion.deepbrain deepbrain-0.1.tar.gz

writes ai/serving/repository/mr_brain/1/model.onnx. TensorFlow is not needed. With --fixture FILE it
also runs the original graph in numpy on `probe()`, says how far the two are apart, and keeps every
eighth value along each axis for the test of parity.
"""

import argparse
import hashlib
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from ai.conversion import graphdef
from ai.conversion.graphdef import Node
from ai.conversion.network import Network

SIZE: Final = 128
"""Voxels along each axis that the network takes."""
SDIST_SHA256: Final = "6103f9d7dcec2ac6312e24eaaa1d059c96f2e2a478f549fe0811ddb2597cc49a"
GRAPH_SHA256: Final = "6be50752ff151808dc7f8059fef39852759de8502d831949b40e991502225a2a"
GRAPH: Final = "deepbrain-0.1/deepbrain/models/graph.pb"
MODEL: Final = (
    Path(__file__).parents[1] / "serving" / "repository" / "mr_brain" / "1" / "model.onnx"
)
STRIDE: Final = 8
"""Of the values that the fixture keeps."""
SMALLEST_ML, LARGEST_ML = 300.0, 2500.0
LONGEST_ECHO_MS: Final = 30.0
CUT_SHARE: Final = 0.01
"""Of the brain's voxels that may lie in the outermost layer."""
REFUSALS: Final = (
    "",
    "echo time above 30 ms: the images are not T1-weighted",
    "no brain was found (less than 300 mL)",
    "more than 2500 mL were found: this is no brain",
    "the brain reaches the edge of the images: it is cut off",
)
_OPSET: Final = 17
_IR_VERSION: Final = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert the source distribution that the command line names."""
    parser = argparse.ArgumentParser(description="Convert deepbrain 0.1 to ONNX.")
    parser.add_argument("sdist", type=Path, help="deepbrain-0.1.tar.gz, as pip downloads it")
    parser.add_argument("--out", type=Path, default=MODEL)
    parser.add_argument("--fixture", type=Path, help="run the original too, and keep its values")
    given = parser.parse_args(arguments)
    graph = graphdef.read(unpack(given.sdist))
    model = convert(graph)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_bytes(model.SerializeToString(deterministic=True))
    if given.fixture:
        np.savez_compressed(
            given.fixture, probability=original(graph)[::STRIDE, ::STRIDE, ::STRIDE]
        )
    sys.stdout.write(f"{given.out}: {given.out.stat().st_size} bytes\n")
    return 0


def unpack(sdist: Path) -> bytes:
    """Give the frozen graph of the source distribution; raises ValueError when it is another."""
    if hashlib.sha256(sdist.read_bytes()).hexdigest() != SDIST_SHA256:
        raise ValueError(f"{sdist} is not deepbrain-0.1.tar.gz of PyPI")
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(GRAPH)
        assert member is not None
        graph = member.read()
    if hashlib.sha256(graph).hexdigest() != GRAPH_SHA256:
        raise ValueError(f"{GRAPH} is not the graph that is known")
    return graph


def probe() -> npt.NDArray[np.float32]:
    """Make an input (z, y, x) with a skull, a brain and ripples, the same on every machine."""
    z, y, x = (np.indices((SIZE,) * 3, dtype=np.float64) - (SIZE - 1) / 2) / (SIZE / 2)
    away = np.sqrt((z / 0.8) ** 2 + (y / 0.85) ** 2 + (x / 0.7) ** 2)
    image = np.select([away < 0.75, away < 0.85, away < 1], [0.55, 0.1, 0.8], 0.0)
    ripples = 0.12 * np.sin(9 * z + 2) * np.sin(13 * y) * np.sin(11 * x + 1)
    return np.where(away < 1, np.clip(image + ripples, 0, 1), 0).astype(np.float32)


def original(graph: dict[str, Node]) -> npt.NDArray[np.float32]:
    """Run the original graph on the probe, scaled as deepbrain does; (z, y, x)."""
    from ai.conversion import numpy_graph

    image = probe()
    fed = (image / image.max()).reshape(1, SIZE, SIZE, SIZE, 1)
    found: npt.NDArray[np.float32] = numpy_graph.run(graph, "prob", {"img": fed})
    return found.reshape(SIZE, SIZE, SIZE)


def convert(graph: dict[str, Node]) -> ModelProto:
    """Build the whole model: scaling, network, volume, and the words of a refusal.

    Raises NotUnderstood when the graph holds operations that are not translated.
    """
    network = Network(graph, "img")
    probability = network.follow("prob")
    parts = _Parts()
    parts.add("ReduceMax", ["volume"], "brightest", keepdims=0)
    parts.add("Max", ["brightest", parts.number("tiny", 1e-6)], "divisor")
    parts.add("Div", ["volume", "divisor"], "scaled")
    parts.add("Reshape", ["scaled", parts.integers("as_image", [1, 1, SIZE, SIZE, SIZE])], "img")
    parts.nodes += network.nodes
    parts.add("Reshape", [probability, parts.integers("as_volume", [SIZE] * 3)], "brain")
    _measure(parts)
    _refuse(parts)
    cube = [SIZE] * 3
    made = helper.make_graph(
        parts.nodes,
        "mr_brain",
        [_tensor("volume", cube), _tensor("spacing", [3]), _tensor("echo_time_ms", [1])],
        [
            _tensor("brain", cube),
            _tensor("brain_volume_ml", [1]),
            helper.make_tensor_value_info("refusal", TensorProto.STRING, [1]),
        ],
        [*parts.weights, *network.weights],
    )
    model: ModelProto = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="penumbra",
    )
    facts = {
        "source": f"deepbrain 0.1, {GRAPH}, sha256 {GRAPH_SHA256}",
        "licence": "MIT, Copyright (c) 2018 Ivan Itzcovich",
    }
    helper.set_model_props(model, facts)
    checker.check_model(model)
    return model


class _Parts:
    """Nodes and constants round the network."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, op: str, given: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, given, [name], name=name, **attributes))
        return name

    def number(self, name: str, value: float) -> str:
        self.weights.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
        return name

    def integers(self, name: str, values: list[int]) -> str:
        self.weights.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name


def _measure(parts: _Parts) -> None:
    """Count voxels of more than one half, and turn them into mL."""
    parts.add("Greater", ["brain", parts.number("half", 0.5)], "is_brain")
    parts.add("Cast", ["is_brain"], "ones", to=TensorProto.FLOAT)
    parts.add("ReduceSum", ["ones"], "voxels", keepdims=0)
    parts.add("ReduceProd", ["spacing"], "voxel_mm3", keepdims=0)
    parts.add("Mul", ["voxels", "voxel_mm3"], "brain_mm3")
    parts.add("Div", ["brain_mm3", parts.number("mm3_per_ml", 1000)], "brain_ml")
    one = parts.integers("one_value", [1])
    parts.add("Reshape", ["brain_ml", one], "brain_volume_ml")
    inner = [parts.integers(name, [at] * 3) for name, at in (("second", 1), ("last", SIZE - 1))]
    parts.add("Slice", ["ones", *inner], "inner")
    parts.add("ReduceSum", ["inner"], "inner_voxels", keepdims=0)
    parts.add("Sub", ["voxels", "inner_voxels"], "outer_voxels")
    parts.add("Mul", ["voxels", parts.number("cut_share", CUT_SHARE)], "most_outer_voxels")


def _refuse(parts: _Parts) -> None:
    """Choose the words: the first of the reasons that holds, or none."""
    conditions = (
        ("Greater", "echo_time_ms", parts.number("longest_echo", LONGEST_ECHO_MS)),
        ("Less", "brain_volume_ml", parts.number("smallest", SMALLEST_ML)),
        ("Greater", "brain_volume_ml", parts.number("largest", LARGEST_ML)),
        ("Greater", "outer_voxels", "most_outer_voxels"),
    )
    chosen = parts.integers("reason_0", [0])
    for number, (op, left, right) in reversed(list(enumerate(conditions, 1))):
        holds = parts.add(op, [left, right], f"holds_{number}")
        which = parts.integers(f"reason_{number}", [number])
        chosen = parts.add("Where", [holds, which, chosen], f"chosen_{number}")
    texts = np.array(REFUSALS, dtype=np.object_)
    parts.weights.append(numpy_helper.from_array(texts, "words"))
    parts.add("Gather", ["words", chosen], "refusal")


def _tensor(name: str, shape: list[int]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


if __name__ == "__main__":
    sys.exit(main())
