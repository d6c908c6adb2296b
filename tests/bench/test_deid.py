"""The de-identification benchmark: its processes answer, and its table says what was measured."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from bench.deid.__main__ import BEGIN, END, OURS, document, measured, started, table


@pytest.fixture
def image() -> Path:
    """A small real object."""
    return Path(str(get_testdata_file("CT_small.dcm")))


@pytest.mark.parametrize("name", OURS)
def test_a_subject_goes_when_it_is_told(name, image):
    """Each of our own subjects answers each "go" with its time, and "peak" with its memory."""
    with ExitStack() as stack:
        subject = started(name, sys.executable, [image, image], stack)
        assert subject is not None
        answer = subject.ask("go")
        assert answer["objects"] == 2
        assert answer["seconds"] > 0
        memory = subject.ask("peak")
        assert memory["peak"] >= memory["before"] > 0


def test_what_is_not_installed_is_left_out(image, tmp_path):
    """Without the other tools' environment, ours are measured alone."""
    times = measured("ct", [image], tmp_path / "nowhere", 1)
    assert set(times) == set(OURS)
    assert all(time_ms > 0 for time_ms in times.values())


def test_the_table_shows_ratios_to_the_plain_copy():
    """A row has each workload's time with its ratio, and the memory."""
    times = {work: {"plain": 2.0, "basic": 3.0} for work in ("mr", "ct")}
    rows = table(times, {"plain": 400.0, "basic": 1.0})
    assert rows == [
        ["pydicom, read and written", "2.00 ms (1.00 x)", "2.00 ms (1.00 x)", "400 MB"],
        ["Penumbra, basic", "3.00 ms (1.50 x)", "3.00 ms (1.50 x)", "1 MB"],
    ]
    text = document(rows, 9)
    assert text.startswith(BEGIN)
    assert text.endswith(END)
    assert "| Penumbra, basic | 3.00 ms (1.50 x) |" in text
