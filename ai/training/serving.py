"""Lay a trained model out for Triton: its contract with this training's figures, and its card."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ai.training.metrics import Metrics
from ai.training.synthetic import FINDINGS, SIZE

NAME: Final = "cxr_five"
VERSION: Final = "1.0.0"
COVERAGE: Final = 0.99
CODES: Final = {
    "normal": ("17621005", "Normal"),
    "nodule": ("27925004", "Nodule"),
    "effusion": ("60046008", "Pleural effusion"),
    "pneumothorax": ("36118008", "Pneumothorax"),
    "cardiomegaly": ("287272002", "Cardiomegaly"),
}
"""SNOMED CT, by finding."""
_THORAX: Final = {"value": "816094009", "scheme": "SCT", "meaning": "Thorax"}


@dataclass(frozen=True, slots=True)
class Trained:
    """What one training came to."""

    metrics: Metrics
    """On the test set, with the temperature."""
    ece_without_temperature: float
    temperature: float
    conformal: float
    """The probability from which a class is in the set."""
    patients: int
    images: int
    epochs: int
    best_epoch: int
    seed: int
    seconds: float
    torch: str
    start: str = ""
    """Which weights it started from, and how many layers were kept as they were."""


def write(folder: Path, trained: Trained) -> None:
    """Write config.pbtxt, metrics.json and card.md around `folder`/1/model.onnx."""
    digest = hashlib.sha256((folder / "1" / "model.onnx").read_bytes()).hexdigest()
    (folder / "config.pbtxt").write_text(config(trained))
    figures = {"sha256": digest, **asdict(trained)}
    (folder / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    (folder / "card.md").write_text(card(trained, digest))


def config(trained: Trained) -> str:
    """Write the model's config.pbtxt: its tensors, and the contract that the node reads."""
    classes = [
        {"name": {"value": value, "scheme": "SCT", "meaning": meaning}, "threshold": 0.5}
        for value, meaning in (CODES[finding] for finding in FINDINGS)
    ]
    saliency = {"value": "130404", "scheme": "DCM", "meaning": "Saliency"}
    images = {"kind": "images", "size": [SIZE, SIZE], "fit": "stretch"}
    parameters: dict[str, Any] = {
        "algorithm": "Penumbra CXR five",
        "algorithm_version": VERSION,
        "settings": f"trained on synthetic images alone; temperature {trained.temperature:.3f}",
        "procedure": {"value": "399208008", "scheme": "SCT", "meaning": "Plain chest X-ray"},
        "wants.modality": "DX",
        "wants.min_slices": "1",
        "wants.orientation": "any",
        "wants.body_parts": ["CHEST"],
        "wants.views": ["PA", "AP"],
        "input.images": {**images, "normalise": "unit", "layout": "n1yx", "batch": 8},
        "output.probability": {
            "kind": "classification",
            "classes": classes,
            "exclusive": True,
            "site": _THORAX,
        },
        "output.logit": {"kind": "embedding"},
        "output.activation": {"kind": "heatmap", "title": saliency},
        "output.embedding": {"kind": "embedding"},
        "trust": {
            "conformal": {"probability": round(trained.conformal, 6)},
            "coverage": COVERAGE,
        },
    }
    rows = [
        f'  {{ key: "penumbra.{key}" value {{ string_value: {_quoted(value)} }} }}'
        for key, value in parameters.items()
    ]
    return _CONFIG.format(size=SIZE, count=len(FINDINGS), rows=",\n".join(rows))


def card(trained: Trained, sha256: str) -> str:
    """Write the model card, in words for who decides whether to use a model."""
    metrics = trained.metrics
    aucs = "\n".join(
        f"| {finding} | {value:.4f} |" for finding, value in zip(FINDINGS, metrics.auc, strict=True)
    )
    heads = " | ".join(FINDINGS)
    rows = "\n".join(
        f"| **{finding}** | {' | '.join(map(str, row))} |"
        for finding, row in zip(FINDINGS, metrics.confusion, strict=True)
    )
    return _CARD.format(
        sha256=sha256,
        aucs=aucs,
        heads=heads,
        lines="---|" * len(FINDINGS),
        rows=rows,
        start=trained.start or "random weights",
        metrics=metrics,
        trained=trained,
        coverage=COVERAGE,
    )


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_CONFIG: Final = """\
# Five classes of synthetic chest radiographs. A reference model, not for clinical use: it has never
# seen a person. Written by `python -m ai.training train`; card.md says what it was trained on.
name: "cxr_five"
backend: "onnxruntime"
max_batch_size: 0
input [
  {{ name: "images" data_type: TYPE_FP32 dims: [ -1, 1, {size}, {size} ] }}
]
output [
  {{ name: "probability" data_type: TYPE_FP32 dims: [ -1, {count} ] }},
  {{ name: "logit" data_type: TYPE_FP32 dims: [ -1, {count} ] }},
  {{ name: "activation" data_type: TYPE_FP32 dims: [ -1, 32, 32 ] }},
  {{ name: "embedding" data_type: TYPE_FP32 dims: [ -1, 64 ] }}
]
instance_group [ {{ kind: KIND_CPU }} ]
parameters [
{rows}
]
"""

_CARD: Final = """\
# cxr_five: five classes of synthetic chest radiographs

**Not for clinical use.** Every image that this network has seen was drawn by a program
(`ai/training/synthetic.py`). What it says about a person's radiograph means nothing. It is here to
show the whole life of a model: data, training, calibration, a contract, serving, results.

- File: `1/model.onnx`, SHA-256 `{sha256}`
- Input: images of 128 x 128, FP32, bright where much is absorbed; exposure does not matter, each
  image is brought to mean 0 and deviation 1 inside.
- Outputs: `probability` (softmax with the temperature inside), `logit` (without it), `activation`
  (32 x 32: positive evidence for the most probable finding that is not "normal"), `embedding` (64).
- Made from {trained.images} images of {trained.patients} made-up patients, divided by patient:
  60 % training, 15 % validation, 10 % calibration, 15 % test. The classes were taught, and of
  nodules the place, so that the activation says where. Seed {trained.seed}, PyTorch
  {trained.torch}, {trained.epochs} epochs (the best: {trained.best_epoch}), {trained.seconds:.0f} s
  on 2 cores. It started from {start}.

## Figures on the test set ({metrics.images} images)

Nothing was fitted on them. Whoever changes the training after a look at them, and trains again on
the same seed, has to measure on new ones.

| class | AUC |
|---|---|
{aucs}

- Accuracy {metrics.accuracy:.3f}, log loss {metrics.log_loss:.4f}.
- Temperature {trained.temperature:.3f}, fitted on the validation set. Expected calibration error
  {metrics.ece:.4f} with it, {trained.ece_without_temperature:.4f} without.
- Conformal sets at {coverage:.0%} coverage: a class is in the set from probability
  {trained.conformal:.4f} on (from the calibration set). On the test set the truth is in
  {metrics.coverage:.1%} of sets, which hold {metrics.set_size:.2f} classes on average.

Truth in rows, what was said in columns:

| | {heads} |
|---|{lines}
{rows}

## Limits

- Synthetic images alone: one view (frontal), upright, no devices, no other disease, one finding at
  a time. A real image is outside what it knows, and the probabilities do not say so.
- Nodules of 14 to 34 mm over the lungs; nothing smaller, nothing behind the heart.
- The classes are easy to tell apart, as drawings are: figures near 1 say so, and nothing more. A
  conformal set may be empty; then the image is unlike those of calibration.
"""
