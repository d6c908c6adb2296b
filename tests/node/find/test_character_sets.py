"""C-FIND in every script: real clients ask in their character set, and are answered in it."""

import struct
from pathlib import Path

import pytest

from examples.peers.find_scu import FINDSCU, ask, findscu, identifier
from examples.peers.people import PEOPLE
from examples.peers.raw_finder import RawFinder

needs_findscu = pytest.mark.skipif(FINDSCU is None, reason="findscu is in Debian's dcmtk")


@pytest.mark.parametrize("who", PEOPLE)
def test_every_script_is_asked_and_answered_in_its_own_character_set(port: int, who: str) -> None:
    """A name asked in its own character set is found, and comes back in the same one."""
    terms, name = PEOPLE[who]
    asked = identifier(SpecificCharacterSet=terms, PatientName=name, PatientID="")
    status, (match,) = ask(port, asked)
    assert status.Status == 0x0000
    assert (match.PatientName, match.PatientID) == (name, who)
    assert (
        list(match.SpecificCharacterSet or [""]) == terms or [match.SpecificCharacterSet] == terms
    )


@needs_findscu
@pytest.mark.parametrize("who", PEOPLE)
def test_findscu_is_answered_in_its_own_character_set(port: int, tmp_path: Path, who: str) -> None:
    """DCMTK's findscu finds a name in each script and reads the answer."""
    terms, name = PEOPLE[who]
    asked = identifier(SpecificCharacterSet=terms, PatientName=name, PatientID="")
    (match,) = findscu(port, tmp_path / "out", asked)
    assert (match.PatientName, match.PatientID) == (name, who)
    assert match.RetrieveAETitle == "PENUMBRA"


@pytest.mark.parametrize(
    ("asked_in", "who", "answered_in"),
    [
        ([], "crowd", None),
        (["ISO_IR 100"], "crowd", None),
        ([], "latin1", "ISO_IR 192"),
        (["ISO_IR 100"], "latin1", "ISO_IR 100"),
        (["ISO_IR 100"], "japanese", "ISO_IR 192"),
        (["GB18030"], "greek", "GB18030"),
        (["ISO_IR 126"], "russian", "ISO_IR 192"),
    ],
)
def test_the_answer_names_its_character_set(
    port: int, asked_in: list[str], who: str, answered_in: str | None
) -> None:
    """Absent for ASCII, the requester's where it is enough, otherwise UTF-8 (PS3.5 6.1.2)."""
    asked = identifier(PatientID=who, PatientName="")
    if asked_in:
        asked.SpecificCharacterSet = asked_in
    _, matches = ask(port, asked)
    assert matches[0].get("SpecificCharacterSet") == answered_in
    assert matches[0].PatientName == (PEOPLE[who][1] if who in PEOPLE else "Doe^John")


@pytest.mark.parametrize(
    ("name", "who"), [("muller*", {"latin1"}), ("山田*", {"japanese", "katakana"})]
)
def test_names_are_found_without_case_and_accents(port: int, name: str, who: set[str]) -> None:
    """A name is found as it is typed: any case, no accents, any of its spellings."""
    asked = identifier(SpecificCharacterSet="ISO_IR 192", PatientName=name, PatientID="")
    _, matches = ask(port, asked)
    assert {one.PatientID for one in matches} == who


def test_latin_9_is_read_and_written(port: int) -> None:
    """A character set that pydicom does not know is asked and answered in."""
    raw = (
        struct.pack("<HHL", 8, 5, 10) + b"ISO_IR 203" + struct.pack("<HHL", 8, 0x52, 6) + b"STUDY "
    )
    name = "Žoë^Œuf".encode("iso8859-15")
    raw += struct.pack("<HHL", 0x10, 0x10, 8) + name + b" "
    peer = RawFinder(port)
    peer.ask(raw + struct.pack("<HHL", 0x10, 0x20, 0))
    found, last = peer.responses()
    peer.release()
    assert last["status"] == 0x0000
    assert name in found["identifier"]
    assert b"ISO_IR 203" in found["identifier"]
