"""Files in, files out: what is written, what is quarantined, and what the commands say."""

import io
import json
import stat

import pydicom
import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset

from config.destinations import FolderDestination
from deid.apply import deidentify
from deid.pseudonym import read_key
from dicom.errors import ConfigFault, DeidFault
from node.commands import deid as deid_command
from node.commands import evidence as evidence_command
from node.commands import key as key_command
from node.commands import vault as vault_command
from node.deid_files import deidentify_files, find
from storage.destinations.folder import Folder


def folder(path):
    """The folder that new files go to."""
    return Folder("out", FolderDestination(kind="folder", path=path))


def patient(name: str, number: str, instance: str) -> Dataset:
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID = name, number
    dataset.SOPInstanceUID = f"1.3.6.1.4.1.5962.99.7.{instance}"
    return dataset


@pytest.fixture
def inbox(tmp_path, build):
    """A folder with two objects and one thing that is no DICOM file."""
    place = tmp_path / "in"
    (place / "deep").mkdir(parents=True)
    (place / "one.dcm").write_bytes(build(patient("Doe^Archibald", "77654033", "1")))
    (place / "deep" / "two.dcm").write_bytes(build(patient("Doe^Archibald", "77654033", "2")))
    (place / "notes.txt").write_text("Archibald Doe called")
    return place


@pytest.fixture
def config_file(tmp_path):
    """A config file that is just enough for de-identification, with a new key."""
    made = CliRunner().invoke(key_command.command, ["new", str(tmp_path / "research.key")])
    assert made.exit_code == 0, made.output
    file = tmp_path / "node.toml"
    file.write_text(
        f'[node]\ndata_dir = "{tmp_path}/var"\n'
        '[profiles.research]\nbase = "basic"\nkey = { file = "research.key" }\n'
    )
    return file


def test_the_files_hold_what_the_engine_makes(inbox, tmp_path, profile):
    """A file's bytes are the pipeline's bytes, under the new UIDs."""
    out, held = tmp_path / "out", tmp_path / "held"
    files = find([inbox], [out, held])
    outcomes = list(deidentify_files(files, profile, folder(out), held))
    direct = deidentify((inbox / "one.dcm").read_bytes(), profile)
    path = out / direct.study_instance_uid / direct.series_instance_uid
    assert (path / f"{direct.sop_instance_uid}.dcm").read_bytes() == b"".join(direct.chunks)
    assert [bool(each.clean) for each in outcomes] == [True, False, True]
    assert len(list(out.rglob("*.dcm"))) == 2
    assert not list(out.rglob("*.part"))


def test_a_second_run_changes_nothing(inbox, tmp_path, profile):
    """The same files may be given twice, also with the output beneath the input."""
    out, held = inbox / "out", inbox / "held"

    def run():
        list(deidentify_files(find([inbox], [out, held]), profile, folder(out), held))
        return {f: f.read_bytes() for place in (out, held) for f in place.rglob("*.*")
                if f.is_file()}  # fmt: skip

    first = run()
    assert len(first) == 4
    assert run() == first


def test_another_object_of_the_same_uid_replaces_nothing(tmp_path, build, profile):
    """Two different objects with one UID both go out, as the pipeline delivers them to a folder."""
    inbox, out, held = tmp_path / "in", tmp_path / "out", tmp_path / "held"
    for name, kernel in (("a", "SOFT"), ("b", "HARD")):
        (inbox / name).mkdir(parents=True)
        dataset = patient("Doe^John", "1234567", "9")
        dataset.ConvolutionKernel = kernel
        (inbox / name / "same.dcm").write_bytes(build(dataset))
    outcomes = list(deidentify_files(find([inbox], []), profile, folder(out), held))
    written = [pydicom.dcmread(out / each.receipt.location) for each in outcomes]
    assert [each.ConvolutionKernel for each in written] == ["SOFT", "HARD"]
    assert written[0].SOPInstanceUID == written[1].SOPInstanceUID


@pytest.mark.p6
def test_what_cannot_be_kept_does_not_go_out(inbox, tmp_path, profile):
    """An object whose way back the vault refuses is quarantined with the vault's words."""

    def refuse(clean, part10):
        raise DeidFault("the vault says no")

    out, held = tmp_path / "out", tmp_path / "held"
    (first, *_) = deidentify_files(find([inbox], []), profile, folder(out), held, refuse)
    assert (first.clean, first.reason) == (None, "the vault says no")
    assert not list(out.rglob("*.dcm"))


