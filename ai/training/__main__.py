"""The command line of training: `python -m ai.training --help`."""

import argparse
import sys
from pathlib import Path
from typing import TextIO

from ai.training import dataset
from ai.training.synthetic import FINDINGS

_ABOUT = """\
Train the reference model cxr_five on synthetic chest radiographs, draw such radiographs, or write
the ONNX file of wsi_labelling, in which nothing is learnt.

No person's image is used, and the result is not for clinical use: it shows the whole life of a
model. `train` needs PyTorch; deploy/setup-training.sh makes an environment that has it.
"""
_EXAMPLES = r"""
examples:
  deploy/setup-training.sh
  .venv-training/bin/python -m ai.training train models/cxr_five
  .venv-training/bin/python -m ai.training train models/cxr_mine \
      --weights models/cxr_five/weights.pt --freeze 3
  penumbra triton up --repository models
  .venv/bin/python -m ai.training draw phantom --finding nodule
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the process's exit status."""
    given = _parser().parse_args(arguments)
    run = {"train": _train, "draw": _draw, "labelling": _labelling}[given.command]
    return run(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ai.training",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train, calibrate, measure, and write a Triton model")
    train.add_argument("folder", type=Path, help="becomes the model's folder in a repository")
    train.add_argument("--patients", type=int, default=1600, help="made-up patients, 2 images each")
    train.add_argument("--epochs", type=int, default=30, help="passes over the data, at most")
    train.add_argument("--patience", type=int, default=8, help="stop after so many without gain")
    train.add_argument("--seed", type=int, default=7, help="another seed: other patients, weights")
    train.add_argument("--threads", type=int, default=2, help="processor threads")
    train.add_argument("--weights", type=Path, help="transfer: start from this weights.pt")
    train.add_argument("--freeze", type=int, default=0, help="transfer: keep so many first layers")
    draw = commands.add_parser("draw", help="write a synthetic radiograph as DICOM (DX)")
    draw.add_argument("folder", type=Path, help="where 0001.dcm is written")
    draw.add_argument("--finding", choices=[str(one) for one in FINDINGS], default="nodule")
    draw.add_argument("--label", default="1", help="another label: another patient, other UIDs")
    labelling = commands.add_parser("labelling", help="write wsi_labelling's ONNX file")
    labelling.add_argument("file", type=Path, help="such as wsi_labelling/1/model.onnx")
    return parser


def _train(given: argparse.Namespace) -> int:
    try:
        dataset.split(given.patients, seed=given.seed)
    except ValueError as few:
        _say(str(few), sys.stderr)
        return 1
    try:
        from ai.training import fit, run  # PyTorch
    except ModuleNotFoundError as absent:
        _say(f"{absent}: run deploy/setup-training.sh, then .venv-training/bin/python", sys.stderr)
        return 1
    plan = fit.Plan(epochs=given.epochs, patience=given.patience, seed=given.seed)
    start = run.Start(given.weights, given.freeze)
    order = run.Order(given.folder, given.patients, plan, given.threads, start)
    run.train(order, _say)
    _say((given.folder / "card.md").read_text())
    return 0


def _draw(given: argparse.Namespace) -> int:
    from ai.phantoms import radiograph

    truth = radiograph.write(given.folder, finding=given.finding, label=given.label)
    _say(f"{truth.written.files[0]}: {truth.finding}")
    return 0


def _labelling(given: argparse.Namespace) -> int:
    from ai.training import labelling  # onnx

    labelling.write(given.file)
    _say(f"{given.file}: written")
    return 0


def _say(line: str, where: TextIO | None = None) -> None:
    where = where or sys.stdout
    where.write(f"{line}\n")
    where.flush()


if __name__ == "__main__":
    sys.exit(main())
