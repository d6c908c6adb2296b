"""Write a trained network as ONNX, with what its contract answers inside. Imports PyTorch."""

import contextlib
import io
from pathlib import Path
from typing import Final

import torch

from ai.training.network import Network, Served
from ai.training.synthetic import SIZE

INPUT: Final = "images"
OUTPUTS: Final = ("probability", "logit", "activation", "embedding")
OPSET: Final = 18
"""What ONNX Runtime reads in the Triton containers of 2024 and later."""


def write(network: Network, temperature: float, path: Path) -> None:
    """Write one file that takes any number of images (n, 1, 128, 128)."""
    served = Served(network, temperature).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):  # the exporter tells of its own steps
        torch.onnx.export(
            served,
            (torch.zeros(2, 1, SIZE, SIZE),),
            path,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            external_data=False,
        )
