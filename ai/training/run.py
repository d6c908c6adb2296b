"""Train, calibrate, measure and write a model: each step of its life, in order. Imports PyTorch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ai.training import dataset, export, fit, metrics, serving
from ai.training.network import Network, start_from
from ai.training.serving import COVERAGE, Trained


@dataclass(frozen=True, slots=True)
class Start:
    """What training begins with: transfer learning where weights are given."""

    weights: Path | None = None
    """Random without."""
    freeze: int = 0
    """So many first layers are kept as they are."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    folder: Path
    """Becomes the model's folder in a Triton repository."""
    patients: int
    plan: fit.Plan
    threads: int = 2
    start: Start = Start()


def train(order: Order, tell: Callable[[str], None]) -> Trained:
    """Do it all; `tell` hears a line for each step. Writes `folder`, and returns the figures."""
    began = time.monotonic()
    torch.set_num_threads(order.threads)
    torch.manual_seed(order.plan.seed)
    network, start = _network(order)
    tell(f"start: {start or 'random weights'}")
    parts = dataset.split(order.patients, seed=order.plan.seed)
    sets = {
        name: dataset.images(getattr(parts, name), seed=order.plan.seed)
        for name in ("train", "validation", "calibration", "test")
    }
    tell("images: " + ", ".join(f"{one.labels.size} {name}" for name, one in sets.items()))
    history = fit.fit(network, sets["train"], sets["validation"], order.plan, _teller(tell))
    raw = {name: fit.logits(network, one.pixels) for name, one in sets.items() if name != "train"}
    temperature = metrics.fit_temperature(raw["validation"], sets["validation"].labels)
    sure = {name: metrics.softmax(scores, temperature) for name, scores in raw.items()}
    threshold = metrics.conformal_threshold(
        sure["calibration"], sets["calibration"].labels, COVERAGE
    )
    labels = sets["test"].labels
    trained = Trained(
        metrics=metrics.measure(sure["test"], labels, threshold),
        ece_without_temperature=metrics.ece(metrics.softmax(raw["test"]), labels),
        temperature=temperature,
        conformal=threshold,
        patients=order.patients,
        images=sum(one.labels.size for one in sets.values()),
        epochs=len(history),
        best_epoch=max(one.number for one in history if one.is_best),
        seed=order.plan.seed,
        seconds=time.monotonic() - began,
        torch=str(torch.__version__),
        start=start,
    )
    export.write(network, temperature, order.folder / "1" / "model.onnx")
    torch.save(network.state_dict(), order.folder / "weights.pt")
    serving.write(order.folder, trained)
    return trained


def _network(order: Order) -> tuple[Network, str]:
    network = Network()
    start = ""
    if order.start.weights is not None:
        taken = start_from(network, torch.load(order.start.weights, weights_only=True))
        start = f"{len(taken)} tensors of {order.start.weights.name}"
    network.freeze(order.start.freeze)
    return (
        network,
        f"{start}, first {order.start.freeze} layers kept" if order.start.freeze else start,
    )


def _teller(tell: Callable[[str], None]) -> Callable[[fit.Epoch], None]:
    def say(epoch: fit.Epoch) -> None:
        mark = "  best so far" if epoch.is_best else ""
        losses = f"loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}"
        tell(f"epoch {epoch.number}: {losses}{mark}")

    return say
