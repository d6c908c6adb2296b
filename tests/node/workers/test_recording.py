"""Each inference is on record: what was asked, what came of it, its shadow, and drift."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from ai.contract import Code, Served
from ai.finding import Embedding, Measurement
from ai.header import Source
from ai.outcome import Outcome, Shadow
from ai.result import Result
from dicom.entity import SeriesKey
from node.models import REFERENCE
from node.workers import recording
from node.workers.recording import record
from routing.job import Job, Kind, NewJob, State
from storage.ledger.ledger import Ledger

CODE = Code("V", "99TEST", "value")
SPEC = NewJob(Kind.INFER, SeriesKey("1.2", "1.3"), 1, "chest", "lungs")
JOB = Job(7, SPEC, State.RUNNING, 1, 1, 0.0)


def found(value: float) -> Measurement:
    return Measurement("volume", CODE, value, CODE, None, 1)


def outcome(value: float, **facts: object) -> Outcome:
    head = Dataset()
    head.Manufacturer, head.ManufacturerModelName, head.ProtocolName = "Maker", "One", "Chest"
    head.PatientName = "Quillobert^Zyx"
    given = {
        "results": (Result("1.2.840", "1.9", "1.8", "1.2", "1.2.840.1", b"", ()),),
        "findings": (found(value), Embedding("e", (3.0, 4.0))),
        "source": Source("1.2", "1.3", (), head),
        "input_digest": "a" * 64, "images": 60, "features": {"input.mean": value / 10},
        "seconds": {"read": 0.1, "model": 0.2, "report": 0.3},
    }  # fmt: skip
    served = Served("ct", "2", "triton 2.51", (), (), {})
    return Outcome(served=served, contract=None, endpoint="here:1", **{**given, **facts})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger.open(tmp_path)) as opened:
        yield opened


def newest(ledger: Ledger):
    return ledger.inferences.newest("lungs")


def test_an_inference_is_on_record(ledger):
    """Model, version, times, numbers, what was made, scanner and protocol; nobody's name."""
    assert record(JOB, ledger, outcome(5000.0), digests={}, began_at=1.0) == []
    (kept,) = newest(ledger)
    said = kept.said
    assert (said.model, said.served_model, said.version, said.stage) == ("lungs", "ct", "2", "live")
    assert (said.outcome, said.images, said.model_s) == ("found", 60, 0.2)
    assert said.outputs == {"volume": 5000.0}
    assert said.features["input.mean"] == 500.0
    assert said.features["e.norm"] == pytest.approx(5.0)
    assert said.results == {"sr": ["1.9"]}
    assert (said.scanner, said.protocol) == ("Maker One", "Chest")
    assert "Quillobert" not in repr(kept)


def test_a_refusal_and_nothing_found_are_on_record_too(ledger):
    """Their words tell why."""
    record(JOB, ledger, outcome(0.0, findings=(), refusal="3 slices"), digests={}, began_at=1.0)
    record(JOB, ledger, outcome(0.0, findings=()), digests={}, began_at=1.0)
    assert [(one.said.outcome, one.said.words) for one in newest(ledger)] == [
        ("nothing", ""), ("refused", "3 slices"),
    ]  # fmt: skip


def test_shadows_stand_beside(ledger):
    """What a shadow said, or why it said nothing, with the digest that was registered."""
    served = Served("ct", "3", "triton 2.51", (), (), {})
    said = Shadow(served, (found(4000.0),), "here:1", 0.4)
    both = outcome(5000.0, shadows=(said, replace(said, words="fell over")))
    record(JOB, ledger, both, digests={"3": "d" * 64}, began_at=1.0)
    fell, beside, live = newest(ledger)
    assert (beside.beside, fell.beside) == (live.id, live.id)
    assert (beside.said.outputs, beside.said.digest) == ({"volume": 4000.0}, "d" * 64)
    assert (fell.said.outcome, fell.said.words) == ("failed", "fell over")
    assert beside.said.results == {}


def test_a_scanner_that_changed_is_told(ledger, monkeypatch):
    """After some inferences that are unlike the first ones there is an event with the number."""
    monkeypatch.setattr(recording, "LOOK_EVERY", 1)
    for number in range(REFERENCE):
        record(JOB, ledger, outcome(5000.0 + number % 7), digests={}, began_at=1.0)
    events = [
        event
        for number in range(25)
        for event in record(JOB, ledger, outcome(9000.0 + number % 7), digests={}, began_at=1.0)
    ]
    assert events
    assert {event.type for event in events} == {"penumbra.model.drifted"}
    assert events[-1].data["number"] in {"volume", "input.mean"}
    assert (events[-1].data["then"], events[-1].data["psi"] > 0.25) != (
        events[-1].data["now"],
        False,
    )
    assert "Quillobert" not in repr(events)
