"""The delivery benchmark: its arithmetic, its document, and a small run of everything."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.bounds import asked, verdict
from bench.forward import deciding, report, to_bucket, to_orthanc, waiting
from bench.forward.__main__ import main
from bench.forward.figures import figures
from bench.laps import Lap, Results
from examples.peers import orthanc
from examples.peers.process import debian

ROOT = Path(__file__).parents[2]
BASE = "research"
ENDS_WITHIN_S = 280
MACHINE = {
    "date": "2026-11-21 19:00 UTC", "commit": "abc", "cores": 2, "processor": "P",
    "memory_bytes": 8e9, "system": "Debian", "kernel": "6", "file_system": "ext4",
    "versions": {"DCMTK": "3.6.7"}, "load_begin": 0.1, "load_end": 2.5, "took_s": 90.0,
    "command": "python -m bench.forward", "profile": BASE,
}  # fmt: skip


def lap(name, turn, seconds, case="bucket ct", objects=100):
    """One turn, with half of its time on the processor."""
    return Lap(case, name, turn, objects, objects * 1_000_000, seconds, seconds / 2)


def figure(words):
    """Find one figure by what it says."""
    return next(each for each in figures(BASE) if words in each.words)


def bench(*words, env=None):
    """Run the command as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "bench.forward", *map(str, words)],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=ENDS_WITHIN_S, check=False,
    )  # fmt: skip


def test_rates_are_medians_and_ratios_are_of_one_turn():
    """A turn in which the machine was slow for both changes the rates, and not their ratio."""
    found = Results(laps=[
        lap("ours", 0, 1.0), lap("ours", 1, 10.0), lap("ours", 2, 1.25),
        lap("theirs", 2, 1.0), lap("theirs", 1, 8.0), lap("theirs", 0, 0.8),
    ])  # fmt: skip
    assert found.rate("bucket ct", "ours") == 80
    assert found.mb_per_s("bucket ct", "ours") == 80
    assert found.cpu_ms("bucket ct", "ours") == pytest.approx(6.25)
    assert found.ratio("bucket ct", "ours", "theirs") == pytest.approx(0.8)
    assert found.ratio("bucket ct", "ours", "nobody") is None
    assert found.rate("bucket mr", "ours") is None


def test_turns_begin_with_another_contender_each():
    """Nobody is always the first after a pause."""
    found = Results()
    found.take_turns(3, {name: lambda turn, name=name: lap(name, turn, 1) for name in "abc"})
    assert "".join(one.name for one in found.laps) == "abcbcacab"
    assert [one.turn for one in found.laps] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_what_was_found_is_read_as_it_was_written(tmp_path):
    """A run can be shown again."""
    found = Results(MACHINE, [lap("ours", 0, 1.0)], {"rules": 12.0}, ["boto3"])
    found.write(tmp_path / "forward.json")
    assert Results.read(tmp_path / "forward.json") == found


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1.25, ("0.80 x", "reached")), (1.26, ("0.79 x", "**not reached**: "))],
)
def test_a_ratio_is_held_against_its_bound(seconds, words):
    """A ratio is reached at its bound, is never rounded up to it, and a miss has its reason."""
    one = figure("proven by checksum")
    name = to_bucket.worker("checksum", BASE)
    found = Results(laps=[lap(name, 0, seconds), lap(to_bucket.BOTH, 0, 1.0)])
    assert asked(one) == "≥ 0.8 x"
    shown, told = verdict(one, found)
    assert (shown, told[: len(words[1])]) == words
    assert told == "reached" or one.why in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ("60.0 s", "reached")),
        ({"drain, all": 100.01}, ("60.1 s", "**not")),
        ({"drain, done": 9_999.0}, ("∞ s", "**not")),
        ({"drain, attempts spent": 1.0}, ("∞ s", "**not")),
    ],
)
def test_a_drain_counts_only_when_it_is_whole(changes, words):
    """A Series that is left, or an attempt that was spent, is no drain, however quick."""
    found = {
        "drain, all": 100.0, "drain, transfer alone": 40.0, "drain, series": 10_000.0,
        "drain, done": 10_000.0, "drain, attempts spent": 0.0, **changes,
    }  # fmt: skip
    shown, told = verdict(figure("all delivered"), Results(findings=found))
    assert (shown, told[: len(words[1])]) == words


def test_fewer_held_jobs_are_no_measurement_of_many():
    """A quick run cannot say that the figure is reached."""
    few = Results(findings={"held": 0.3, "held, jobs": 500.0})
    assert verdict(figure("held jobs"), few) == ("-", "not measured")
    many = Results(findings={"held": 0.3, "held, jobs": 100_000.0})
    assert verdict(figure("held jobs"), many) == ("0.30 s", "reached")


