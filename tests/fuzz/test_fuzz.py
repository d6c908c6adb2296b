"""The fuzzer, for a few seconds, and proof that it finds what is there to be found."""

import pytest

from node.exchange import Exchange
from storage.spool.recording import Recording
from tests.fuzz import __main__ as program
from tests.fuzz import door, golden, identifiers, parser

SEED = 20_250_101
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of damaged values


def test_the_lane_stands_two_seconds_of_fuzzing():
    """Damaged streams never make the lane store, say or log what the standard does not call for."""
    *findings, count = parser.run(SEED, 2)
    assert not findings, "\n".join(map(str, findings))
    assert count > 50  # it does something, on the slowest machine too


def test_questions_stand_a_second_of_fuzzing():
    """A damaged identifier is a query that can be answered, or a Fault; nothing else gets out."""
    *findings, count = identifiers.run(SEED, 1)
    assert not findings, "\n".join(map(str, findings))
    assert count > 50


def test_a_question_that_breaks_something_is_found(monkeypatch):
    """A matching that fails on some key does not pass."""
    monkeypatch.setattr("dicom.query.matches", lambda *_: 1 / 0)
    assert any(isinstance(one, parser.Finding) for one in identifiers.run(SEED, 1))


@pytest.mark.p1
def test_the_door_stands_three_seconds_of_fuzzing():
    """Beside vandals an honest sender is served; nothing half is kept, nothing leaks."""
    seen = list(door.run(SEED, 3, epoch_s=1.5))
    findings = [one for one in seen if isinstance(one, parser.Finding)]
    assert not findings, "\n".join(map(str, findings))
    assert all(epoch.streams > 10 and epoch.honest > 0 for epoch in seen[:-1])


def test_a_case_can_be_made_again():
    """Seed and number give the same stream each time, and other numbers others."""
    recordings = golden.load_all()
    cases = [parser.case(7, number, recordings) for number in range(50)]
    assert cases == [parser.case(7, number, recordings) for number in range(50)]
    assert len({one.said for one in cases}) > 30


def test_a_wrong_success_is_found(monkeypatch):
    """An exchange that says Success although the object was refused does not pass."""
    monkeypatch.setattr(Exchange, "_outcome", lambda self: (self.drop(), (0, ""))[1])
    assert any(isinstance(one, parser.Finding) for one in parser.run(SEED, 2))


def test_a_half_object_is_found(monkeypatch):
    """An exchange that forgets to drop what broke off does not pass."""
    monkeypatch.setattr(Exchange, "drop", lambda _: None)
    assert any(isinstance(one, parser.Finding) for one in parser.run(SEED, 2))


def test_a_lost_object_is_found(monkeypatch):
    """A spool that says it has what it has not does not pass."""
    monkeypatch.setattr(Recording, "commit", lambda self: self.abandon())
    (finding, _) = door.run(SEED, 1)
    assert any("honest objects are not in the spool" in words for words in finding.words)


def test_a_finding_is_written_down(tmp_path, monkeypatch, capsys):
    """What was found is in a file, with its seed and stream, and the exit status is 1."""
    monkeypatch.setattr(program, "FOLDER", tmp_path)
    monkeypatch.setenv("FUZZ_SEED", "11")
    monkeypatch.setenv("FUZZ_CASE", "3")
    assert program.main() == 0
    monkeypatch.setattr(Exchange, "take", lambda *_: 1 / 0)
    assert program.main() == 1
    said = parser.case(11, 3, golden.load_all()).said
    text = (tmp_path / "11-3.txt").read_text()
    assert text.startswith("seed 11, case 3:\nlogged: ")
    assert "ZeroDivisionError" in text
    assert said.hex() in text
    assert "FUZZ_SEED=11 make fuzz" in capsys.readouterr().out
