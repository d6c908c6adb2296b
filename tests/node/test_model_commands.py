"""`penumbra model check` and `penumbra model try`, against a real Triton that has every kind."""

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from pydicom import dcmread

from ai import phantom, server
from dicom.errors import BadAnswer, ConfigFault, ModelUnavailable
from examples.peers import triton as peer
from node.cli import penumbra

REPOSITORY = Path(__file__).parents[1] / "ai" / "repository"
KINDS = ("dark_ml", "which", "segments", "box", "point", "draft", "where", "vector")


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    """A real Triton with the model that answers every kind of output."""
    try:
        environment = server.environment()
    except ConfigFault as absent:
        pytest.skip(str(absent))
    folder = tmp_path_factory.mktemp("triton")
    with peer.running(folder, repository=REPOSITORY, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    """A chest phantom of 10 slices of 64 x 64, with a file beside it that is no object."""
    folder = tmp_path_factory.mktemp("chest")
    phantom.write(folder, slices=10, size=64)
    (folder / "readme.txt").write_text("no DICOM")
    return folder


@pytest.fixture
def run(triton, tmp_path):
    """Run a subcommand of `penumbra model` with [models.every] and what a test adds."""

    def ran(*words, more="", endpoints=None):
        table = {"endpoints": endpoints or [triton.endpoint], "model": "every_kind"}
        rows = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
        (tmp_path / "node.toml").write_text(f"[models.every]\n{rows}\n{more}")
        config = str(tmp_path / "node.toml")
        return CliRunner().invoke(penumbra, ["model", *map(str, words), "-c", config])

    return ran


def test_a_contract_that_fits_is_shown(run):
    """Every tensor is listed with its kind, and the exit status is 0."""
    result = run("check", "every")
    assert result.exit_code == 0, result.output
    assert "fits" in result.output
    assert "wants CT, axial, 8 images or more" in result.output
    for name in KINDS:
        assert name in result.output
    assert "Darkest slice from 0.25" in result.output
    assert "warning: there is one endpoint" in result.output


def test_a_contract_that_does_not_fit_is_a_fault(run):
    """A tensor that cannot hold what is stated ends with status 1, and words that say where."""
    result = run("check", "every", more='[models.every.inputs.volume]\nlayout = "1zyx"\n')
    assert result.exit_code == 1
    assert "does not fit" in result.output
    assert "penumbra.input.volume, as node.toml changes it" in result.output


def test_each_endpoint_and_version_is_asked(run, triton):
    """An endpoint that is not there, and a shadow's version that is not served, are told."""
    shadow = '[models.every.shadow]\nversion = "7"\n'
    result = run(
        "check", "every", "--json", endpoints=[triton.endpoint, "127.0.0.1:1"], more=shadow
    )
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert result.exit_code == 1
    assert [(row["endpoint"] == triton.endpoint, row["role"]) for row in rows] == [
        (True, "live"),
        (False, "live"),
        (True, "shadow"),
        (False, "shadow"),
    ]
    assert [bool(row["fault"]) for row in rows] == [False, True, True, True]
    assert rows[0]["server"].startswith("triton")


def test_what_is_not_wise_is_warned_of(run):
    """A model that cannot refuse works; that it is not wise is told, and is no fault."""
    result = run("check", "every", more="[models.every.outputs.refusal]\nkind = 'text'\n")
    assert result.exit_code == 0, result.output
    assert "warning: no output is a refusal" in result.output


def test_findings_of_every_kind_are_printed(run, chest):
    """Files go the way of a received Series; what the model finds is a table."""
    result = run("try", "every", chest)
    assert result.exit_code == 0, result.output
    assert "10 images, CT" in result.output
    for name in KINDS:
        assert name in result.output
    assert "Dark voxels make up" in result.output
    assert "readme.txt: skipped" in result.stderr
    assert "would make 1 SR, 1 SEG" in result.output


def test_findings_are_printed_as_json(run, chest):
    """Standard output is one JSON object for each Series, and nothing else."""
    result = run("try", "every", *sorted(chest.glob("*.dcm")), "--json")
    (row,) = (json.loads(line) for line in result.stdout.splitlines())
    by_output = {each["output"]: each for each in row["findings"]}
    assert set(by_output) == set(KINDS)
    assert (row["images"], row["version"], row["refusal"]) == (10, "1", "")
    assert by_output["box"]["score"] == 0.75
    assert sum(by_output["segments"]["segments"][0]["pixels_by_image"]) > 0
    assert by_output["dark_ml"]["unit"]["value"] == "mL"


def test_a_picture_and_the_objects_are_written(run, chest, tmp_path):
    """--picture is a PNG with a legend, --save are Part 10 files about the same Series."""
    path, folder = tmp_path / "found.png", tmp_path / "results"
    result = run("try", "every", chest, "--picture", path, "--save", folder)
    assert result.exit_code == 0, result.output
    width, height = Image.open(io.BytesIO(path.read_bytes())).size
    assert width == 512 < height
    written = [dcmread(file) for file in sorted(folder.iterdir())]
    assert {ds.Modality for ds in written} >= {"SR", "SEG"}
    study = dcmread(next(chest.glob("*.dcm")), stop_before_pixels=True).StudyInstanceUID
    assert {ds.StudyInstanceUID for ds in written} == {study}


def test_a_refused_series_is_told(run, chest, tmp_path):
    """A Series that is not what the contract wants is refused in words, with status 1."""
    result = run("try", "every", chest, more="[models.every.wants]\nmin_slices = 11\n")
    assert result.exit_code == 1
    assert "refused: " in result.stdout
    assert "11" in result.stdout
    path = tmp_path / "none.png"
    result = run(
        "try", "every", chest, "--picture", path, more="[models.every.wants]\nmodality = 'MR'\n"
    )
    assert "not of Modality MR" in result.stdout
    assert ": 0 images" not in result.stdout
    assert "no picture" in result.stderr
    assert not path.exists()


def test_faults_are_faults(run, chest, tmp_path):
    """A model that is not in the config, a server that is not there, a broken contract."""
    assert isinstance(run("try", "other", chest).exception, ConfigFault)
    assert isinstance(
        run("try", "every", chest, endpoints=["127.0.0.1:1"]).exception, ModelUnavailable
    )
    wrong = "[models.every.outputs.dark_ml]\nhigh = 1.0\n"
    assert isinstance(run("try", "every", chest, more=wrong).exception, BadAnswer)
    (tmp_path / "empty").mkdir()
    assert "no DICOM object" in run("try", "every", tmp_path / "empty").output
