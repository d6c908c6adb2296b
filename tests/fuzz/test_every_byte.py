"""A stream that ends at any byte, in any way: no half object is kept, no Success is wrong."""

import pytest

from tests.fuzz import desk, golden
from tests.fuzz.judge import faults

RECORDINGS = {one.name: one for one in golden.load_all()}
REACH = 1100
"""Bytes of each recording that are tried: the first object, and the command of the second."""
ABORT = bytes([7, 0, 0, 0, 0, 4, 0, 0, 0, 0])
WORDS = {
    "eof": {"the peer closed in the middle of a message", "the peer closed without a release"},
    "reset": {"the connection broke (ConnectionResetError)"},
    "silence": {"a PDU took longer than 60 s to arrive", "the connection broke off"},
}


@pytest.mark.p1
@pytest.mark.parametrize("end", WORDS)
@pytest.mark.parametrize("name", RECORDINGS)
def test_every_byte(name, end):
    """Cut at every byte, closed, reset or gone silent there: only objects that came whole stay."""
    one = RECORDINGS[name]
    stream = one.messages[:REACH]
    for kept in range(len(stream) + 1):
        said = stream[:kept]
        result = desk.run(said, end, one.contexts)
        assert not faults(result, said, one.contexts), (kept, end)
        assert result.ending.words in WORDS[end], kept


@pytest.mark.p1
@pytest.mark.parametrize("name", RECORDINGS)
def test_an_abort_at_every_byte(name):
    """An A-ABORT after any byte, between PDUs or in the middle of one, leaves no half object."""
    one = RECORDINGS[name]
    stream = one.messages[:REACH]
    for kept in range(len(stream) + 1):
        said = stream[:kept] + ABORT
        assert not faults(desk.run(said, "eof", one.contexts), said, one.contexts), kept


@pytest.mark.p1
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 6, 11, 12, 13, 255, 701, 4096])
@pytest.mark.parametrize("name", RECORDINGS)
def test_bytes_that_come_in_pieces(name, piece):
    """However few bytes a read brings, the objects are the same."""
    one = RECORDINGS[name]
    result = desk.run(one.messages, "eof", one.contexts, piece=piece)
    assert not faults(result, one.messages, one.contexts)
    assert [status for _, status in result.answers] == [0, 0]


@pytest.mark.parametrize("piece", [7_001, 65_535, 1 << 20])
@pytest.mark.parametrize("refused", [False, True])
def test_a_stream_longer_than_any_buffer(piece, refused):
    """Hundreds of messages that come faster than they are served lose no byte, kept or refused."""
    one = RECORDINGS["storescu"]
    stream = one.messages * 300
    contexts = {number: ("1.2.3", syntax) for number, (_, syntax) in one.contexts.items()}
    contexts = contexts if refused else one.contexts
    result = desk.run(stream, "eof", contexts, piece=piece)
    assert not faults(result, stream, contexts)
    assert [status for _, status in result.answers] == [0x0122 if refused else 0] * 600
