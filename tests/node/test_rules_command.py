"""`penumbra rules`: what rules would do and why, on files and on the past, changing nothing."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset

from config.load import load
from dicom.entity import Origin
from dicom.errors import CannotUnderstand, ConfigFault, DoesNotMatch, StorageFault
from node.cli import penumbra
from routing.job import State
from routing.rules import compile_rules

HEAD = """
[node]
data_dir = "var"
ae_title = "PENUMBRA"
[peers.CT1]
may = ["store"]
[destinations.lake]
kind = "folder"
path = "lake"
[destinations.pacs]
kind = "folder"
path = "pacs"
[models.lungs]
endpoints = ["h:1"]
model = "m"
"""
RULES = """
[[rules]]
name = "chest"
when = { Modality = "CT", PatientName = "Quil*" }
send = ["lake"]
infer = ["lungs"]
results_to = ["pacs"]
"""
NEW_RULES = """
[[rules]]
name = "all CT"
when = { Modality = "CT", peer = "CT1" }
send = ["lake", "pacs"]
[[rules]]
name = "near"
expr = "SliceLocation < 3"
send = ["pacs"]
"""
NAME = "Quillobert^Zyx"


def image(series: str = "1.2.5", *, modality: str = "CT") -> Dataset:
    one = Dataset()
    one.SOPClassUID, one.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"{series}.1"
    one.StudyInstanceUID, one.SeriesInstanceUID = "1.2.4", series
    one.Modality, one.PatientName, one.StudyDate = modality, NAME, "20260105"
    return one


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(penumbra, ["rules", *(str(argument) for argument in arguments)])


def said(*arguments: str | Path) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


def lines(*arguments: str | Path) -> list[dict]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(HEAD + RULES)
    return file


@pytest.fixture
def new(tmp_path: Path) -> Path:
    file = tmp_path / "new.toml"
    file.write_text(HEAD + NEW_RULES)
    return file


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    one, file = image(), tmp_path / "scan.dcm"
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dcmwrite(file, one, enforce_file_format=True)
    return file


@pytest.fixture
def past(front, config: Path):
    """A node that has settled a CT and an MR Series by the rules of node.toml, just now."""
    front.receive(image())
    front.receive(image("1.2.6", modality="MR"))
    assert front.settle(compile_rules(load(config).rules), now=time.time()) == 2
    return front


def test_files_are_held_against_rules(config: Path, scan: Path):
    """Each condition is told with whether it held; what would be owed stands below."""
    told = said("test", scan, "-c", config)
    assert "Series 1.2.5 of Study 1.2.4" in told
    assert "rule 'chest' matches" in told
    assert 'holds    Modality = "CT"   [Modality is CT]' in told
    assert "owes: forward to lake, rule 'chest'; infer to lungs, rule 'chest'" in told


def test_a_series_is_told_once(config: Path, scan: Path):
    """Its first file speaks for it, however many there are."""
    assert len(lines("test", scan, scan, "-c", config)) == 1


@pytest.mark.parametrize(
    ("condition", "options", "verdict"),
    [
        ('calling_ae = "CT1"', ["--calling-ae", "CT1"], "matches"),
        ('calling_ae = "CT1"', [], "does_not"),
        ('peer = "CT1"', ["--calling-ae", "CT1"], "matches"),
        ('peer = "CT1"', ["--calling-ae", "CT2"], "does_not"),
        ('called_ae = "PENUMBRA"', [], "matches"),
        ('called_ae = "PENUMBRA"', ["--called-ae", "OTHER"], "does_not"),
        ('time = "22:00-06:00"', ["--at", "23:30"], "matches"),
        ('time = "22:00-06:00"', ["--at", "12:30"], "does_not"),
        ('weekday = "sat"', ["--at", "2026-11-21 12:00"], "matches"),
        ('weekday = "sat"', ["--at", "2026-11-20 12:00"], "does_not"),
    ],
)
def test_who_sends_and_when_can_be_said(config, scan, condition, options, verdict):
    """Files come from whom and when the options say; otherwise to the node's own title."""
    rule = f'[[rules]]\nname = "r"\nwhen = {{ {condition} }}\nsend = ["lake"]'
    config.write_text(HEAD + rule)
    (one,) = lines("test", scan, "-c", config, *options)
    assert one["rules"][0]["verdict"] == verdict


