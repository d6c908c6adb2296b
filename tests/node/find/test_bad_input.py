"""C-FIND from peers that mean harm: clear words, nothing slow for others, and nothing kept."""

import contextlib
import resource
import struct
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from pydicom.dataset import Dataset

from config.model import Settings
from dicom.entity import Arrival, Instance, Location
from examples.peers.find_scu import identifier
from examples.peers.raw_finder import RawFinder, encoded
from node.exchange import FIND_LIMIT
from node.listener import Listener
from node.services.find import FindService
from node.services.questioning import Question
from node.services.store import StoreService
from storage.index.database import Index

STUDIES = 2000
PATIENCE_S = 2.0
"""A loaded machine's; alone it takes a twentieth of it."""


class Measuring(FindService):
    """The service, which remembers how long identifiers were that it was handed."""

    lengths: ClassVar[list[int]] = []

    def serve_question(self, question: Question) -> None:
        self.lengths.append(len(question.identifier))
        super().serve_question(question)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A node with some Studies, whose one patient is called aaaa."""
    index = Index.open(tmp_path_factory.mktemp("index") / "index.duckdb")
    entries = []
    for number in range(STUDIES):
        texts = {
            "PatientID": f"P{number}",
            "PatientName": "a" * 60,
            "StudyInstanceUID": f"1.{number}",
            "SeriesInstanceUID": f"1.{number}.1",
        }
        arrival = Arrival("1.2", f"1.{number}.1.1", "1.2", "A", "B", "c", "d", 1.0)
        entries.append((Instance(arrival, Location("s", number, 1), f"{number:064x}"), texts))
    index.add(entries, {})
    peers = {"SCANNER": {"may": ["find"]}}
    node = {"host": "127.0.0.1", "port": 0}
    settings = Settings.model_validate({"node": node, "peers": peers})
    store = StoreService(None, settings, [], time.time)  # type: ignore[arg-type]  # nobody stores
    listener = Listener(settings, store, [Measuring(settings, index)])
    listener.start()
    assert listener.port is not None
    yield listener.port
    listener.stop(1)
    index.close()


def element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


LEVEL = element(0x00080052, b"STUDY ")
UIDS = "\\".join(f"9.9.{number}" for number in range(100_000)) + "\\1.7"
INJECTION = "'; DROP TABLE study; --"


def nested() -> bytes:
    data = b""
    for _ in range(100):
        data = element(0x00400275, element(0xFFFEE000, data))
    return LEVEL + data


def asked(**keys: str) -> Callable[[], bytes]:
    return lambda: encoded(identifier(**keys))


# What is asked; the status heard, with words of its comment; matches.
HOSTILE: dict[str, tuple[Callable[[], bytes], int, str, int]] = {
    "ten megabytes": (lambda: LEVEL + element(0x00100010, b"a" * 10_000_000), 0xA700, "4 MiB", 0),
    "100,000 UIDs": (asked(StudyInstanceUID=UIDS), 0x0000, "", 1),
    "a pattern that goes back and forth": (
        asked(PatientName="*a" * 30 + "*b"), 0x0000, "", 0,
    ),
    "questions that go back and forth": (asked(PatientName="*a?" * 20 + "b"), 0x0000, "", 0),
    "a hundred patterns": (
        asked(PatientName="\\".join(f"*b{number}*" for number in range(100))), 0x0000, "", 0,
    ),
    "too many patterns": (
        asked(PatientName="\\".join(f"*b{number}*" for number in range(101))),
        0xA900, "PatientName", 0,
    ),
    "SQL": (asked(PatientName=INJECTION, PatientID=INJECTION, AccessionNumber=INJECTION), 0, "", 0),
    "sequences in sequences": (nested, 0xA900, "nests deeper", 0),
    "no character set of this world": (
        lambda: element(0x00080005, b"ISO_IR 9999\\'; --") + LEVEL + element(0x00100020, b"P7"),
        0x0000, "", 1,
    ),
    "bytes of no character set": (
        lambda: LEVEL + element(0x00100010, b"\xff\xfe\x1b$B\xff\x1b"), 0x0000, "", 0,
    ),
    "nothing": (lambda: b"", 0xA900, "QueryRetrieveLevel", 0),
    "no dataset": (lambda: b"GET / HTTP/1.1\r\n\r\n", 0xC000, "breaks off", 0),
    "a date of letters": (asked(StudyDate="yesterday"), 0xA900, "StudyDate", 0),
    "the end of time": (asked(StudyDate="99999999-"), 0xA900, "StudyDate", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_questions_are_answered_soon_and_in_words(port: int, name: str) -> None:
    """Each has its status and words, holds nobody up, and the association lives on."""
    question, status, words, matches = HOSTILE[name]
    peer, other = RawFinder(port), RawFinder(port)
    data = question()
    began_s = time.monotonic()
    peer.ask(data, 1)
    other.ask(identifier(PatientID="P3"), 1)
    assert other.responses()[-1]["status"] == 0x0000
    assert time.monotonic() - began_s < PATIENCE_S
    *found, last = peer.responses()
    assert time.monotonic() - began_s < PATIENCE_S
    assert (last["status"], len(found)) == (status, matches)
    assert words in last["comment"]
    assert (last["offending"] is None) == (status != 0xA900)
    peer.ask(identifier(PatientID="P5"), 2)
    assert len(peer.responses()) == 2
    peer.release()
    other.release()


def test_hostile_questions_leave_nothing_behind(port: int) -> None:
    """Asked over and over, the worst of them do not make the process grow."""
    worst = [
        HOSTILE[name][0]() for name in ("ten megabytes", "100,000 UIDs", "sequences in sequences")
    ]
    peer = RawFinder(port)

    def ask_all(times: int) -> int:
        for number in range(times):
            peer.ask(worst[number % len(worst)], number + 1)
            peer.responses()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before_kb = ask_all(3)
    assert ask_all(9) - before_kb < 64 << 10
    assert FIND_LIMIT < max(Measuring.lengths) <= FIND_LIMIT + (1 << 17)
    peer.release()


def test_many_who_never_read_hold_nobody_up(port: int) -> None:
    """Fifty who ask for everything and read nothing: an honest peer is answered meanwhile."""
    everything = Dataset()
    everything.QueryRetrieveLevel = "STUDY"
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDescription"):
        setattr(everything, keyword, None)
    with contextlib.ExitStack() as held:
        for _ in range(50):
            idle = RawFinder(port)
            held.callback(idle.abort)
            idle.ask(everything, 1)
        peer = RawFinder(port)
        began_s = time.monotonic()
        peer.ask(identifier(PatientID="P3"), 1)
        assert len(peer.responses()) == 2
        assert time.monotonic() - began_s < PATIENCE_S
        peer.release()