def test_an_empty_run_reaches_nothing():
    """What was not measured says so."""
    assert {verdict(each, Results()) for each in figures(BASE)} == {("-", "not measured")}


def test_the_document_tells_the_load_and_marks_a_busy_machine():
    """Load before and after stands in the text; numbers from a busy machine are marked."""
    found = Results(dict(MACHINE), [lap(to_bucket.STORE, 0, 1.0)], {}, ["boto3 (do this)"])
    quiet = report.document(found)
    assert "before the run 0.10, at its end\n  2.50" in quiet
    assert "provisional" not in quiet
    assert "- boto3 (do this)" in quiet
    assert "| obstore | 100 | 100 | 5.00 | 1.00 | - |" in quiet
    found.machine["load_begin"] = 1.2
    assert "**The machine was busy with other work" in report.document(found)


def test_the_document_has_its_place():
    """What stands between the marks is replaced, the rest stays; without marks it is refused."""
    page = f"a\n{report.BEGIN}\nold\n{report.END}\nb\n"
    once = report.placed(page, "new")
    assert once == f"a\n{report.BEGIN}\n\nnew\n\n{report.END}\nb\n"
    assert report.placed(once, "new") == once
    with pytest.raises(ValueError, match="bench-forward"):
        report.placed("nothing", "new")
    assert report.BEGIN in (ROOT / "docs" / "benchmarks.md").read_text()


def test_owed_objects_are_series_of_their_own():
    """Each object that waits has other UIDs, ten Series to a Study, and the same length."""
    made = list(waiting.objects(11))
    assert len(set(made)) == 11
    assert len({len(one) for one in made}) == 1
    assert made[9].count(waiting.uid(waiting.WORK, 1, 0).encode()) == 1
    assert made[10].count(waiting.uid(waiting.WORK, 1, 1).encode()) == 1
    # In the dataset and in the file meta information.
    assert made[10].count(waiting.uid(waiting.WORK, 3, 10).encode()) == 2


def test_rules_are_timed_that_decide_something():
    """Half of the rules match; those with an expression take longer."""
    found = Results()
    deciding.rules(found, series=30)
    assert 0 < found.findings["rules"] < found.findings["rules, CEL"]


@pytest.mark.timeout(300)
def test_a_quick_run_works_from_end_to_end(tmp_path):
    """Worker, obstore, DCMTK and rules take their turns; the document is written, nothing stays."""
    shutil.copy(ROOT / "docs" / "benchmarks.md", tmp_path / "doc.md")
    done = bench(
        "--quick", "--work", "mr", "--parts", "rules,held,bucket,orthanc",
        "--scratch", tmp_path / "scratch", "--write", tmp_path / "doc.md",
        "--peers", ROOT / ".venv-bench-peers",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = Results.read(tmp_path / "scratch" / "forward.json")
    names = found.names(to_bucket.case("mr"))
    assert names[:3] == [to_bucket.ENGINE, to_bucket.STORE, to_bucket.BOTH]
    assert to_bucket.worker("read-back", BASE) in names
    has_boto = (ROOT / ".venv-bench-peers" / "bin" / "python").exists()
    assert has_boto == ("boto3, put_object" in names) == ("boto3" in found.machine["versions"])
    assert has_boto or any("setup-bench-peers.sh" in why for why in found.missing)
    if orthanc.binary() and debian("storescu"):
        assert found.ratio(to_orthanc.case("mr"), to_orthanc.worker(1), to_orthanc.STORESCU)
        assert "forward to Orthanc, of storescu's rate | ≥ 1 x | " in done.stdout
    assert all(one.objects in {5, 10} and one.seconds > 0 for one in found.laps)
    assert found.findings["held, jobs"] == 500
    assert f"| **{to_bucket.worker('read-back')}** |" in (tmp_path / "doc.md").read_text()
    assert {file.name for file in (tmp_path / "scratch").iterdir()} == {"forward.json", "lock"}
    again = CliRunner().invoke(main, ["--from", str(tmp_path / "scratch" / "forward.json")])
    assert again.output == done.stdout


def test_two_runs_do_not_spoil_each_other(tmp_path):
    """Who starts a second run in one folder is told to wait."""
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = bench("--quick", "--parts", "rules", "--scratch", tmp_path)
    assert done.returncode == 1
    assert "another run measures" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_word_is_answered_with_the_right_ones():
    """Who names a part that is not known hears which are."""
    done = CliRunner().invoke(main, ["--parts", "boto"])
    assert done.exit_code == 2
    assert "boto is none of rules, held, bucket," in done.output
