"""`penumbra evidence` writes what the ledger knows of a study, and trusts no file unverified."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from click.testing import CliRunner, Result
from pydicom.data import get_testdata_file

from config.profiles import Profile
from config.shapes import Secret
from deid.apply import deidentify
from deid.evidence.description import describe
from deid.evidence.signature import KEY_FILE
from deid.profile import compile_profile
from dicom.entity import Arrival, Instance, Location, SeriesKey
from dicom.errors import Corrupt, DoesNotMatch, StorageFault
from node.cli import penumbra
from storage.destinations.base import Receipt
from storage.evidence.entry import Account, Clean, Entry, Source
from storage.ledger.ledger import Ledger

SETTINGS = Profile(key=Secret(env="UNUSED"))
KEY = bytes(range(3, 35))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "node.toml"
    file.write_text('[node]\ndata_dir = "var"\n')
    return file


@pytest.fixture(scope="module")
def part10() -> bytes:
    return Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()


@pytest.fixture
def entry(config: Path, part10: bytes) -> Entry:
    """A real object went through a real profile, was recorded, and delivered; another was not."""
    profile = compile_profile("research", SETTINGS, KEY)
    clean = deidentify(part10, profile)
    original = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    key = SeriesKey(original.StudyInstanceUID, original.SeriesInstanceUID)
    entry = Entry(
        Source(key, original.SOPInstanceUID, "a" * 64), profile.digest, "all", 1, "0.1.0", 100.0,
        Clean(
            clean.study_instance_uid, clean.series_instance_uid, clean.sop_instance_uid, "PABC"
        ),
        Account(clean.account),
    )  # fmt: skip
    held = replace(
        entry, source=replace(entry.source, sop_instance_uid="1.2.3", digest="b" * 64), clean=None,
        account=Account(), code="not-clean", reason="self-check: (0008,0070) still holds a name",
    )  # fmt: skip
    ledger = Ledger.open(config.parent / "var")
    ledger.evidence.describe(profile.digest, describe(profile, SETTINGS))
    ledger.evidence.add([entry, held])
    arrival = Arrival("1.2", original.SOPInstanceUID, "1.2.1", "A", "B", "x", "x", 1.0)
    receipt = Receipt(
        "lake", "a" * 64, clean.sop_instance_uid, "s3://lake/1", "c" * 64, "c" * 64, "read-back", 5
    )
    ledger.receipts.add(
        1, profile.digest, [(Instance(arrival, Location("s", 0, 1), "a" * 64), receipt)]
    )
    ledger.close()
    return entry


def run(config: Path, *arguments: object) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(penumbra, ["evidence", *words, "-c", str(config)])


def written(config: Path, *arguments: object) -> list[Path]:
    done = run(config, *arguments, "-o", config.parent / "out")
    assert done.exit_code == 0, done.output
    return [Path(line) for line in done.output.splitlines()]


def test_a_report_is_written_and_verifies(config: Path, entry: Entry):
    """By its original or its new UID, a study gives a signed file and a page, both private."""
    assert entry.clean
    for uid in (entry.source.series.study_instance_uid, entry.clean.study_instance_uid):
        signed, page = written(config, uid)
        assert (signed.suffix, page.suffix) == (".json", ".html")
        assert signed.name == f"evidence-{entry.clean.study_instance_uid}-{entry.profile[:8]}.json"
        assert stat.S_IMODE(signed.stat().st_mode) == 0o600
        report = json.loads(signed.read_text())["payload"]
        assert report["counts"] == {
            "objects": 2, "clean": 1, "quarantined": 1, "delivered": 1, "delivered_before": 0,
            "series": 1,
        }  # fmt: skip
        assert report["objects"][0]["deliveries"][0]["sha256_sent"] == "c" * 64
        assert report["profile"]["name"] == "research"
        done = run(config, "--verify", signed)
        assert done.exit_code == 0
        assert "1 clean, 1 quarantined, 1 delivered" in done.output


@pytest.mark.p6
def test_no_value_of_the_original_is_in_it(config: Path, entry: Entry, part10: bytes):
    """Neither file holds a name, number, date, text or UID of the original object."""
    original = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    texts = [path.read_text() for path in written(config, entry.source.series.study_instance_uid)]
    canaries = [
        str(original[keyword].value)
        for keyword in (
            "PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
            "StudyDate", "AccessionNumber", "InstitutionName", "StationName", "FrameOfReferenceUID",
            "StudyDescription", "SeriesDescription",
        )
        if original.get(keyword)
    ]  # fmt: skip
    assert len(canaries) > 6
    for text in texts:
        assert [canary for canary in canaries if canary in text] == []


def test_originals_only_when_asked_for(config: Path, entry: Entry):
    """--with-originals names original UIDs, and the report says that it does."""
    (signed,) = written(
        config, entry.source.series.study_instance_uid, "--with-originals", "--format", "json"
    )
    report = json.loads(signed.read_text())["payload"]
    assert report["objects"][0]["original"]["sop_instance_uid"] == entry.source.sop_instance_uid
    assert "never" in report["audience"]


def test_a_changed_file_does_not_verify(config: Path, entry: Entry):
    """One changed count is found, and the exit status says so."""
    signed, _ = written(config, entry.source.series.study_instance_uid)
    signed.write_bytes(signed.read_bytes().replace(b'"quarantined":1', b'"quarantined":0'))
    done = run(config, "--verify", signed)
    assert done.exit_code == 1
    assert isinstance(done.exception, Corrupt)


def test_another_site_verifies_with_the_public_key(config: Path, entry: Entry, tmp_path: Path):
    """Whoever has the public key can verify, and needs no config file."""
    signed, _ = written(config, entry.source.series.study_instance_uid)
    public = tmp_path / "hospital.pem"
    public.write_text(run(config, "--public-key").output)
    (config.parent / "var" / KEY_FILE).unlink()
    assert run(tmp_path / "none.toml", "--verify", signed, "--key", public).exit_code == 0
    assert isinstance(run(config, "--verify", signed).exception, StorageFault)
    other = run(config, "--public-key").output
    assert other != public.read_text()


@pytest.mark.parametrize("arguments", [[], ["1.2", "--public-key"], ["1.2", "--key", "node.toml"]])
def test_one_question_at_a_time(config: Path, arguments: list[str], monkeypatch):
    """A study, a file to verify, or the public key: neither none nor two of them."""
    monkeypatch.chdir(config.parent)
    assert run(config, *arguments).exit_code == 2


def test_an_unknown_study_is_named(config: Path, entry: Entry):
    """A study that was never de-identified here gives words, and no file."""
    done = run(config, "1.9.9", "-o", config.parent / "out")
    assert isinstance(done.exception, DoesNotMatch)
    assert not (config.parent / "out").exists()


def test_a_folder_that_cannot_be_is_told(config: Path, entry: Entry):
    """Where reports cannot be written, words say so."""
    (config.parent / "taken").write_text("a file")
    done = run(config, entry.source.series.study_instance_uid, "-o", config.parent / "taken" / "x")
    assert (done.exit_code, "cannot be written" in done.output) == (1, True)


def test_where_no_node_has_run(config: Path):
    """Without a ledger the command says so and makes nothing."""
    assert isinstance(run(config, "1.2").exception, StorageFault)
    assert not (config.parent / "var").exists()


def test_each_project_has_its_own_report(config: Path, entry: Entry):
    """Two profiles give two reports; neither names the other's pseudonyms."""
    assert entry.clean
    other = replace(
        entry, profile="9" * 64, clean=replace(entry.clean, study_instance_uid="2.25.424242")
    )
    ledger = Ledger.open(config.parent / "var")
    ledger.evidence.add([other])
    ledger.close()
    files = written(config, entry.source.series.study_instance_uid, "--format", "json")
    assert len(files) == 2
    assert ["2.25.424242" in file.read_text() for file in files].count(True) == 1
