"""The benchmark of questions: what it asks, its figures, and a small run of everything."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.bounds import verdict
from bench.laps import Lap, Results
from bench.query import report
from bench.query.__main__ import main
from bench.query.beside import NODE, ORTHANC, case
from bench.query.figures import figures
from bench.query.questions import KINDS, questions, study
from examples.peers import orthanc
from examples.peers.process import debian

ROOT = Path(__file__).parents[2]


def figure(words):
    """Find one figure by what it says."""
    return next(each for each in figures() if words in each.words)


def test_questions_are_the_same_at_every_run_and_have_answers():
    """Each kind is asked as often, of studies that are there; another seed asks of others."""
    known = [study(number) for number in range(50)]
    asked = questions(known, 4, seed=3)
    assert asked == questions(known, 4, seed=3) != questions(known, 4, seed=4)
    assert Counter(one.kind for one in asked) == dict.fromkeys(KINDS, 4)
    uids = {one.study_instance_uid for one in known}
    assert len(uids) == len(known)
    for one in asked:
        if one.kind == "StudyInstanceUID":
            assert one.keys["StudyInstanceUID"] in uids
        if one.kind == "name wildcard":
            begins = one.keys["PatientName"].removesuffix("*")
            assert any(each.patient_name.startswith(begins) for each in known)


def test_a_share_of_orthancs_time_is_held_against_its_bound():
    """Half of its time is reached; a little more is not."""
    label = case("find", "PatientID")
    one = figure("C-FIND by PatientID among 10,000")
    for ours, words in ((0.5, "reached"), (0.51, "**not")):
        found = Results(laps=[Lap(label, NODE, 0, 1, 1, ours), Lap(label, ORTHANC, 0, 1, 1, 1.0)])
        assert verdict(one, found)[1].startswith(words)


def test_fewer_studies_are_no_measurement_of_a_million():
    """A quick run cannot say that the figure is reached."""
    one = figure("C-FIND by PatientID among 1,000,000")
    found = {"find PatientID, p95": 3.0, "scale, studies": 300.0}
    assert verdict(one, Results(findings=found)) == ("-", "not measured")
    full = Results(findings={**found, "scale, studies": 1_000_000.0})
    assert verdict(one, full) == ("3.00 ms", "reached")
    assert {verdict(each, Results()) for each in figures()} == {("-", "not measured")}


@pytest.mark.timeout(300)
def test_a_quick_run_works_from_end_to_end(tmp_path):
    """Both answer alike, a Series is retrieved, the index is made; the document is written."""
    shutil.copy(ROOT / "docs" / "benchmarks.md", tmp_path / "doc.md")
    done = subprocess.run(
        [sys.executable, "-m", "bench.query", "--quick", "--scratch", tmp_path / "scratch",
         "--write", tmp_path / "doc.md"],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = Results.read(tmp_path / "scratch" / "query.json")
    assert found.findings["scale, studies"] == 300
    if orthanc.binary() and debian("movescu"):
        assert found.ratio(case("find", "PatientID"), NODE, ORTHANC)
        assert found.ratio("C-MOVE", NODE, ORTHANC)
    if orthanc.binary() and orthanc.web_plugin():
        assert found.ratio(case("qido", "name wildcard"), NODE, ORTHANC)
        assert found.ratio("WADO-RS", NODE, ORTHANC)
    assert "C-FIND by PatientID among 10,000 studies" in (tmp_path / "doc.md").read_text()
    again = CliRunner().invoke(main, ["--from", str(tmp_path / "scratch" / "query.json")])
    assert again.output == done.stdout


def test_the_document_has_its_place():
    """The page of benchmarks has the marks between which the tables go."""
    assert report.BEGIN in (ROOT / "docs" / "benchmarks.md").read_text()
