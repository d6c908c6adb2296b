"""Fit the network's weights, and stop when the validation set stops gaining. Imports PyTorch."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ai.training.dataset import Images
from ai.training.network import Network
from ai.training.synthetic import FINDINGS, Finding

NODULE: Final = FINDINGS.index(Finding.NODULE)
PLACE_WEIGHT: Final = 0.2
"""Of the loss that asks for a nodule's evidence where the nodule is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train."""

    epochs: int = 30
    """At most."""
    patience: int = 5
    """Epochs without gain after which training stops."""
    batch: int = 32
    rate: float = 3e-3
    """The learning rate's peak (one cycle)."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the training set came to."""

    number: int
    train_loss: float
    validation_loss: float
    is_best: bool


def fit(
    network: Network, train: Images, validation: Images, plan: Plan, tell: Callable[[Epoch], None]
) -> tuple[Epoch, ...]:
    """Train in place and leave the weights of the best epoch; `tell` hears of each epoch."""
    torch.manual_seed(plan.seed)
    chance = np.random.default_rng(plan.seed)
    wanted = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(wanted, lr=plan.rate, weight_decay=1e-3)
    steps = plan.epochs * (train.labels.size // plan.batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps)
    best, kept, history = float("inf"), _copied(network), list[Epoch]()
    for number in range(1, plan.epochs + 1):
        train_loss = _pass(network, _batches(train, plan.batch, chance), optimiser, rate)
        loss = log_loss(network, validation)
        history.append(Epoch(number, train_loss, loss, loss < best))
        tell(history[-1])
        if loss < best:
            best, kept = loss, _copied(network)
        elif number - next(e.number for e in reversed(history) if e.is_best) >= plan.patience:
            break
    network.load_state_dict(kept)
    return tuple(history)


def logits(network: Network, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Ask the network about many images."""
    network.eval()
    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(pixels[at : at + 64]))[0].numpy()
            for at in range(0, len(pixels), 64)
        ]
    return np.concatenate(parts)


def log_loss(network: Network, images: Images) -> float:
    """Give the mean log loss over a set."""
    scores = torch.from_numpy(logits(network, images.pixels))
    return float(nn.functional.cross_entropy(scores, torch.from_numpy(images.labels)))


def _batches(train: Images, batch: int, chance: np.random.Generator) -> Iterator[Images]:
    order = chance.permutation(train.labels.size)
    for at in range(0, order.size - batch + 1, batch):
        chosen = order[at : at + batch]
        moves = chance.integers(-3, 4, (batch, 2))
        pixels = _exposed_anew(train.pixels[chosen], moves, chance)
        places = train.places[chosen] + moves.astype(np.float32)
        yield Images(pixels, train.labels[chosen], places)


def _pass(network: Network, batches: Iterable[Images], optimiser: Any, rate: Any) -> float:
    network.train()
    losses = []
    for some in batches:
        scores, evidence, _ = network(torch.from_numpy(some.pixels))
        loss = nn.functional.cross_entropy(scores, torch.from_numpy(some.labels))
        if (has_place := some.labels == NODULE).any():
            cell = some.pixels.shape[-1] / evidence.shape[-1]
            map_ = evidence[torch.from_numpy(has_place), NODULE]
            loss = loss + PLACE_WEIGHT * _place_loss(map_, some.places[has_place] / cell)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def _place_loss(evidence: torch.Tensor, places: npt.NDArray[np.float32]) -> torch.Tensor:
    """Say how far the evidence (n, y, x) is from a soft spot on each place, in its cells.

    Without it the network may gather its evidence anywhere, and the map would explain nothing.
    """
    count, rows, columns = evidence.shape
    y, x = np.arange(rows) + 0.5, np.arange(columns) + 0.5
    away = (y[:, np.newaxis] - places[:, :1, np.newaxis]) ** 2 + (
        x - places[:, 1:, np.newaxis]
    ) ** 2
    spot = np.exp(-away / 2).reshape(count, -1)
    wanted = torch.from_numpy((spot / spot.sum(axis=1, keepdims=True)).astype(np.float32))
    said = torch.log_softmax(evidence.reshape(count, -1), dim=1)
    return -(wanted * said).sum(dim=1).mean()


def _exposed_anew(
    pixels: npt.NDArray[np.float32], moves: npt.NDArray[np.int64], chance: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Change gamma, noise and place a little: another exposure of the same patient."""
    count = len(pixels)
    gamma = chance.uniform(0.8, 1.25, (count, 1, 1, 1)).astype(np.float32)
    noise = chance.normal(0, 1, pixels.shape).astype(np.float32)
    noise *= chance.uniform(0, 0.015, (count, 1, 1, 1)).astype(np.float32)
    moved = np.stack(
        [
            np.roll(image, tuple(move), axis=(1, 2))
            for image, move in zip(np.clip(pixels, 1e-3, 1) ** gamma, moves, strict=True)
        ]
    )
    return np.asarray(moved + noise, dtype=np.float32)


def _copied(network: Network) -> dict[str, Any]:
    return {name: value.clone() for name, value in network.state_dict().items()}
