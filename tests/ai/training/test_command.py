"""The command line of training teaches, says what is missing, and trains where PyTorch is."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from ai.training.__main__ import main

ROOT = Path(__file__).parents[3]
SETUP = ROOT / "deploy" / "setup-training.sh"
TORCH = ROOT / ".venv-training" / "bin" / "python"


def test_help_teaches(capsys):
    """It says what it makes, from what, that it is for no clinical use, and gives examples."""
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    for words in ("not for clinical use", "setup-training.sh", "--weights", "examples:"):
        assert words in said


@pytest.mark.skipif(bool(importlib.util.find_spec("torch")), reason="PyTorch is installed here")
def test_without_pytorch_the_remedy_is_named(tmp_path, capsys):
    """The fault says which script makes the environment, and nothing is written."""
    assert main(["train", str(tmp_path / "model")]) == 1
    assert "deploy/setup-training.sh" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_draw_writes_a_radiograph(tmp_path, capsys):
    """One valid DX object of the chest, named on the way out."""
    assert main(["draw", str(tmp_path), "--finding", "effusion"]) == 0
    ds = dcmread(tmp_path / "0001.dcm")
    checker = Path(sys.executable).with_name("dciodvfy")  # from the test extra dicom3tools
    checked = subprocess.run(
        [checker, tmp_path / "0001.dcm"], capture_output=True, text=True, check=False
    )
    assert "DXImageForPresentation" in checked.stderr
    assert "Error" not in checked.stderr
    assert (ds.Modality, ds.BodyPartExamined) == ("DX", "CHEST")
    assert "effusion" in capsys.readouterr().out


def test_the_setup_script_never_removes_a_stranger(tmp_path):
    """A directory that is no virtual environment is left alone."""
    (tmp_path / "letter").write_text("keep")
    env = {**os.environ, "PENUMBRA_TRAINING_ENV": str(tmp_path)}
    ran = subprocess.run([SETUP], capture_output=True, text=True, check=False, env=env, timeout=60)
    assert ran.returncode == 1
    assert "is no virtual environment" in ran.stderr
    assert (tmp_path / "letter").read_text() == "keep"


@pytest.mark.skipif(not TORCH.exists(), reason="no .venv-training: run deploy/setup-training.sh")
def test_training_that_starts_from_weights_writes_a_model(tmp_path):
    """A short training takes given weights, keeps layers, and writes a whole model with its own."""
    weights, folder = tmp_path / "given.pt", tmp_path / "model"
    code = "import sys, torch; from ai.training.network import Network"
    code += "; torch.save(Network().state_dict(), sys.argv[1])"
    code += "; from ai.training.__main__ import main; sys.exit(main(sys.argv[2:]))"
    order = ["train", folder, "--patients", "50", "--epochs", "1", "--threads", "1"]
    order += ["--weights", weights, "--freeze", "2"]
    command = [TORCH, "-c", code, weights, *order]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=110)
    found = json.loads((folder / "metrics.json").read_text())
    assert found["start"] == "38 tensors of given.pt, first 2 layers kept"
    assert (folder / "weights.pt").stat().st_size == pytest.approx(weights.stat().st_size, rel=0.02)
    assert (folder / "1" / "model.onnx").stat().st_size < 1_000_000
    assert found["sha256"] in (folder / "card.md").read_text()
    assert "penumbra.trust" in (folder / "config.pbtxt").read_text()


@pytest.mark.parametrize("patients", ["0", "1", "5"])
def test_too_few_patients_are_told_before_anything_is_trained(tmp_path, capsys, patients):
    """Every set needs every class, or its figures mean nothing."""
    assert main(["train", str(tmp_path / "model"), "--patients", patients]) == 1
    assert "more patients" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