def test_quarantined_files_of_one_name_are_all_kept(tmp_path, profile):
    """A name that is taken gets a number; the reason lies beside each."""
    for name, text in (("a", "first"), ("b", "second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.dcm").write_text(text)
    held = tmp_path / "held"
    files = [tmp_path / "a" / "x.dcm", tmp_path / "b" / "x.dcm"]
    list(deidentify_files(files, profile, folder(tmp_path / "out"), held))
    assert (held / "x.dcm").read_text() == "first"
    assert (held / "x-2.dcm").read_text() == "second"
    assert "DICM" in (held / "x-2.dcm.reason.txt").read_text()
    assert stat.S_IMODE(held.stat().st_mode) == 0o700


@pytest.mark.p6
def test_the_command_says_what_went_out_and_what_was_held(inbox, tmp_path, config_file):
    """Exit status 3 and a table when something was quarantined; nothing names a patient."""
    arguments = ["--profile", "research", str(inbox), "-o", str(tmp_path / "out"),
                 "--quarantine", str(tmp_path / "held"), "-c", str(config_file)]  # fmt: skip
    done = CliRunner().invoke(deid_command.command, arguments)
    assert done.exit_code == deid_command.EXIT_QUARANTINED, done.output
    assert "quarantined" in done.output
    assert "Doe" not in done.output
    assert (tmp_path / "held" / "notes.txt").read_text() == "Archibald Doe called"
    reason = (tmp_path / "held" / "notes.txt.reason.txt").read_text()
    assert "DICM" in reason
    assert "Doe" not in reason
    (inbox / "notes.txt").unlink()
    assert CliRunner().invoke(deid_command.command, arguments).exit_code == 0
    for file in (tmp_path / "out").rglob("*.dcm"):
        assert b"Archibald" not in file.read_bytes()
        assert pydicom.dcmread(io.BytesIO(file.read_bytes())).PatientIdentityRemoved == "YES"


def test_an_unknown_profile_is_a_config_fault_that_names_the_known_ones(inbox, config_file):
    """A slip in the name says which names there are, and nothing is written."""
    arguments = ["--profile", "reserch", str(inbox), "-o", "out", "--quarantine", "held",
                 "-c", str(config_file)]  # fmt: skip
    done = CliRunner().invoke(deid_command.command, arguments)
    assert isinstance(done.exception, ConfigFault)
    assert "research" in str(done.exception)


def test_a_key_file_is_private_and_never_overwritten(tmp_path):
    """A new key is readable by its owner alone, and a second call changes nothing."""
    file = tmp_path / "research.key"
    first = CliRunner().invoke(key_command.command, ["new", str(file)])
    content = file.read_bytes()
    again = CliRunner().invoke(key_command.command, ["new", str(file)])
    nowhere = CliRunner().invoke(key_command.command, ["new", str(tmp_path / "no" / "key")])
    assert (first.exit_code, again.exit_code, nowhere.exit_code) == (0, 1, 1)
    assert file.read_bytes() == content
    assert len(read_key(content)) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "exists" in again.output
    assert content.decode().strip() not in first.output


def test_evidence_and_the_way_back(inbox, tmp_path, config_file):
    """A reversible profile's patients are in the vault; the report is signed and names no one."""
    made = CliRunner().invoke(key_command.command, ["new", str(tmp_path / "vault.key")])
    assert made.exit_code == 0, made.output
    more = 'reversible = true\n[vault]\nkey = { file = "vault.key" }\n'
    config_file.write_text(config_file.read_text() + more)
    reports = tmp_path / "reports"
    arguments = ["--profile", "research", str(inbox), "-o", str(tmp_path / "out"),
                 "--quarantine", str(tmp_path / "held"), "--evidence", str(reports),
                 "-c", str(config_file)]  # fmt: skip
    done = CliRunner().invoke(deid_command.command, arguments)
    assert done.exit_code == deid_command.EXIT_QUARANTINED, done.output
    clean = pydicom.dcmread(next((tmp_path / "out").rglob("*.dcm")))
    asked = ["lookup", clean.PatientID, "--purpose", "test", "-c", str(config_file)]
    found = CliRunner().invoke(vault_command.command, asked)
    assert "77654033" in found.output, found.output
    signed = sorted(reports.glob("*.json"))
    assert len(signed) == len(list(reports.glob("*.html"))) == 2
    assert clean.StudyInstanceUID in signed[0].name
    for report in signed:
        check = ["--verify", str(report), "-c", str(config_file)]
        checked = CliRunner().invoke(evidence_command.command, check)
        assert checked.exit_code == 0, checked.output
    counts = [json.loads(each.read_text())["payload"]["counts"] for each in signed]
    assert [(each["clean"], each["quarantined"]) for each in counts] == [(2, 0), (0, 1)]
    told = b"".join(each.read_bytes() for each in reports.iterdir())
    assert not any(word in told for word in (b"Archibald", b"Doe", b"77654033", b"notes"))
