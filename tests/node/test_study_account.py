"""`penumbra explain study`: when a Study was complete, why, and what followed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset

from dicom.entity import Origin
from dicom.errors import DoesNotMatch
from node.cli import penumbra
from node.commands.status import lines
from routing.rules import Per, compile_rule
from routing.settle import Timing
from storage.ledger.expectations import Expected

RULES = [
    compile_rule("each", {}, send=["lake"], results_to=["pacs"]),
    compile_rule("whole", {}, send=["pacs"], per=Per.STUDY),
]


def image(uid: str, series: str, modality: str = "CT") -> Dataset:
    one = Dataset()
    one.SOPClassUID, one.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid
    one.StudyInstanceUID, one.SeriesInstanceUID = "1.2", series
    one.Modality, one.PatientName = modality, "Quillobert^Zyx"
    return one


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "node.toml"
    file.write_text('[node]\ndata_dir = "var"\n')
    return file


@pytest.fixture
def study(front) -> None:
    """A Study that settled, short of what was announced, and a Series that is still open."""
    front.timing = Timing(1, 1, 5, 5)
    front.ledger.expectations.note([Expected("1.2", "1.2.1", "mpps", 3)], 9)
    front.receive(image("1.2.1.1", "1.2.1"), received_at=10.0)
    front.receive(image("1.2.9.1", "1.2.9", "SR"), received_at=10, origin=Origin.AI, rule="each")
    front.settle(RULES, now=20.0)
    front.receive(image("1.2.2.1", "1.2.2", "MR"), received_at=30.0)


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(penumbra, ["explain", "study", *map(str, arguments)])
    if done.exception:
        raise done.exception
    return done.output


@pytest.mark.usefixtures("study")
def test_each_revision_stands_there_with_its_reason(config: Path):
    """What was announced, what was missing, and every job are told; no patient is named."""
    told = run("1.2", "-c", config)
    for words in (
        "Study 1.2: 3 Series, 3 objects",
        "Series 1.2.1: CT, 1 object",
        "announced: 3 objects (mpps)",
        "quiet, 2 of 3 announced missing (mpps); 1 object, 1 job",
        "forward to pacs, rule 'whole', revision 1: waiting",
        "Series 1.2.9: SR, 1 object, a result of rule 'each'",
        "Series 1.2.2: MR, 1 object\n    not complete yet",
    ):
        assert words in told
    assert "Quillobert" not in told


@pytest.mark.usefixtures("study")
def test_programs_get_it_as_json(config: Path):
    """The same facts, in one object."""
    found = json.loads(run("1.2", "--json", "-c", config))
    assert [one["words"] for one in found["revisions"]] == ["quiet"]
    series = {one["series"]: one for one in found["series"]}
    (revision,) = series["1.2.1"]["revisions"]
    assert (revision["reason"], revision["expected"], revision["missing"]) == ("quiet", 3, 2)
    assert [job["rule"] for job in series["1.2.1"]["jobs"]] == ["each", "whole"]
    assert series["1.2.2"]["revisions"] == []


@pytest.mark.usefixtures("study")
def test_a_study_that_is_not_there_is_named(config: Path):
    """A slip in the UID ends in words."""
    with pytest.raises(DoesNotMatch, match=r"study 1\.9 is not known here"):
        run("1.9", "-c", config)


def test_the_status_names_rules_that_failed():
    """Whoever looks at the status sees which rule to mend."""
    facts = {"node": {"running": False, "ae_title": "N"}, "rules_failed": {"chest": 3}}
    told = dict(lines(facts))
    assert told["rules"].startswith("could not be evaluated since the start: chest 3 times")
    assert "rules" not in dict(lines({**facts, "rules_failed": {}}))
