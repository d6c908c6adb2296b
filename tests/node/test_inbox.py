"""The inbox gives the bytes of a connection in order, however they come and are asked for."""

import itertools
import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.errors import ProtocolFault
from node.inbox import WINDOW_BYTES, Ended, Inbox


class Script:
    """A connection that has said everything, in pieces; b"" stands for a pause."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = list(pieces)
        self.reads = 0

    def receive(self, view: memoryview) -> int:
        self.reads += 1
        if not self.pieces:
            return 0
        piece = self.pieces.pop(0)
        if not piece:
            return -1
        count = min(len(piece), len(view))
        view[:count] = piece[:count]
        if piece[count:]:
            self.pieces.insert(0, piece[count:])
        return count

    def scatter(self, view: memoryview, behind: memoryview) -> int:
        count = self.receive(view)
        if count == len(view) and self.pieces and self.pieces[0]:
            count += self.receive(behind)
        return count

    def acknowledge(self) -> None:
        return


LARGEST = 500


@given(
    said=st.binary(max_size=3000),
    cuts=st.lists(st.integers(0, 3000), max_size=20),
    asked=st.lists(
        st.tuples(st.sampled_from(["need", "fill"]), st.integers(1, LARGEST)), max_size=30
    ),
)
def test_the_order_is_kept(said: bytes, cuts: list[int], asked: list[tuple[str, int]]):
    """Whatever is asked for by either way, the bytes are those that were said, none twice."""
    edges = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    pieces = [said[start:end] for start, end in itertools.pairwise(edges)]
    inbox = Inbox(Script([one for piece in pieces for one in (b"", piece)]), LARGEST, 60)
    heard = b""
    try:
        for way, count in asked:
            if way == "fill" and not inbox.waiting:
                view = memoryview(bytearray(count))
                heard += view[: inbox.fill(view, 12)]
            else:
                heard += bytes(inbox.need(count))
                inbox.take(count)
    except Ended:
        heard += bytes(inbox.need(inbox.waiting))
        assert heard == said
    assert said.startswith(heard)


def test_a_large_message_is_read_in_windows():
    """What was read ahead is moved when the buffer ends, and nothing is lost."""
    said = bytes(range(256)) * 2000
    inbox = Inbox(Script([said]), LARGEST, 60)
    heard = b""
    while len(heard) < len(said):
        count = min(LARGEST, len(said) - len(heard))
        heard += bytes(inbox.need(count))
        inbox.take(count)
        assert inbox.waiting <= WINDOW_BYTES
    assert heard == said


def test_reads_are_few():
    """A command and its dataset that came together are read together."""
    script = Script([b"c" * 200 + b"d" * 30_000])
    inbox = Inbox(script, 40_000, 60)
    assert inbox.arrived()
    inbox.need(200)
    inbox.take(200)
    inbox.need(30_000)
    assert script.reads == 1


@pytest.mark.parametrize("way", ["need", "fill"])
@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_pdu_has_its_time(way: str, drip: bytes):
    """A peer that stops in a PDU, or sends it byte by byte, is given up at the deadline."""
    inbox = Inbox(Script([drip] * 1_000_000), LARGEST, 0.05)
    inbox.begin()
    view = memoryview(bytearray(LARGEST))

    def go_on() -> None:
        while True:
            if way == "fill":
                inbox.fill(view, 0)
            else:
                inbox.need(inbox.waiting + 1 if inbox.waiting < LARGEST else 1)
                inbox.take(1)

    with pytest.raises(ProtocolFault, match="longer than"):
        go_on()


def test_silence_between_pdus_is_no_fault():
    """Where nothing was begun, nothing is late; the end is told."""
    inbox = Inbox(Script([b"", b""]), LARGEST, 0)
    assert [inbox.arrived(), inbox.arrived()] == [False, False]
    with pytest.raises(Ended):
        inbox.arrived()


class SlowDisk(Script):
    """A quick peer in front of a slow disk: `hang` passes the time between reads."""

    now_s = 0.0

    def hang(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_slow_disk_of_ours_is_not_the_peers_fault(monkeypatch: pytest.MonkeyPatch):
    """What passes between reads while our disk takes its time does not count against the peer."""
    source = SlowDisk([b"x" * 10] * 20)
    monkeypatch.setattr("node.inbox.time.monotonic", lambda: source.now_s)
    inbox = Inbox(source, LARGEST, 60)
    inbox.begin()
    for _ in range(10):
        inbox.need(10)
        inbox.take(10)
        source.hang(100)
        view = memoryview(bytearray(10))
        assert inbox.fill(view, 0) == 10
        source.hang(100)


def test_a_byte_costs_pages_not_the_whole_buffer():
    """A connection on which one byte came holds some KB, although its largest PDU is 1 MB."""
    before_bytes = resident_bytes()
    inboxes = [Inbox(Script([b"x"]), 1 << 20, 60) for _ in range(100)]
    for inbox in inboxes:
        inbox.need(1)
    assert resident_bytes() - before_bytes < 100 * 100_000


def test_a_long_stream_of_small_messages_touches_little():
    """However much came in all, a rest left at each read, the buffer's far pages stay unused."""
    before_bytes = resident_bytes()
    inboxes = [Inbox(Script([b"x" * 64_000] * 100), 1 << 20, 60) for _ in range(30)]
    for inbox in inboxes:
        inbox.need(300)
        for _ in range(6_000):
            inbox.take(300)
            inbox.need(1_000)
    assert resident_bytes() - before_bytes < 30 * 400_000


def resident_bytes() -> int:
    """What this process holds in memory at the moment."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
