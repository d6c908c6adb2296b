"""`penumbra vault`: answers on standard output alone, for the record, with words that help."""

import csv
import errno
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset

from config.load import load
from deid.pseudonym import new_key
from dicom.errors import ConfigFault, DeidFault, StorageFault
from node.cli import penumbra
from node.vault import open_vault, this_job, this_user, vault_keys

PURPOSE = ("--purpose", "ticket 118")


@dataclass(frozen=True)
class Fact:
    kind: str
    pseudonym: str
    value: str


@dataclass(frozen=True)
class Clean:
    patient_pseudonym: str
    study_instance_uid: str
    sop_instance_uid: str
    originals: tuple[Fact, ...]


def original() -> memoryview:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.1"
    dataset.StudyInstanceUID, dataset.PatientName = "1.2.3", "Quillobert^Zyx"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    target = io.BytesIO()
    dcmwrite(target, dataset, enforce_file_format=True)
    return memoryview(target.getvalue())


def write_config(folder: Path, vault: str) -> Path:
    file = folder / "node.toml"
    file.write_text(
        f'[node]\ndata_dir = "var"\n{vault}\n'
        '[profiles.research]\nkey = { file = "research.key" }\nproject = "heart"\n'
    )
    return file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name in ("research.key", "vault.key", "new.key"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(new_key())
    file = write_config(tmp_path, '[vault]\nkey = { file = "vault.key" }')
    vault = open_vault(load(file))
    for n, patient in enumerate(("PAAAA", "PBBBB")):
        facts = (Fact("patient", patient, f"17-{n} [x]"), Fact("uid", f"2.25.{n}", f"1.2.3.{n}"))
        vault.keep("heart", Clean(patient, f"2.25.{n}", f"2.25.{n}", facts), original())
    vault.close()
    return file


def run(*arguments, feed=None):
    return CliRunner().invoke(penumbra, ["vault", *map(str, arguments)], input=feed)


def test_lookup_answers_on_standard_output(config):
    """What stands behind a pseudonym is printed for people and for programs."""
    done = run("lookup", "PAAAA", *PURPOSE, "-c", config)
    assert done.exit_code == 0
    assert "17-0 [x]" in done.stdout
    assert done.stderr == ""
    rows = run("lookup", "2.25.1", *PURPOSE, "--json", "-c", config).stdout.splitlines()
    assert [json.loads(row) for row in rows] == [
        {
            "project": "heart",
            "patient": "PBBBB",
            "kind": "uid",
            "pseudonym": "2.25.1",
            "original": "1.2.3.1",
        }
    ]


@pytest.mark.p6
def test_nothing_of_the_patient_is_in_faults(config):
    """An unknown word, which may be a name, is not repeated."""
    done = run("lookup", "Quillobert", *PURPOSE, "-c", config)
    assert isinstance(done.exception, DeidFault)
    assert "Quillobert" not in str(done.exception) + done.output
    assert "Quillobert" not in run("audit", "-c", config).output


def test_forget_asks_first(config):
    """Forgetting needs a yes; a no, or silence, changes nothing."""
    for feed in ("n\n", ""):
        assert run("forget", "PAAAA", *PURPOSE, "-c", config, feed=feed).exit_code == 1
    assert run("lookup", "PAAAA", *PURPOSE, "-c", config).exit_code == 0
    done = run("forget", "PAAAA", *PURPOSE, "-c", config, feed="y\n")
    assert "PAAAA is forgotten in project heart." in done.stdout
    assert "rotate" in done.stderr
    assert "17-0" not in done.output
    gone = run("lookup", "PAAAA", *PURPOSE, "-c", config)
    assert "was forgotten" in str(gone.exception)
    assert run("forget", "17-1 [x]", *PURPOSE, "--yes", "-c", config).exit_code == 0
    assert isinstance(run("lookup", "2.25.1", *PURPOSE, "-c", config).exception, DeidFault)


def test_rotate_goes_through_old_keys(config):
    """With the new key first and the old one named, a run ends the need for the old one."""
    write_config(config.parent, '[vault]\nkey = { file = "new.key" }')
    wrong = run("rotate", "-c", config)
    assert "[vault] old_keys" in str(wrong.exception)
    both = '[vault]\nkey = { file = "new.key" }\nold_keys = [{ file = "vault.key" }]'
    write_config(config.parent, both)
    assert "2 keys wrapped anew" in run("rotate", "-c", config).output
    write_config(config.parent, '[vault]\nkey = { file = "new.key" }')
    assert "17-1" in run("lookup", "PBBBB", *PURPOSE, "-c", config).output
    assert run("audit", "-c", config).exit_code == 0


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_export_writes_a_file_for_one_reader(config, tmp_path, suffix):
    """A project's originals are written whole, readable by this user alone, over nothing."""
    out = tmp_path / f"heart{suffix}"
    arguments = ("export", "--project", "heart", "-o", out, *PURPOSE, "-c", config)
    done = run(*arguments)
    assert "4 originals" in done.output
    assert "17-0" not in done.output
    assert out.stat().st_mode & 0o077 == 0
    text = out.read_text()
    rows = list(csv.DictReader(io.StringIO(text))) if suffix == ".csv" else json.loads(text)
    assert {row["original"] for row in rows} == {"17-0 [x]", "17-1 [x]", "1.2.3.0", "1.2.3.1"}
    assert {row["project"] for row in rows} == {"heart"}
    assert "is left as it is" in run(*arguments).output
    assert out.read_text() == text


def test_an_export_of_nothing_is_valid(config, tmp_path):
    """An unknown project gives an empty list; a wrong ending is told before anything happens."""
    out = tmp_path / "none.json"
    assert run("export", "--project", "x", "-o", out, *PURPOSE, "-c", config).exit_code == 0
    assert json.loads(out.read_text()) == []
    assert run("export", "--project", "x", "-o", "a.txt", *PURPOSE, "-c", config).exit_code == 2


def test_an_export_that_breaks_off_leaves_no_file(config, tmp_path, monkeypatch):
    """Half a list of patients is not left lying about."""
    write_config(config.parent, '[vault]\nkey = { file = "new.key" }')
    out = tmp_path / "heart.csv"
    done = run("export", "--project", "heart", "-o", out, *PURPOSE, "-c", config)
    assert isinstance(done.exception, DeidFault)
    assert not out.exists()


def test_an_export_to_a_full_disk_is_told(config, tmp_path, monkeypatch):
    """Words instead of a traceback, and no half a list."""
    monkeypatch.setattr("node.commands.vault._write_csv", lambda *_: _full())
    out = tmp_path / "heart.csv"
    done = run("export", "--project", "heart", "-o", out, *PURPOSE, "-c", config)
    assert (done.exit_code, "No space left" in done.output) == (1, True)
    assert not out.exists()


def _full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_audit_shows_and_checks(config):
    """Who asked what is listed, and the head can be held against the trail later."""
    run("lookup", "PAAAA", *PURPOSE, "-c", config)
    run("forget", "PAAAA", *PURPOSE, "--yes", "-c", config)
    shown = run("audit", "-c", config)
    assert shown.exit_code == 0
    assert "ticket 118" in shown.output
    assert "2 entries, the trail is whole" in shown.output
    done = run("audit", "--json", "-c", config)
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["action"], each["subject"]) for each in entries] == [
        ("lookup", "PAAAA"),
        ("forget", "PAAAA"),
    ]
    assert run("audit", "--head", entries[0]["mac"], "-c", config).exit_code == 0
    cut = run("audit", "--head", "f" * 64, "-c", config)
    assert (cut.exit_code, "cut off" in cut.stderr) == (1, True)


