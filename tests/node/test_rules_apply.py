"""`penumbra rules apply`: what rules missed is written afterwards, once, and then let go of."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom.dataset import Dataset

from config.load import load
from dicom.entity import SeriesKey
from dicom.errors import DoesNotMatch
from node.applying import RULES_APPLIED
from node.cli import penumbra
from routing.job import State
from routing.rules import compile_rules
from routing.settle import Timing

HEAD = """
[node]
data_dir = "var"
[peers.CT1]
may = ["store"]
[destinations.lake]
kind = "folder"
path = "lake"
[destinations.pacs]
kind = "folder"
path = "pacs"
"""
RULES = """
[[rules]]
name = "chest"
when = { Modality = "CT" }
send = ["lake"]
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


def image(series: str = "1.2.5", *, modality: str = "CT") -> Dataset:
    one = Dataset()
    one.SOPClassUID, one.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"{series}.1"
    one.StudyInstanceUID, one.SeriesInstanceUID = "1.2.4", series
    one.Modality = modality
    return one


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(penumbra, ["rules", *map(str, arguments)])


def said(*arguments: str | Path) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


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
def past(front, config: Path):
    """A node that has settled a CT and an MR Series by the rules of node.toml, just now."""
    front.receive(image())
    front.receive(image("1.2.6", modality="MR"))
    assert front.settle(compile_rules(load(config).rules), now=time.time()) == 2
    return front


def jobs(front) -> list[str]:
    return [
        f"{job.spec.rule} {job.spec.kind} {job.spec.target} {job.spec.series.series_instance_uid}"
        for job in front.ledger.jobs.list(list(State))
    ]


def test_apply_writes_what_replay_shows_and_only_once(past, new: Path):
    """Jobs that were not made are written, those that were stay; doing it again writes nothing."""
    before = jobs(past)
    dry = said("apply", "-c", new, "--dry-run")
    assert jobs(past) == before
    added = [line for line in said("replay", "-c", new).splitlines() if line.startswith("  + ")]
    assert added
    assert [line for line in dry.splitlines() if line.startswith("  + ")] == added
    told = said("apply", "-c", new, "--yes")
    assert f"{len(added)} jobs were written." in told
    assert jobs(past)[: len(before)] == before
    assert len(jobs(past)) == len(before) + len(added)
    assert "0 jobs for 0 Series" in said("apply", "-c", new, "--yes")
    (event, *_) = [one for one in past.ledger.outbox.after(0, 99) if one.type == RULES_APPLIED]
    assert event.data["by"]


def test_apply_asks_first(past, new: Path):
    """Nothing is written unless somebody says yes."""
    before = jobs(past)
    done = CliRunner().invoke(penumbra, ["rules", "apply", "-c", str(new)], input="n\n")
    assert done.exit_code == 1
    assert "Write" in done.output
    assert jobs(past) == before


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--study", "1.2.4"], True),
        (["--study", "1.9"], False),
        (["--since", "1s", "--study", "1.2.4"], True),
    ],
)
def test_apply_can_be_narrowed(past, new: Path, options: list[str], count: bool):
    """One Study, one rule, or one time, and no other."""
    assert ("0 jobs" not in said("apply", "-c", new, "--dry-run", *options)) is count
    assert isinstance(run("apply", "-c", new, "--rule", "nothing").exception, DoesNotMatch)


def test_rules_per_study_are_applied_once_the_study_has_settled(front, config: Path):
    """Before that they are not missed: the settler makes their jobs."""
    per_study = config.parent / "study.toml"
    rule = (
        '[[rules]]\nname = "whole"\nper = "study"\nsend = ["lake"]\n'
        "when = { NumberOfStudyRelatedSeries = 1 }\n"
    )
    per_study.write_text(HEAD + rule)
    front.receive(image())
    front.settle([], now=time.time())
    assert "0 jobs" in said("apply", "-c", per_study, "--dry-run")
    front.timing = Timing(1, 1)
    front.settle([], now=time.time())
    assert "forward to lake, rule 'whole'" in said("apply", "-c", per_study, "--yes")
    assert "rule 'whole' (per study) matches" in said("explain", "1.2.4", "-c", per_study)
    assert "made, revision 1 (quiet): forward to lake" in said("explain", "1.2.4", "-c", per_study)


