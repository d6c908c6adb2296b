"""`penumbra pause` and `penumbra resume`: what is owed to a target waits, and goes on."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from config.load import load
from dicom.entity import SeriesKey
from dicom.errors import ConfigFault
from node.commands import pause, resume, status
from routing.job import Kind, NewJob
from storage.ledger import jobs
from storage.ledger.ledger import Ledger

CONFIG = """
[node]
data_dir = "var"
[destinations.lake]
kind = "folder"
path = "lake"
[destinations.pacs]
kind = "folder"
path = "pacs"
[[rules]]
name = "all"
send = ["lake", "pacs"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def ledger(config: Path):
    """A ledger in which a Series is owed to both destinations."""
    with closing(Ledger.open(load(config).node.data_dir)) as made:
        with made.database.write() as db:
            for target in ("pacs", "lake"):
                owed = NewJob(Kind.FORWARD, SeriesKey("1.2", "1.3"), 1, "all", target)
                jobs.insert(db, [owed], 1.0)
        yield made


def run(module: object, config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        module.command, [*arguments, "-c", str(config)], catch_exceptions=False
    )


def claimed(ledger: Ledger) -> list[str]:
    """Claim what can be claimed, and hand it back; the targets in order."""
    found = []
    while job := ledger.jobs.claim("test", {Kind.FORWARD}, 2.0, 60.0):
        found.append(job)
    for job in found:
        assert ledger.jobs.release(job, 2.0)
    return [job.spec.target for job in found]


@pytest.mark.p3
def test_what_is_owed_to_a_paused_target_waits(config, ledger):
    """A paused target's jobs are given to nobody and lose no attempt; others go on; then all do."""
    assert claimed(ledger) == ["pacs", "lake"]
    done = run(pause, config, "pacs", "--reason", "upgrade, ticket 118")
    assert done.output == "pacs is paused.\n"
    assert run(pause, config, "pacs", "--reason", "again").output == "pacs was paused already.\n"
    assert claimed(ledger) == ["lake"]
    facts = json.loads(run(status, config, "--json").output)
    assert facts["paused"] == {"pacs": "upgrade, ticket 118"}
    assert "pacs (upgrade, ticket 118)" in run(status, config).output
    assert run(resume, config, "pacs", "lake").output == "pacs goes on.\nlake was not paused.\n"
    assert claimed(ledger) == ["pacs", "lake"]
    told = [(one.type, one.subject) for one in ledger.outbox.after(0, 10)]
    assert told == [("penumbra.target.paused", "pacs"), ("penumbra.target.resumed", "pacs")]


def test_a_pause_outlives_the_process(config, ledger):
    """What is paused stays so for whoever opens the ledger next; --all ends every pause."""
    run(pause, config, "pacs", "lake", "--reason", "move")
    with closing(Ledger.open(load(config).node.data_dir)) as again:
        assert [one.target for one in again.pauses.list()] == ["lake", "pacs"]
        assert claimed(again) == []
    assert run(resume, config, "--all").output == "lake goes on.\npacs goes on.\n"
    assert claimed(ledger) == ["pacs", "lake"]


def test_a_slip_in_the_name_pauses_nothing(config, ledger):
    """A name that the config file does not know is told, with the nearest; none is paused."""
    with pytest.raises(ConfigFault, match="pac"):
        run(pause, config, "lake", "pasc", "--reason", "upgrade")
    assert ledger.pauses.list() == []
    assert run(resume, config).exit_code == 2