def test_a_broken_trail_is_an_exit_status(config):
    """A changed entry ends with status 1 and the entry's number."""
    import sqlite3

    run("lookup", "PAAAA", *PURPOSE, "-c", config)
    with sqlite3.connect(config.parent / "var" / "vault.db") as db:
        db.execute("UPDATE audit SET who = 'nobody'")
    db.close()
    done = run("audit", "-c", config)
    assert (done.exit_code, "broken at entry 1" in done.stderr) == (1, True)


@pytest.mark.parametrize("purpose", ["", "  ", "x" * 501, "a\nb"])
def test_without_a_purpose_there_is_no_answer(config, purpose):
    """An empty, endless or many-lined purpose is a question of usage."""
    assert run("lookup", "PAAAA", "--purpose", purpose, "-c", config).exit_code == 2
    assert run("lookup", "PAAAA", "-c", config).exit_code == 2


def test_what_is_missing_is_named(config):
    """Without a [vault], a key or a file, the words say what to do, and nothing is made."""
    write_config(config.parent, "")
    done = run("audit", "-c", config)
    assert isinstance(done.exception, ConfigFault)
    assert "penumbra key new" in str(done.exception)
    write_config(config.parent, '[vault]\nkey = { file = "lost.key" }')
    assert "lost.key" in str(run("audit", "-c", config).exception)
    write_config(config.parent, '[vault]\nkey = { file = "new.key" }')
    (config.parent / "var" / "vault.db").rename(config.parent / "elsewhere.db")
    done = run("lookup", "PAAAA", *PURPOSE, "-c", config)
    assert isinstance(done.exception, StorageFault)
    assert "data_dir" in str(done.exception)
    assert not (config.parent / "var" / "vault.db").exists()


