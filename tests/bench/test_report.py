"""What docs/benchmarks.md says of a run."""

from pathlib import Path

import pytest

from bench.ingest import report
from bench.ingest.results import Results
from bench.ingest.screen import line

MACHINE = {
    "date": "2026-03-02 09:30 UTC", "commit": "abc1234", "cores": 2, "processor": "Model T",
    "memory_bytes": 25e9, "system": "Debian", "kernel": "6.1", "file_system": "ext4",
    "sync_ms": 0.0431, "versions": {"DCMTK": "3.6.7", "Orthanc": "1.10.1"},
    "missing": {"orthanc": "Orthanc is not installed (Debian: apt-get install orthanc)"},
    "command": "python -m bench.ingest --write docs/benchmarks.md",
}  # fmt: skip


@pytest.fixture
def text(cell):
    """The document of a small run."""
    return report.document(
        Results([
            cell("floor", objects=1000, p50_ms=0.5, p99_ms=2.0, tree_cpu_s=0.2),
            cell("node", objects=900, p50_ms=0.6, p99_ms=3.0, main_cpu_s=0.3, tree_cpu_s=0.4,
                 main_filed_cpu_s=0.45, tree_filed_cpu_s=0.9, main_growth_mb=12.34,
                 main_peak_rss_mb=200, peak_rss_mb=560),
            cell("storescp", objects=20, failures=1, trouble="status 0xA700\nand more"),
            cell("node", case="storescu", objects=40),
            cell("node", case="burst", work="small", associations=4, objects=20_000, seconds=4.0,
                 filed_s=1.25),
        ]),
        MACHINE,
    )  # fmt: skip


def rows(text, title):
    """The rows of the table under a title, as lists of cells; the first is the header."""
    part = text.split(f"### {title}\n")[1].split("\n### ")[0]
    lines = [each for each in part.splitlines() if each.startswith("|")]
    return [[word.strip() for word in each.strip("|").split("|")] for each in lines]


def test_one_line_tells_one_server(text):
    """A row holds rate, ratios both ways, answers, processor time, memory and failures."""
    header, _, floor, node, storescp = rows(text, "CT, 526 KB")
    assert header[:2] == ["associations", "server"]
    assert floor[:6] == ["1", "the floor", "1,000", "1,000", "1.00", "0.900 x"]
    assert node[:8] == ["1", "**Penumbra**", "900", "900", "0.90", "-", "0.600", "3.00"]
    assert node[8:10] == ["1.00 (front 0.500; receiving 0.333)", "560 (front 200, +12.3)"]
    assert storescp[1:3] == ["DCMTK storescp, as it starts *", "20.0"]
    assert storescp[5] == "45.0 x"
    assert storescp[8:] == ["-", "0.000", "1"]


def test_every_row_fits_its_header(text):
    """No table of the document is ragged."""
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        assert len({each.count("|") for each in table.splitlines()}) == 1, table


def test_the_machine_is_told(text):
    """Date, commit, machine, disk with its sync, versions and command stand above the tables."""
    head = text.split("### ")[0]
    for fact in ("2026-03-02", "abc1234", "2 cores of Model T", "25 GB", "Linux 6.1", "ext4",
                 "0.043 ms", "DCMTK 3.6.7", MACHINE["command"]):  # fmt: skip
        assert fact in head


def test_figures_stand_with_their_verdicts(text):
    """The figures to reach are there with the bound, what was found, and the verdict."""
    found = {row[0]: row[1:] for row in rows(text, "Figures to reach")}
    assert found["CT, of the floor's rate"][0] == "0.90 x (≥ 0.85 x): reached"
    assert found["all is filed after 20,000 small objects"] == ["", "1.25 s (≤ 2 s): reached", ""]
    assert "not measured" in found["MR, of the floor's rate"][2]


def test_other_clients_and_the_strain_have_tables(text):
    """What storescu sent, and what the node alone was put to, stand in tables of their own."""
    assert rows(text, "CT, 526 KB, sent by DCMTK's storescu")[2][2] == "40.0"
    burst = rows(text, "The node under strain")[2]
    assert burst[1:4] == ["20,000 MR, 10 KB, 4 associations", "5,000", "5,000"]
    assert burst[8] == "1.25"


def test_what_went_wrong_is_told(text):
    """Servers left out and measurements that failed are named, each in a line."""
    part = text.split("### What went wrong\n")[1]
    assert "Orthanc, as it starts was left out: Orthanc is not installed" in part
    assert "storescp, matrix ct, 1 association, repetition 1: status 0xA700\n" in part
    assert "and more" not in part


def test_a_run_without_trouble_tells_of_none(cell):
    """The section about trouble is there only when there was some."""
    clean = report.document(Results([cell()]), {**MACHINE, "missing": {}})
    assert "went wrong" not in clean


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "-"), (0, "0.000"), (0.0456, "0.046"), (3.456, "3.46"), (45.67, "45.7"),
     (456.7, "457"), (12_345.6, "12,346")],
)  # fmt: skip
def test_numbers_have_as_many_digits_as_say_something(value, words):
    """Three digits that count, and thousands set apart."""
    assert report.number(value) == words


def test_a_text_takes_the_place_between_the_marks():
    """What a person wrote around the marks stays, what an earlier run wrote goes."""
    before = f"# Benchmarks\n\n{report.BEGIN}\n\nold\n\n{report.END}\n\nmore\n"
    once = report.placed(before, "new\n")
    assert once == f"# Benchmarks\n\n{report.BEGIN}\n\nnew\n\n{report.END}\n\nmore\n"
    assert report.placed(once, "new\n") == once


@pytest.mark.parametrize("text", ["", report.BEGIN, report.END, f"{report.END}\n{report.BEGIN}"])
def test_a_document_without_marks_is_left_alone(text):
    """Nothing is written where it would take the place of what a person wrote."""
    with pytest.raises(ValueError, match="bench-ingest"):
        report.placed(text, "new")


def test_the_document_has_its_marks():
    """The document that `make bench-ingest` writes can be written."""
    document = Path(__file__).parents[2] / "docs" / "benchmarks.md"
    assert "new" in report.placed(document.read_text(), "new")


def test_a_line_names_what_failed(cell):
    """Who watches a run sees at once that a measurement failed, and why."""
    assert "2 FAILED: no connection" in line(cell(failures=2, trouble="no connection\nmore"))
    assert "FAILED" not in line(cell(filed_s=1.0))
    assert "filed after never" in line(cell(filed_s=None))
