"""Rules see who sent a Series and when, and its head, which is read once or not at all."""

import time
from datetime import datetime

import pytest
from pydicom.dataset import Dataset

from config.conditions import Undecided
from dicom.entity import Arrival
from dicom.errors import Corrupt
from node.traits import attributes, route

SATURDAY_NIGHT = datetime(2026, 11, 21, 23, 5).astimezone().timestamp()


def arrival(calling_ae: str, received_at: float = SATURDAY_NIGHT) -> Arrival:
    return Arrival("1.2", "1.2.3", "1.2", calling_ae, "PENUMBRA", "a1", "h", received_at)


def test_a_route_says_who_and_when():
    """Sender, title, way in, hour and day stand there, by this machine's clock."""
    assert route(arrival("CT1"), {"CT1"}) == {
        "calling_ae": ["CT1"],
        "called_ae": ["PENUMBRA"],
        "peer": ["CT1"],
        "origin": ["dimse"],
        "time": ["23:05"],
        "weekday": ["sat"],
    }


def test_an_unknown_caller_is_no_peer():
    """Who is not among [peers] has an AE title all the same."""
    found = route(arrival("CT2"), {"CT1"})
    assert (found["peer"], found["calling_ae"]) == ([], ["CT2"])


def test_time_is_this_machines(monkeypatch):
    """The same moment is another hour where the clock is set otherwise."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        found = route(arrival("CT1", 1_795_000_000.0), ())
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (found["time"], found["weekday"]) == (["16:36"], ["wed"])


def test_values_come_as_text():
    """Several values are several texts; what is absent or empty has none."""
    head = Dataset()
    head.ImageType, head.Rows, head.PatientComments = ["ORIGINAL", "AXIAL"], 512, ""
    asked = attributes({}, lambda: head)
    assert [asked(keyword) for keyword in ("ImageType", "Rows", "PatientComments", "Modality")] == [
        ["ORIGINAL", "AXIAL"], ["512"], [], [],
    ]  # fmt: skip


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_head_is_read_once_or_not_at_all(is_lost):
    """Whoever asks for the route alone reads nothing; a head that is lost is lost for all."""
    reads = []

    def read() -> Dataset:
        reads.append(1)
        if is_lost:
            raise Corrupt("gone")
        return Dataset()

    asked = attributes({"calling_ae": ["CT1"]}, read)
    assert asked("calling_ae") == ["CT1"]
    assert not reads
    for keyword in ("Modality", "Rows", "Modality"):
        if is_lost:
            with pytest.raises(Undecided, match="corrupt"):
                asked(keyword)
        else:
            assert asked(keyword) == []
    assert len(reads) == 1
