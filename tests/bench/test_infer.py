"""The benchmark of inference: its figures, and a small run of everything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ai import server
from bench.bounds import verdict
from bench.infer import report
from bench.infer.__main__ import main
from bench.infer.calls import CALL, HAND, NODE, SERIES, SHARED, with_slabs
from bench.infer.figures import figures
from bench.laps import Lap, Results
from dicom.errors import ConfigFault
from examples.peers.process import debian

ROOT = Path(__file__).parents[2]


def figure(words):
    """Find one figure by what it says."""
    return next(each for each in figures() if words in each.words)


def test_what_the_node_adds_is_told_in_microseconds():
    """A call of 1.1 ms beside one of 1.0 ms is 100 microseconds more, and just reached."""
    one = figure("a small call")
    for ours_s, words in ((1.1, "reached"), (1.11, "**not")):
        laps = [Lap(CALL, HAND, 0, 1000, 1, 1.0), Lap(CALL, NODE, 0, 1000, 1, ours_s)]
        assert verdict(one, Results(laps=laps))[1].startswith(words)


def test_each_client_counts_with_its_best_slabs():
    """The quickest of either side is compared; a Series of fewer slices is no measurement."""
    laps = [
        Lap(SERIES, with_slabs(name, slices), 0, 300, 1, seconds)
        for name, slices, seconds in (
            (HAND, 8, 2.0), (HAND, 12, 1.0), (NODE, 8, 1.05), (NODE, 12, 3.0), (SHARED, 16, 0.25)
        )
    ]  # fmt: skip
    full = Results(laps=laps, findings={"series, slices": 300})
    assert verdict(figure("by gRPC"), full) == ("1.05 x", "reached")
    assert verdict(figure("by shared memory"), full) == ("4.00 x", "reached")
    few = Results(laps=laps, findings={"series, slices": 20})
    assert verdict(figure("by gRPC"), few) == ("-", "not measured")
    assert {verdict(each, Results())[1] for each in figures()} == {"not measured"}


def test_one_failed_series_is_too_many():
    """Nothing may fail where one of two servers is killed."""
    one = figure("killed under load")
    assert verdict(one, Results(findings={"killed, failed": 0.0}))[1] == "reached"
    assert verdict(one, Results(findings={"killed, failed": 1.0}))[1].startswith("**not")


@pytest.mark.timeout(300)
def test_a_quick_run_works_from_end_to_end(tmp_path):
    """Both clients ask, a server dies, a node waits for one; the document is written."""
    try:
        server.environment()
    except ConfigFault as absent:
        pytest.skip(str(absent))
    shutil.copy(ROOT / "docs" / "benchmarks.md", tmp_path / "doc.md")
    done = subprocess.run(
        [sys.executable, "-m", "bench.infer", "--quick", "--scratch", tmp_path / "scratch",
         "--write", tmp_path / "doc.md"],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = Results.read(tmp_path / "scratch" / "infer.json")
    assert found.ratio(CALL, NODE, HAND)
    assert found.ratio(SERIES, with_slabs(SHARED, 8), with_slabs(HAND, 8))
    assert found.findings["killed, failed"] == 0
    if debian("storescu"):
        assert found.findings["away, lost"] == 0
    assert "a small call: what the node adds" in (tmp_path / "doc.md").read_text()
    again = CliRunner().invoke(main, ["--from", str(tmp_path / "scratch" / "infer.json")])
    assert again.output == done.stdout


def test_the_document_has_its_place():
    """The page of benchmarks has the marks between which the tables go."""
    assert report.BEGIN in (ROOT / "docs" / "benchmarks.md").read_text()