def waits_for_rules(front, config: Path, series: str = "1.2.5") -> list[str]:
    """Name the rules that keep a Series in the spool, as `explain study` tells them."""
    done = CliRunner().invoke(penumbra, ["explain", "study", "1.2.4", "--json", "-c", str(config)])
    (told,) = (one for one in json.loads(done.output)["series"] if one["series"] == series)
    failed = [one["rule"] for one in told["rules_failed"]]
    kept = front.ledger.holdings.standing(SeriesKey("1.2.4", series))
    assert kept.unplanned is bool(failed)
    return failed


@pytest.mark.p2
def test_what_a_rule_failed_about_is_kept_until_it_is_applied(front, config: Path):
    """Mended rules write its jobs, and only when every rule can say may the Series leave."""
    near = '[[rules]]\nname = "near"\nexpr = "SliceLocation < 3"\nsend = ["pacs"]\n'
    config.write_text(HEAD + RULES + near)
    front.receive(image())
    front.settle(compile_rules(load(config).rules), now=time.time())
    assert waits_for_rules(front, config) == ["near"]
    assert "rule 'near' failed" in CliRunner().invoke(
        penumbra, ["explain", "study", "1.2.4", "-c", str(config)]
    ).output  # fmt: skip
    assert "'near' cannot be evaluated" in said("apply", "-c", config, "--yes")
    assert waits_for_rules(front, config) == ["near"]
    config.write_text(HEAD + RULES + near.replace("< 3", "== null"))
    assert "'near' failed, and no longer does" in said("apply", "-c", config, "--dry-run")
    said("apply", "-c", config, "--rule", "chest", "--yes")
    assert waits_for_rules(front, config) == ["near"], "what it asks for was not written"
    assert "1 jobs were written" in said("apply", "-c", config, "--yes")
    assert waits_for_rules(front, config) == []
    assert "near forward pacs 1.2.5" in jobs(front)


@pytest.mark.p2
def test_a_rule_that_does_not_mean_it_frees_a_series(front, config: Path):
    """Where the mended rule asks for nothing, or is gone, nothing but the note goes."""
    config.write_text(HEAD + '[[rules]]\nname = "r"\nexpr = "SliceLocation < 3"\nsend = ["pacs"]\n')
    front.receive(image())
    front.settle(compile_rules(load(config).rules), now=time.time())
    config.write_text(HEAD)
    assert waits_for_rules(front, config) == ["r"]
    assert "0 jobs were written" in said("apply", "-c", config, "--yes")
    assert waits_for_rules(front, config) == []
    assert jobs(front) == []


@pytest.mark.p2
def test_while_a_study_is_open_a_failed_rule_stays_noted(front, config: Path):
    """Rules per Study are not asked then, and one of them may be what the other kept back."""
    rules = '[[rules]]\nname = "r"\nexpr = "{}"\nsend = ["pacs"]\nstop = true\n'
    rules += '[[rules]]\nname = "whole"\nper = "study"\nsend = ["lake"]\n'
    config.write_text(HEAD + rules.format("SliceLocation < 3"))
    front.timing = Timing(1, 1, study_quiet_s=1)
    front.receive(image())
    front.settle(compile_rules(load(config).rules), now=time.time())
    front.receive(image("1.2.6"), received_at=time.time())
    front.timing = Timing(0, 0, study_quiet_s=500)
    front.settle(compile_rules(load(config).rules), now=time.time() + 2)
    config.write_text(HEAD + rules.format("Modality == 'MR'"))
    said("apply", "-c", config, "--yes")
    assert waits_for_rules(front, config) == ["r"]
    front.timing = Timing(0, 0, study_quiet_s=0)
    front.settle(compile_rules(load(config).rules), now=time.time() + 600)
    said("apply", "-c", config, "--yes")
    assert waits_for_rules(front, config) == []
    assert "whole forward lake 1.2.5" in jobs(front)
