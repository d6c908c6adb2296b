"""The settler asks of a Series what its rules name, and takes no more of it into the front."""

import io
import tracemalloc
import zlib
from typing import Any

import pytest
import structlog
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from dicom import head as heads
from dicom.part10 import HEAD_LIMIT_BYTES
from routing.job import State
from routing.rules import Rule, compile_rule
from storage.ledger.unplanned import RULE_FAILED

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
PIXELS, PRIVATE = b"\xe0\x7f\x10\x00", b"\x29\x00\x10\x10"
MEGABYTES = 150
NEVER_SAYS = "SliceLocation > 3"
"""Of an object without one, this cannot be evaluated."""


def waiting(front) -> list[str]:
    """Name the rules whose jobs wait."""
    return [job.spec.rule for job in front.ledger.jobs.list([State.WAITING])]


def failures(front) -> list[tuple[str, dict[str, Any]]]:
    """Give subject and facts of each event about a rule that failed."""
    told = front.ledger.outbox.after(0, 1000)
    return [(event.subject, dict(event.data)) for event in told if event.type == RULE_FAILED]


def rule(name: str, **wanted: Any) -> Rule:
    return compile_rule(name, wanted.pop("when", {}), send=["lake"], **wanted)


def dataset() -> bytes:
    head = Dataset()
    head.SpecificCharacterSet = "ISO_IR 100"
    head.SOPClassUID, head.SOPInstanceUID = CT, "1.2.3"
    head.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    head.StudyInstanceUID, head.SeriesInstanceUID = "1.2.4", "1.2.5"
    head.Modality, head.SeriesDescription, head.SliceThickness = "CT", "Schädel", "1.50"
    head.Rows = 512
    stream = io.BytesIO()
    dcmwrite(stream, head, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def zeros(tag: bytes) -> bytes:
    return tag + b"OB\0\0" + (MEGABYTES << 20).to_bytes(4, "little")


def deflated(start: bytes) -> bytes:
    """Deflate a dataset that ends in an element of 150 MB."""
    squeeze = zlib.compressobj(9, wbits=-15)
    packed = [squeeze.compress(start)]
    packed += [squeeze.compress(bytes(1 << 20)) for _ in range(MEGABYTES)]
    return b"".join(packed) + squeeze.flush()


@pytest.mark.parametrize(
    ("when", "jobs"),
    [
        ({}, 1),
        ({"calling_ae": "CT?"}, 1),
        ({"Modality": "CT", "SeriesDescription": "Sch*del"}, 1),
        ({"ImageType": "AXIAL", "Rows": 512}, 1),
        ({"SliceThickness": "1.5*"}, 1),
        ({"Modality": "MR"}, 0),
        ({"BodyPartExamined": "*"}, 0),
    ],
)
def test_rules_see_any_attribute(front, when: dict[str, str | int], jobs: int):
    """Whatever keyword a rule names is compared with the text in the first Instance."""
    front.receive(dataset(), EXPLICIT)
    assert front.settle([rule("r", when=when)]) == 1
    assert len(waiting(front)) == jobs


def test_fifty_rules_read_a_head_once(front, monkeypatch):
    """However many rules and revisions there are, settling reads a Series' head once."""
    opened = []
    read = front.reader.open
    monkeypatch.setattr(front.reader, "open", lambda at: opened.append(at) or read(at))
    front.receive(dataset(), EXPLICIT)
    opened.clear()
    rules = [rule(f"r{n}", when={"Rows": n, "Modality": "CT"}) for n in range(50)]
    rules += [rule("e", expr='SeriesDescription.startsWith("Sch")')]
    assert front.settle(rules) == 1
    assert len(opened) == 1
    assert waiting(front) == ["e"]


def test_rules_about_senders_read_no_head(front, monkeypatch):
    """Where all rules are decided by who sent it, the spool is not asked."""
    front.receive(dataset(), EXPLICIT)
    monkeypatch.delattr(type(front.reader), "open")
    assert front.settle([rule("r", when={"Modality": "CT", "calling_ae": "MR*"})]) == 1
    assert waiting(front) == []


@pytest.mark.p6
def test_a_rule_that_fails_is_told(front):
    """A rule that cannot be evaluated sends nothing; an event and a line say so, without values."""
    front.receive(dataset(), EXPLICIT)
    rules = [
        rule("broken", expr=NEVER_SAYS),
        rule("dates", expr='timestamp(SeriesDescription) < timestamp("2026-01-01T00:00:00Z")'),
        rule("whole"),
    ]
    with structlog.testing.capture_logs() as lines:
        front.settle(rules)
    assert waiting(front) == ["whole"]
    assert [(uid, facts["study"], facts["rule"]) for uid, facts in failures(front)] == [
        ("1.2.5", "1.2.4", "broken"),
        ("1.2.5", "1.2.4", "dates"),
    ]
    errors = [line["rule"] for line in lines if line["log_level"] == "error"]
    assert errors == ["broken", "dates"]
    assert lines[-1]["rules_failed"] == 2
    assert "Sch" not in repr(failures(front)) + repr(lines)


@pytest.mark.p4
def test_what_a_failing_rule_was_to_keep_back_is_not_sent(front):
    """Where a rule that says stop fails, no rule behind it is asked."""
    front.receive(dataset(), EXPLICIT)
    front.settle([rule("private", expr=NEVER_SAYS, stop=True), rule("everything else")])
    assert waiting(front) == []
    assert [facts["rule"] for _, facts in failures(front)] == ["private"]


@pytest.mark.p4
def test_a_lost_head_is_no_empty_one(front):
    """Where the first object cannot be read, rules about attributes fail, `not` among them."""
    front.receive(dataset(), EXPLICIT)
    for segment in (front.data_dir / "spool").glob("*-*"):
        segment.unlink()
    front.settle([
        rule("not MR", when={"Modality": {"not": "MR"}}),
        rule("no comments", expr='PatientComments == ""'),
        rule("of CT1", when={"calling_ae": "CT1"}),
    ])  # fmt: skip
    assert waiting(front) == ["of CT1"]
    assert [(facts["rule"], facts["words"]) for _, facts in failures(front)] == [
        ("not MR", "its first object cannot be read (corrupt)"),
        ("no comments", "its first object cannot be read (corrupt)"),
    ]


@pytest.mark.p3
def test_a_head_that_nobody_can_read_stops_no_other(front, monkeypatch):
    """Where reading a head is a bug of ours, that Series' rules fail, and all others settle."""
    front.receive(dataset(), EXPLICIT)
    other = Dataset()
    other.SOPClassUID, other.SOPInstanceUID, other.Modality = CT, "1.2.9", "CT"
    other.StudyInstanceUID, other.SeriesInstanceUID = "1.2.4", "1.2.6"
    front.receive(other)
    pick = heads.pick

    def broken(stream, *facts):
        found = pick(stream, *facts)
        return found if "Rows" not in found else 1 / 0

    monkeypatch.setattr(heads, "pick", broken)
    assert front.settle([rule("r", when={"Modality": "CT", "Rows": {"not": 1}})]) == 2
    assert len(waiting(front)) == 1
    ((uid, facts),) = failures(front)
    assert (uid, facts["words"]) == ("1.2.5", "its first object cannot be read (cannot-understand)")


def test_a_late_object_makes_a_revision_by_the_same_head(front):
    """The first object speaks for its Series, also when more come."""
    front.receive(dataset(), EXPLICIT)
    assert front.settle([rule("r", when={"Modality": "CT"})]) == 1
    late = Dataset()
    late.SOPClassUID, late.SOPInstanceUID, late.Modality = CT, "1.2.9", "MR"
    late.StudyInstanceUID, late.SeriesInstanceUID = "1.2.4", "1.2.5"
    front.receive(late, received_at=200.0)
    assert front.settle([rule("r", when={"Modality": "CT"})], now=300.0) == 1
    assert waiting(front) == ["r", "r"]


def test_a_deflated_series_takes_no_memory_in_the_front(front):
    """A rule is answered from the head of an object whose pixels unfold to gigabytes."""
    front.receive(deflated(dataset() + zeros(PIXELS)), DEFLATED)
    tracemalloc.start()
    try:
        assert front.settle([rule("r", when={"Modality": "CT"})]) == 1
        assert waiting(front) == ["r"]
        assert tracemalloc.get_traced_memory()[1] < 3 * HEAD_LIMIT_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.p3
def test_a_head_that_unfolds_without_end_is_held(front):
    """The bound that the settler needs is kept at intake: the object is held, with the reason."""
    front.receive(deflated(dataset() + zeros(PRIVATE)), DEFLATED)
    (job,) = front.ledger.jobs.list([State.HELD])
    assert (job.fault, job.words) == (
        "cannot-understand", "dataset unfolds to more than 32 MB before its pixel data",
    )  # fmt: skip
    assert front.ledger.summary()["received"]["series"] == 0