def test_the_vault_has_a_key_of_its_own(config):
    """A profile's key as the vault's would give both secrets to one reader: it is refused."""
    write_config(config.parent, '[vault]\nkey = { file = "research.key" }')
    with pytest.raises(ConfigFault, match="of its own"):
        vault_keys(load(config))


def test_askers_are_named():
    """A user is named by the system, not by the environment, and a job by its number and rule."""
    assert this_user("x").who
    assert (this_job(7, "back").who, this_job(7, "back").purpose) == ("job 7", "rule back")
    assert this_job(7, "a\nb").purpose == "rule a?b"
    assert len(this_job(7, "x" * 1000).purpose) == 500


@pytest.mark.parametrize("kind", ["table", "--json", ".csv", ".json"])
def test_an_original_that_is_no_text_is_shown(config, tmp_path, kind):
    """Bytes outside every character set, and escapes to a terminal, are written as \\xHH."""
    vault = open_vault(load(config))
    facts = (Fact("patient", "PCCCC", "K\udce4se \x1b[2J \u5c71"),)
    vault.keep("odd", Clean("PCCCC", "2.25.9", "2.25.9", facts), original())
    vault.close()
    if kind.startswith("."):
        out = tmp_path / f"odd{kind}"
        done = run("export", "--project", "odd", "-o", out, *PURPOSE, "-c", config)
        text = out.read_text("utf-8")
    else:
        more = [kind] if kind == "--json" else []
        done = run("lookup", "PCCCC", *more, *PURPOSE, "-c", config)
        text = done.stdout
    assert done.exit_code == 0
    slash = "\\\\" if "json" in kind else "\\"
    assert f"K{slash}xe4se {slash}x1b[2J \u5c71" in text
    assert "\x1b" not in text


def test_one_secret_in_two_files_is_one_secret(config):
    """The vault does not open under a profile's key, also where another file holds it."""
    (config.parent / "vault.key").write_bytes((config.parent / "research.key").read_bytes())
    done = run("lookup", "PAAAA", *PURPOSE, "-c", config)
    assert isinstance(done.exception, ConfigFault)
    assert "of its own" in str(done.exception)
    assert run("audit", "-c", config).exit_code != 0
