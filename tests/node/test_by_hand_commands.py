"""`penumbra held`, `retry` and `drop` tell a person what stands, and move only what can move."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dicom.entity import SeriesKey
from dicom.errors import DoesNotMatch, StorageFault
from node.cli import penumbra
from routing.job import Kind, NewJob, State
from storage.ledger import jobs
from storage.ledger.ledger import Ledger


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "node.toml"
    file.write_text('[node]\ndata_dir = "var"\n')
    return file


def hold(config: Path, *targets: str, fault: str = "refused") -> None:
    """Write a held job per target."""
    ledger = Ledger.open(config.parent / "var")
    new = [NewJob(Kind.FORWARD, SeriesKey("1.2", "1.2.3"), 1, "all", target) for target in targets]
    with ledger.database.write() as db:
        jobs.insert(db, new, time.time(), state=State.HELD, fault=fault, words="answered no")
    ledger.close()


def states(config: Path) -> dict[str, State]:
    ledger = Ledger.open(config.parent / "var")
    found = {job.spec.target: job.state for job in ledger.jobs.list(list(State))}
    ledger.close()
    return found


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(penumbra, [str(argument) for argument in arguments])


@pytest.mark.p3
def test_held_says_what_and_why(config: Path):
    """Each held job is listed with its target and its reason, for people and for programs."""
    hold(config, "pacs", "lake")
    table = run("held", "-c", config).output
    assert "pacs" in table
    assert "refused" in table
    rows = [json.loads(line) for line in run("held", "--json", "-c", config).output.splitlines()]
    assert [(row["target"], row["words"], row["study"]) for row in rows] == [
        ("lake", "answered no", "1.2"),
        ("pacs", "answered no", "1.2"),
    ]


def test_held_counts_first_and_lists_what_is_wanted(config: Path):
    """On top stands how many are held by target and fault; options choose, and say what is left."""
    hold(config, "pacs", "lake")
    hold(config, "lake2", "lake3", fault="not-clean")
    lines = run("held", "-c", config).output.splitlines()
    assert lines[0] == "4 held"
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["1", "lake", "refused,"], ["1", "lake2", "not-clean,"], ["1", "lake3", "not-clean,"],
        ["1", "pacs", "refused,"],
    ]  # fmt: skip
    lines = run("held", "--fault", "not-clean", "--limit", "1", "-c", config).output.splitlines()
    assert (lines[0], lines[-1]) == ("2 held", "... and 1 more")
    assert "lake2" in lines[-2]
    assert run("held", "--target", "nobody", "-c", config).output == "Nothing is held.\n"
    only = run("held", "--json", "--target", "pacs", "-c", config).output.splitlines()
    assert [json.loads(line)["target"] for line in only] == ["pacs"]


def test_any_words_are_json(config: Path):
    """Quotes, line ends and umlauts in what a peer said break no line of --json."""
    words = 'said "no\\n"\n\tund läuft nicht'
    ledger = Ledger.open(config.parent / "var")
    new = NewJob(Kind.FORWARD, SeriesKey("1.2", "1.2.3"), 1, 'rule "a"', "pacs")
    with ledger.database.write() as db:
        jobs.insert(db, [new], 1.5, state=State.HELD, fault="refused", words=words)
    ledger.close()
    (line,) = run("held", "--json", "-c", config).output.splitlines()
    assert json.loads(line) == {
        "id": 1, "kind": "forward", "rule": 'rule "a"', "target": "pacs", "study": "1.2",
        "series": "1.2.3", "attempts": 0, "fault": "refused", "words": words, "held_at": 1.5,
    }  # fmt: skip


def test_retry_and_drop_move_what_is_named(config: Path):
    """One job by its id, or all; each says how many."""
    hold(config, "pacs", "lake", "shelf")
    assert run("retry", "1", "-c", config).output == "1 put back to work.\n"
    assert run("drop", "2", "-c", config).output == "1 dropped.\n"
    assert run("retry", "--all", "-c", config).output == "1 put back to work.\n"
    assert states(config) == {
        "pacs": State.WAITING, "lake": State.DROPPED, "shelf": State.WAITING,
    }  # fmt: skip


@pytest.mark.p3
def test_many_are_moved_by_target_or_fault(config: Path):
    """Those of a target, with a fault, or with both; no others."""
    hold(config, "pacs", "lake")
    hold(config, "shelf", fault="not-clean")
    assert run("retry", "--target", "lake", "-c", config).output == "1 put back to work.\n"
    assert run("drop", "--target", "pacs", "--fault", "not-clean", "-c", config).output == (
        "0 dropped.\n"
    )
    assert run("drop", "--fault", "not-clean", "-c", config).output == "1 dropped.\n"
    assert states(config) == {
        "pacs": State.HELD, "lake": State.WAITING, "shelf": State.DROPPED,
    }  # fmt: skip


def test_what_cannot_move_is_named(config: Path):
    """A job that is not held is named, and the others are moved all the same."""
    hold(config, "pacs")
    done = run("retry", "7", "1", "-c", config)
    assert isinstance(done.exception, DoesNotMatch)
    assert "7" in str(done.exception)
    assert states(config) == {"pacs": State.WAITING}


@pytest.mark.parametrize(
    "arguments",
    [["retry"], ["drop"], ["retry", "1", "--all"], ["drop", "1", "--target", "pacs"],
     ["drop", "--all", "--fault", "refused"]],
)  # fmt: skip
def test_ids_or_all(config: Path, arguments: list[str]):
    """Neither ids nor --all, or both, is a question of usage, never "all by accident"."""
    hold(config, "pacs")
    assert run(*arguments, "-c", config).exit_code == 2
    assert states(config) == {"pacs": State.HELD}


@pytest.mark.parametrize("command", ["held", "retry"])
def test_a_wrong_data_directory_is_no_empty_node(config: Path, command: str):
    """Where no node has run, the command says so and makes nothing."""
    more = ["--all"] if command == "retry" else []
    done = run(command, *more, "-c", config)
    assert isinstance(done.exception, StorageFault)
    assert "no node has run" in str(done.exception)
    assert not (config.parent / "var").exists()