@pytest.mark.p6
@pytest.mark.parametrize("command", [["test"], ["explain", "1.2.4"]])
def test_identifying_values_are_shown_on_request_alone(past, config, scan, command):
    """Values that PS3.15 lists are told to be there; --show-values prints them."""
    arguments = [*command, *([scan] if command == ["test"] else []), "-c", config]
    for options in ([], ["--json"]):
        assert NAME not in said(*arguments, *options)
        assert NAME in said(*arguments, *options, "--show-values")
    assert "PatientName is there" in said(*arguments)


@pytest.mark.p6
def test_an_error_of_cel_is_told_on_request_alone(config, scan):
    """CEL's own words may quote a value."""
    expr = "expr = 'timestamp(PatientName) > timestamp(\"2026-01-01T00:00:00Z\")'"
    config.write_text(HEAD + f'[[rules]]\nname = "r"\n{expr}\nsend = ["lake"]')
    told = said("test", scan, "-c", config)
    assert "rule 'r' cannot be evaluated" in told
    assert "--show-values tells it" in told
    assert "Timestamp conversion" not in told
    assert "Timestamp conversion" in said("test", scan, "-c", config, "--show-values")


def test_explain_tells_what_was_made(past, config, new):
    """Beside what the rules ask for now stands what the node made when the Series settled."""
    told = said("explain", "1.2.4", "-c", config)
    assert "made, revision 1 (quiet): forward to lake, rule 'chest'; infer to lungs" in told
    mr = told.split("Series 1.2.6")[1]
    assert 'does not Modality = "CT"   [Modality is MR]' in mr
    assert "made, revision 1 (quiet): nothing" in mr
    ct = lines("explain", "1.2.4", "-c", new)[0]
    assert [job["target"] for job in ct["owes"]] == ["lake", "pacs"]
    assert [job["target"] for job in ct["made"]] == ["lake", "lungs"]


def test_a_study_can_be_tested_too(past, new):
    """`test --study` holds other rules against what the node has."""
    told = lines("test", "--study", "1.2.4", "-c", new)
    assert [one["rules"][0]["verdict"] for one in told] == ["matches", "does_not"]
    assert told[0]["rules"][1]["verdict"] == "undecided"


def test_a_series_that_has_not_settled_has_nothing_made(front, config):
    """What is still open is told with what it would owe."""
    front.receive(image())
    (one,) = lines("explain", "1.2.4", "-c", config)
    assert one["made"] is None
    assert [job["target"] for job in one["owes"]] == ["lake", "lungs"]


def test_a_result_is_told_where_it_goes(front, config):
    """A model's result matches no rule; the rule that asked for it says where it goes."""
    front.receive(image(modality="SR"), origin=Origin.AI, rule="chest")
    (one,) = lines("explain", "1.2.4", "-c", config)
    assert one["rules"] == []
    assert [(job["kind"], job["target"]) for job in one["owes"]] == [("forward", "pacs")]
    assert "results_to of its rule" in said("explain", "1.2.4", "-c", config)


def test_replay_tells_what_would_change(past, new):
    """What would be made and was not, and what was made and would not be; each rule that fails."""
    done = run("replay", "-c", new, "--since", "1h")
    assert done.exit_code == 0
    assert "Series 1.2.5 of Study 1.2.4, CT, 1 objects" in done.stdout
    assert "rules before: chest; after: all CT" in done.stdout
    assert "+ forward to pacs, rule 'all CT'" in done.stdout
    assert "- infer to lungs, rule 'chest'" in done.stdout
    assert "to lake" not in done.stdout, "what stays the same is no change"
    assert "1.2.6" not in done.stdout
    assert "2 Series settled since" in done.stdout
    assert "1 would change, 1 jobs more, 1 jobs fewer; 0 could not be read" in done.stdout
    assert "rule 'near' cannot be evaluated for 2 Series" in done.stderr
    assert NAME not in done.output


