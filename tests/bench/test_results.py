"""Measurements become rows: what is read back, medians, ratios."""

import json

import pytest

from bench.ingest.results import Cell, Results, read, to_line


def test_a_measurement_is_read_back_as_it_was_written(cell, tmp_path):
    """Whatever a run writes into its results file is there when the tables are made of it."""
    file = tmp_path / "results.jsonl"
    cells = [cell(p50_ms=0.5, trouble='said "no"'), cell(peer="floor", filed_s=None)]
    machine = {"kind": "machine", "cores": 2}
    file.write_text("\n".join([json.dumps(machine), *map(to_line, cells)]) + "\n")
    assert read(file) == (cells, machine)


def test_lines_of_another_version_are_read(cell, tmp_path):
    """A key that this version does not know is no reason to throw a measurement away."""
    file = tmp_path / "results.jsonl"
    line = {**json.loads(to_line(cell())), "invented_later": 1}
    file.write_text(json.dumps(line) + "\n" + json.dumps({"kind": "note"}) + "\n")
    assert read(file) == ([cell()], {})


def test_rates_and_processor_time_per_object(cell):
    """Rates are of the time that sending took; time per object is of the objects answered."""
    one = cell(objects=200, bytes=100e6, seconds=0.5, main_cpu_s=0.1, tree_cpu_s=0.3)
    assert (one.objects_per_s, one.mb_per_s) == (400, 200)
    assert (one.receiving_cpu_ms, one.main_cpu_ms, one.tree_cpu_ms) == (0.5, 0.5, 1.5)
    assert one.beside_main_cores == pytest.approx(0.4)


def test_filing_is_part_of_the_time_per_object(cell):
    """What a node does after its last answer is charged to the objects that it is done for."""
    one = cell(main_cpu_s=0.1, tree_cpu_s=0.2, main_filed_cpu_s=0.3, tree_filed_cpu_s=0.5)
    assert (one.receiving_cpu_ms, one.main_cpu_ms, one.tree_cpu_ms) == (1.0, 3.0, 5.0)


def test_nothing_answered_is_no_division_by_zero(cell):
    """A measurement that failed has a rate of 0 and no time per object."""
    failed = cell(objects=0, seconds=0, tree_cpu_s=1.0)
    assert (failed.objects_per_s, failed.mb_per_s, failed.tree_cpu_ms) == (0, 0, None)


def test_too_few_ticks_tell_nothing(cell):
    """Processor time that the kernel's clock cannot resolve is not told as if it were known."""
    assert cell(tree_cpu_s=0.04).tree_cpu_ms is None
    assert cell(tree_cpu_s=0.06).tree_cpu_ms == pytest.approx(0.6)


@pytest.mark.parametrize(("rates", "median"), [([300, 100, 200], 200), ([100, 200], 150), ([7], 7)])
def test_repetitions_become_their_median(cell, rates, median):
    """One slow repetition moves a table no further than to its neighbour."""
    results = Results(cell(objects=rate, repetition=n) for n, rate in enumerate(rates))
    assert results.median("objects_per_s", "node", "ct", 1) == median
    assert results.repetitions() == len(rates)


def test_a_median_leaves_out_what_failed_and_what_is_unknown(cell):
    """A repetition that stored nothing, or that knows no latency, counts for none."""
    results = Results([cell(p50_ms=3.0), cell(p50_ms=None), cell(objects=0, p50_ms=0.0)])
    assert results.median("p50_ms", "node", "ct", 1) == 3.0
    assert results.median("filed_s", "node", "ct", 1) is None
    assert results.median("p50_ms", "node", "ct", 8) is None


def test_a_ratio_is_of_medians_in_the_same_case(cell):
    """Of the floor's rate means: median by median, same work, associations and client."""
    results = Results([
        *(cell(objects=rate) for rate in (80, 90, 100)),
        *(cell(peer="floor", objects=rate) for rate in (100, 120, 90)),
        cell(peer="floor", associations=4, objects=7),
        cell(peer="floor", case="storescu", objects=10),
        cell(case="storescu", objects=5),
    ])  # fmt: skip
    assert results.ratio("ct", 1, of="node", to="floor") == pytest.approx(0.9)
    assert results.ratio("ct", 1, of="node", to="floor", case="storescu") == 0.5
    assert results.ratio("ct", 4, of="node", to="floor") is None
    assert results.ratio("ct", 1, of="node", to="orthanc") is None


def test_a_ratio_to_a_server_that_stored_nothing_is_unknown(cell):
    """A server that failed makes nobody infinitely fast."""
    results = Results([cell(), cell(peer="orthanc", objects=0, seconds=0)])
    assert results.ratio("ct", 1, of="node", to="orthanc") is None


def test_what_was_measured_is_listed_in_order(cell):
    """Tables come in the order in which things were measured, associations by number."""
    order = [("floor", "mr", 8), ("node", "mr", 8), ("node", "mr", 1), ("node", "ct", 4)]
    results = Results(cell(peer, work, count) for peer, work, count in order)
    assert results.works("matrix") == ["mr", "ct"]
    assert results.works("storescu") == []
    assert results.associations("matrix", "mr") == [1, 8]
    assert results.peers("matrix", "mr") == ["floor", "node"]


def test_failures_of_all_repetitions_are_summed(cell):
    """No failure hides behind a median."""
    results = Results([cell(), cell(failures=2, trouble="status 0xA700"), cell(failures=1)])
    row = results.row("node", "ct", 1)
    assert row is not None
    assert (row.failures, row.trouble) == (3, "status 0xA700")
    assert isinstance(row.cells[0], Cell)
