"""The worklist's folder: what is in it is on the worklist, and no more."""

import json
import shutil

import pytest
import structlog

from config.model import Settings
from dicom.errors import StorageFault
from dicom.worklist import STEPS
from examples.peers.process import wait_until
from node.worklist.folder import REASONS, Folder
from node.worklist.keeper import WorklistKeeper
from storage.ledger.ledger import Ledger
from storage.ledger.worklist import Narrowing


@pytest.fixture
def ledger(tmp_path):
    """A ledger of its own."""
    made = Ledger.open(tmp_path / "var")
    yield made
    made.close()


@pytest.fixture
def root(tmp_path):
    """The folder."""
    made = tmp_path / "wl"
    made.mkdir()
    return made


@pytest.fixture
def folder(ledger, root, tmp_path):
    """What looks through it."""
    return Folder(root, ledger.worklist, tmp_path / REASONS)


def write(path, patient="4711", **step):
    """Write an entry as JSON."""
    told = {
        "PatientName": "KANARIENVOGEL", "PatientID": patient, "AccessionNumber": "A1",
        STEPS: [{"Modality": "CT", "ScheduledProcedureStepID": path.stem[:16],
                 "ScheduledProcedureStepStartDate": "20260706", **step}],
    }  # fmt: skip
    path.write_text(json.dumps(told))


def patients(ledger):
    """Whose entries scanners are told."""
    return sorted(one.item["PatientID"] for one in ledger.worklist.candidates(Narrowing()))


def look(folder, times=2):
    """Look as often: a file must be the same at two looks."""
    for number in range(times):
        folder.look(float(number))


def test_files_come_change_and_go(folder, ledger, root):
    """A new file is an entry, a changed one changes it, and one that is removed takes it back."""
    write(root / "a.json")
    write(root / "b.json", "4712")
    look(folder)
    assert patients(ledger) == ["4711", "4712"]
    write(root / "a.json", "4713-and-longer")
    look(folder)
    assert patients(ledger) == ["4712", "4713-and-longer"]
    (root / "b.json").rename(root / "c.json")
    (root / "a.json").unlink()
    look(folder)
    assert patients(ledger) == ["4712"]


def test_a_file_that_grows_is_waited_for(folder, ledger, root):
    """A file is read once it was the same at two looks."""
    write(root / "a.json")
    look(folder, 1)
    write(root / "a.json", "4711-more")
    look(folder, 1)
    assert patients(ledger) == []
    look(folder, 1)
    assert patients(ledger) == ["4711-more"]


def test_what_was_read_is_not_read_again(folder, ledger, root, tmp_path, monkeypatch):
    """A restart reads no file anew that is as it was."""
    write(root / "a.json")
    look(folder)
    again = Folder(root, ledger.worklist, tmp_path / REASONS)
    monkeypatch.setattr("node.worklist.folder.of_file", lambda data: pytest.fail("read again"))
    look(again)
    assert patients(ledger) == ["4711"]


def test_others_files_are_left_alone(folder, ledger, root):
    """Lock files, hidden files, links, folders and other names are none of its business."""
    write(root / "a.txt")
    write(root / ".hidden.json")
    (root / "lockfile").touch()
    (root / "d.json").mkdir()
    (root / "link.json").symlink_to(root / "a.txt")
    look(folder)
    assert (patients(ledger), folder.count) == ([], 0)


@pytest.mark.p6
def test_a_bad_file_is_named_beside_the_ledger_alone(folder, ledger, root, tmp_path):
    """What cannot be read is named with its reason in a file of the node, until it is mended."""
    (root / "KANARIENVOGEL.wl").write_bytes(b"no dataset")
    write(root / "b.json", ScheduledProcedureStepStartDate="soon")
    with structlog.testing.capture_logs() as lines:
        look(folder)
    assert folder.rejected == 2
    reasons = (tmp_path / REASONS).read_text()
    assert "'KANARIENVOGEL.wl': " in reasons
    assert "ScheduledProcedureStepStartDate is no date" in reasons
    assert (tmp_path / REASONS).stat().st_mode & 0o077 == 0
    assert "KANARIE" not in str(lines)
    write(root / "b.json")
    (root / "KANARIENVOGEL.wl").unlink()
    look(folder)
    assert (folder.rejected, patients(ledger)) == (0, ["4711"])
    assert not (tmp_path / REASONS).exists()


def test_a_file_that_became_bad_is_no_longer_told(folder, ledger, root):
    """What it said before may be wrong by now, so that no scanner is told it any longer."""
    write(root / "a.json")
    look(folder)
    (root / "a.json").write_text("{ half")
    look(folder)
    assert patients(ledger) == []


def test_a_large_file_is_not_read(folder, ledger, root):
    """More than a megabyte is no entry."""
    (root / "a.wl").write_bytes(b" " * (1 << 20) + b"{}")
    look(folder)
    assert (folder.rejected, patients(ledger)) == (1, [])


def test_a_folder_that_is_away_takes_nothing_back(folder, ledger, root):
    """While a share is not mounted its entries stay, and the fault names the folder."""
    write(root / "a.json")
    look(folder)
    shutil.move(root, root.with_name("away"))
    with pytest.raises(StorageFault, match="wl cannot be read"):
        look(folder)
    assert patients(ledger) == ["4711"]


def test_the_keeper_says_what_is_in_the_way(ledger, root, tmp_path):
    """It looks by itself, tells of trouble in its facts, and of its end when it is mended."""
    settings = Settings.model_validate(
        {"node": {"data_dir": tmp_path}, "worklist": {"folder": root, "poll_s": 0.02}}
    )
    keeper = WorklistKeeper(settings, ledger.worklist)
    (root / "bad.wl").write_bytes(b"no dataset")
    keeper.start()
    try:
        wait_until(lambda: "1 files" in str(keeper.facts()["trouble"]), 5, "trouble")
        (root / "bad.wl").unlink()
        write(root / "a.json")
        wait_until(lambda: patients(ledger) == ["4711"], 5, "the entry")
        wait_until(lambda: not keeper.facts()["trouble"], 5, "the end of trouble")
        shutil.move(root, root.with_name("away"))
        wait_until(lambda: "cannot be read" in str(keeper.facts()["trouble"]), 5, "trouble")
    finally:
        keeper.stop(5)
    assert keeper.facts()["entries"]["SCHEDULED"] == 1