def test_replay_under_the_same_rules_changes_nothing(past, config):
    """The rules that made it would make it again."""
    assert lines("replay", "-c", config) == []
    (ct, mr) = lines("replay", "-c", config, "--all")
    assert (ct["added"], ct["missing"], mr["added"], mr["missing"]) == ([], [], [], [])


def test_replay_sends_nothing(past, new):
    """Jobs, events and Series are as they were."""

    def everything():
        ledger = past.ledger
        return ledger.jobs.list(list(State)), ledger.outbox.after(0, 1000), ledger.summary()

    before = everything()
    run("replay", "-c", new)
    run("explain", "1.2.4", "-c", new)
    assert everything() == before


def test_replay_names_what_it_cannot_read(past, new):
    """A Series whose first object has left the spool is counted, not passed over."""
    for segment in (past.data_dir / "spool").glob("*-*"):
        segment.unlink()
    told = said("replay", "-c", new)
    assert "Series 1.2.5 of Study 1.2.4: cannot be read (corrupt)" in told
    assert "0 would change, 0 jobs more, 0 jobs fewer; 2 could not be read." in told


def test_replay_of_another_data_directory(past, new, tmp_path):
    """A draft beside the node's own config file is replayed on the node's data."""
    new.write_text(new.read_text().replace('"var"', '"elsewhere"'))
    assert isinstance(run("replay", "-c", new).exception, StorageFault)
    assert "1 would change" in said("replay", "-c", new, "--data-dir", tmp_path / "var")


def test_only_what_settled_since_then_is_replayed(front, config, new):
    """What settled before is not looked at."""
    front.receive(image())
    front.settle(compile_rules(load(config).rules), now=time.time() - 7200)
    assert "0 Series settled" in said("replay", "-c", new, "--since", "1h")
    assert "1 Series settled" in said("replay", "-c", new, "--since", "3h")


def test_files_are_taken_for_a_whole_study(config: Path, scan: Path):
    """What rules ask of a Study is counted from the files that are given."""
    rule = (
        '[[rules]]\nname = "whole"\nper = "study"\nsend = ["lake"]\n'
        'when = { ModalitiesInStudy = "CT", NumberOfStudyRelatedInstances = 2 }\n'
    )
    config.write_text(HEAD + rule)
    assert "rule 'whole' (per study) does not match" in said("test", scan, "-c", config)
    assert "rule 'whole' (per study) matches" in said("test", scan, scan, "-c", config)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["test"], "give files, or --study UID"),
        (["test", "{scan}", "--study", "1.2"], "give files, or --study UID"),
        (["test", "--study", "1.2", "--at", "12:00"], "go with files"),
        (["test", "nowhere.dcm"], "does not exist"),
        (["replay", "--since", "soon"], "'soon' is no duration: 90m, 12h, 7d"),
        (["replay", "--since", "999999999w"], "is no duration"),
    ],
)
def test_slips_on_the_command_line_are_told(config, scan, arguments, words):
    """What makes no sense is told with what would."""
    done = run(*(each.format(scan=scan) for each in arguments), "-c", config)
    assert done.exit_code == 2
    assert words in done.output


def test_what_is_not_there_is_named(past, config, tmp_path):
    """An unknown Study, a file that is no DICOM and a wrong rule end in words, not in a trace."""
    assert isinstance(run("explain", "1.9", "-c", config).exception, DoesNotMatch)
    (tmp_path / "note.txt").write_text("hello")
    fault = run("test", tmp_path / "note.txt", "-c", config).exception
    assert isinstance(fault, CannotUnderstand)
    assert "note.txt" in str(fault)
    config.write_text(HEAD + '[[rules]]\nname = "r"\nexpr = "1 +"\nsend = ["lake"]')
    fault = run("explain", "1.2.4", "-c", config).exception
    assert isinstance(fault, ConfigFault)
    assert dict(fault.problems)["rules[0].expr"].startswith("column 4")


def test_looking_back_in_a_node_that_never_ran(config):
    """Without a ledger there is no past, and none is made."""
    assert isinstance(run("explain", "1.2", "-c", config).exception, StorageFault)
    assert not (config.parent / "var").exists()
