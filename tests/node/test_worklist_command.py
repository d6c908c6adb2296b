"""`penumbra worklist`: entries listed, added from files, and taken back by id."""

import json
from contextlib import closing

import pytest
from click.testing import CliRunner

from config.load import load
from dicom.errors import CannotUnderstand
from dicom.worklist import STEPS
from node.commands import worklist
from storage.ledger.ledger import Ledger
from storage.ledger.worklist import Draft

ITEM = {
    "PatientName": "Doe^Jane", "PatientID": "CMD1", "AccessionNumber": "A1",
    STEPS: [{"Modality": "US", "ScheduledProcedureStepID": "S1",
             "ScheduledProcedureStepStartDate": "20260710"}],
}  # fmt: skip


@pytest.fixture
def config(tmp_path):
    """A config file whose node has run."""
    file = tmp_path / "node.toml"
    file.write_text('[node]\ndata_dir = "var"\n')
    Ledger.open(load(file).node.data_dir).close()
    return file


def run(config, *arguments):
    """Run the command in this process."""
    return CliRunner().invoke(
        worklist.command, [*arguments, "-c", str(config)], catch_exceptions=False
    )


def test_an_entry_is_added_listed_and_removed(config, tmp_path):
    """What add prints is the id by which list shows it and remove takes it back."""
    file = tmp_path / "entry.json"
    file.write_text(json.dumps(ITEM))
    entry_id, words = run(config, "add", str(file)).stdout.split()
    assert words == "added"
    assert run(config, "add", str(file)).stdout == f"{entry_id} as it was\n"
    (told,) = map(json.loads, run(config, "list", "--json").stdout.splitlines())
    assert (told["id"], told["state"], told["entry"]["PatientID"]) == (
        entry_id, "SCHEDULED", "CMD1",
    )  # fmt: skip
    assert "CMD1" in run(config, "list", "--state", "SCHEDULED").stdout
    assert run(config, "list", "--state", "COMPLETED").stdout == "The worklist is empty.\n"
    assert run(config, "remove", entry_id).exit_code == 0
    again = run(config, "remove", entry_id)
    assert (again.exit_code, again.stderr) == (1, f"{entry_id}: no such entry\n")


def test_a_folders_entry_is_its_files(config):
    """What a file says is taken back by removing the file."""
    with closing(Ledger.open(load(config).node.data_dir)) as ledger:
        item = {**ITEM, "StudyInstanceUID": "1.2", "RequestedProcedureID": "R"}
        (made,) = ledger.worklist.put([Draft(item, "folder", file="f")], 1)
    refused = run(config, "remove", made.id)
    assert (refused.exit_code, "remove that" in refused.stderr) == (1, True)


def test_a_file_that_is_no_entry_is_refused(config, tmp_path):
    """The fault says what is missing."""
    file = tmp_path / "entry.json"
    file.write_text("{}")
    with pytest.raises(CannotUnderstand, match="PatientID is missing"):
        run(config, "add", str(file))
