"""The small convolutional network whose map of evidence is its answer's own explanation.

Every class has a map of evidence, 32 x 32; its logit is a soft maximum over that map, so the map
says which places made the logit (class activation mapping). Imports PyTorch.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from ai.training.synthetic import FINDINGS

WIDTHS: Final = ((16, 5, 2, 1), (24, 3, 2, 1), (32, 3, 1, 1), (48, 3, 1, 2), (48, 3, 1, 4))
"""(channels, kernel, stride, dilation) of each layer but the last."""
EMBEDDING: Final = 64


class Network(nn.Module):
    """Images (n, 1, y, x) to logits (n, classes), evidence (n, classes, y/4, x/4), features."""

    def __init__(self) -> None:
        super().__init__()
        layers, before = [], 1
        for channels, kernel, stride, dilation in (*WIDTHS, (EMBEDDING, 3, 1, 8)):
            layers.append(_layer(before, channels, kernel, stride, dilation))
            before = channels
        self.layers = nn.ModuleList(layers)
        self.evidence = nn.Conv2d(EMBEDDING, len(FINDINGS), 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (logits, evidence, features (n, 64)); each image's exposure is taken out first."""
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        spread = (images - mean).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        values = (images - mean) / (spread + 1e-6)
        for layer in self.layers:
            values = layer(values)
        evidence = self.evidence(values)
        # Between the mean, which a small nodule hardly moves, and the maximum, which noise does.
        logits = torch.log(torch.exp(evidence).mean(dim=(2, 3)))
        return logits, evidence, values.mean(dim=(2, 3))

    def freeze(self, count: int) -> None:
        """Keep the first layers as they are: their weights and their running statistics.

        Raises ValueError when there are not so many.
        """
        if not 0 <= count <= len(self.layers):
            raise ValueError(f"the network has {len(self.layers)} layers to freeze, not {count}")
        for layer in self.layers[:count]:
            layer.requires_grad_(False)

    def train(self, mode: bool = True) -> "Network":  # noqa: FBT001, FBT002  (PyTorch's own signature)
        """Choose training or evaluation; frozen layers stay in evaluation."""
        super().train(mode)
        for layer in self.layers:
            if not any(weight.requires_grad for weight in layer.parameters()):
                layer.eval()
        return self


class Served(nn.Module):
    """What is exported: the trained network with its temperature, and the outputs of a contract."""

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (probability, logit, activation, embedding).

        The activation (n, y, x) is the positive evidence for the most probable finding that is
        not "normal": where it would be, if it were there.
        """
        logits, evidence, features = self.network(images)
        probability = torch.softmax(logits / self.temperature, dim=1)
        findings = logits[:, 1:]
        chosen = (findings >= findings.max(dim=1, keepdim=True).values).to(evidence.dtype)
        activation = torch.relu((evidence[:, 1:] * chosen[:, :, None, None]).sum(dim=1))
        return probability, logits, activation, features


def start_from(network: Network, weights: Mapping[str, Any]) -> tuple[str, ...]:
    """Take over the weights whose names and shapes fit (transfer learning); return their names.

    Raises ValueError when none fits: then they belong to another network.
    """
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in weights.items()
        if name in own and own[name].shape == value.shape
    }
    if not fitting:
        raise ValueError("none of the given weights fits this network")
    network.load_state_dict({**own, **fitting})
    return tuple(fitting)


def _layer(before: int, channels: int, kernel: int, stride: int, dilation: int) -> nn.Sequential:
    pad = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(before, channels, kernel, stride, pad, dilation, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )
