"""`penumbra model list` to `agreement`: decisions about versions, as people take them."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from config.load import load
from dicom.errors import DoesNotMatch, Fault, Refused
from node.commands.of_model.registry import COMMANDS, STAGES
from storage.ledger.inferences import LIVE, SHADOW, Inference
from storage.ledger.ledger import Ledger
from storage.ledger.models import Stage

CONFIG = """
[node]
data_dir = "var"
[models.lungs]
endpoints = ["127.0.0.1:1"]
model = "ct"
"""
GROUP = click.Group(commands={str(each.name): each for each in COMMANDS})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(CONFIG)
    Ledger.open(load(file).node.data_dir).close()
    return file


@pytest.fixture
def run(config: Path):
    """Run a subcommand on the config file."""

    def ran(*words: str) -> Result:
        name, *rest = words
        return CliRunner().invoke(GROUP, [name, *rest, "-c", str(config)])

    return ran


def told(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_the_stages_are_those_of_the_registry():
    """The command offers each stage there is."""
    assert set(STAGES) == {str(each) for each in Stage}


def test_a_version_s_life(run, tmp_path):
    """Registered with its file's SHA-256, shadow, live, replaced, rolled back; all on record."""
    file = tmp_path / "model.onnx"
    file.write_bytes(b"abc")
    assert "version 1 is a candidate" in told(run("register", "lungs", "1", "--file", str(file)))
    assert "registered already" in told(run("register", "lungs", "1", "--file", str(file)))
    told(run("register", "lungs", "2", "--source", "run 7"))
    told(run("promote", "lungs", "1", "--reason", "first"))
    told(run("promote", "lungs", "2", "--to", "shadow", "--reason", "try"))
    assert "version 2 is live" in told(run("promote", "lungs", "2", "--reason", "agrees"))
    listed = {one["version"]: one for one in json.loads(told(run("list", "lungs", "--json")))}
    assert (listed["1"]["stage"], listed["2"]["stage"]) == ("retired", "live")
    assert listed["1"]["digest"].startswith("ba7816bf")
    assert "ba7816bf" in told(run("list"))
    assert "version 1 is live" in told(run("rollback", "lungs", "--reason", "worse"))
    moves = json.loads(told(run("history", "lungs", "--json")))
    assert [(one["version"], one["after"]) for one in moves[:2]] == [
        ("1", "live"),
        ("2", "retired"),
    ]
    assert "worse" in told(run("history", "lungs"))


@pytest.fixture
def mlflow_server(tmp_path, monkeypatch):
    """A registry of MLflow's, in files: a version with one ONNX file, and one with two."""
    tracking = pytest.importorskip("mlflow.tracking", reason="needs mlflow-skinny")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    place = (tmp_path / "mlruns").as_uri()
    client = tracking.MlflowClient(tracking_uri=place, registry_uri=place)
    client.create_registered_model("ct-lungs")
    experiment = client.create_experiment("lungs")
    file = tmp_path / "model.onnx"
    file.write_bytes(b"abc")
    for folders in (["model"], ["model", "model/other"]):
        run = client.create_run(experiment).info
        for folder in folders:
            client.log_artifact(run.run_id, str(file), folder)
        client.create_model_version("ct-lungs", f"{run.artifact_uri}/model", run.run_id)
    return place


def test_a_version_is_taken_out_of_mlflow(run, mlflow_server, tmp_path):
    """Its file lies in the repository, and is a candidate with its SHA-256 and its run."""
    repository = tmp_path / "ct_lungs"
    repository.mkdir()
    words = ("import", "lungs", "1", "--mlflow", mlflow_server, "--registered", "ct-lungs",
             "--repository", str(repository))  # fmt: skip
    assert "a candidate" in told(run(*words))
    assert (repository / "1" / "model.onnx").read_bytes() == b"abc"
    (listed,) = json.loads(told(run("list", "lungs", "--json")))
    assert listed["digest"].startswith("ba7816bf")
    assert listed["source"].startswith("MLflow ct-lungs version 1, run ")
    assert isinstance(run(*words).exception, Refused)


@pytest.mark.parametrize(
    ("version", "told_so"),
    [("2", (Refused, "2 ONNX files")), ("9", (DoesNotMatch, "no version 9"))],
)
def test_what_mlflow_does_not_have_is_named(run, mlflow_server, tmp_path, version, told_so):
    """Not one ONNX file, or no such version: nothing is written."""
    result = run("import", "lungs", version, "--mlflow", mlflow_server, "--registered", "ct-lungs",
                 "--repository", str(tmp_path))  # fmt: skip
    fault, words = told_so
    assert isinstance(result.exception, fault)
    assert words in str(result.exception)
    assert not (tmp_path / version).exists()


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("promote", "lungs", "9", "--reason", "x"), Refused),
        (("rollback", "lungs", "--reason", "x"), Refused),
        (("register", "heart", "1"), DoesNotMatch),
        (("drift", "heart"), DoesNotMatch),
    ],
)
def test_what_cannot_be_is_a_fault(run, words, fault):
    """A version or a model that is not there: a fault with words, and nothing is written."""
    result = run(*words)
    assert isinstance(result.exception, fault)
    assert isinstance(result.exception, Fault)
    assert json.loads(told(run("list", "--json"))) == []


def test_no_decision_without_a_reason(run):
    """--reason is asked for."""
    assert run("promote", "lungs", "1").exit_code == 2


def test_drift_and_agreement_are_shown(run, config):
    """A group with too few inferences says so; a shadow's difference is there, also as JSON."""
    live = Inference(
        job=1, model="lungs", served_model="ct", version="1", digest="", stage=LIVE, server="",
        endpoint="", study_instance_uid="1.2", series_instance_uid="1.3", revision=1, rule="r",
        outcome="found", words="", images=1, is_cached=False, input_digest="", scanner="Maker",
        protocol="Chest", began_at=1.0, read_s=0.0, model_s=0.0, report_s=0.0,
        outputs={"volume": 10.0},
    )  # fmt: skip
    shadow = replace(live, version="2", stage=SHADOW, outputs={"volume": 13.0})
    with closing(Ledger.open(load(config).node.data_dir)) as ledger:
        ledger.inferences.add(live, [shadow])
    assert "too few to say" in told(run("drift", "lungs"))
    assert json.loads(told(run("drift", "lungs", "--json")))[0]["alarm"] is False
    assert "volume" in told(run("agreement", "lungs"))
    (row,) = json.loads(told(run("agreement", "lungs", "--json")))["2"]
    assert (row["pairs"], row["bias"]) == (1, 3.0)
