"""Messages cut out of a stream, however its bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.worklist.mllp import MOST_BETWEEN, Frames, NotFramed, TooLong, framed

TEXTS = st.lists(st.binary(max_size=40).map(lambda raw: raw.translate(None, b"\x0b\x1c")))


@given(TEXTS, st.integers(1, 7))
def test_messages_come_whole_however_they_are_cut(messages, size):
    """A stream gives its messages in order, in whatever pieces it comes."""
    stream = b"".join(map(framed, messages))
    frames = Frames(1000)
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [each for chunk in chunks for each in frames.feed(chunk)] == messages
    assert not frames.is_inside


@given(st.lists(st.binary(max_size=50)))
def test_any_stream_gives_messages_or_a_fault(chunks):
    """Garbage never fails otherwise, and what is inside a message is never more than the limit."""
    frames = Frames(20)
    try:
        for chunk in chunks:
            assert all(len(each) <= 20 for each in frames.feed(chunk))
    except (TooLong, NotFramed):
        pass


def test_a_message_that_does_not_end_is_dropped_when_the_next_begins():
    """A sender that broke off and began anew is answered for the whole message alone."""
    frames = Frames(1000)
    assert list(frames.feed(b"\x0bhalf a mess\x0bwhole\x1c\r")) == [b"whole"]
    assert frames.broken == 1


def test_the_end_may_lack_its_return():
    """0x1C alone ends a message, as some senders have it."""
    assert list(Frames(1000).feed(b"\x0ba\x1c\x0bb\x1c\r\n")) == [b"a", b"b"]


def test_too_long_is_known_before_it_is_whole():
    """Beyond the limit nothing more is kept, and the beginning is there for an answer."""
    frames = Frames(10_000)
    assert not list(frames.feed(b"\x0bMSH|" + b"x" * 9_000))
    with pytest.raises(TooLong) as found:
        list(frames.feed(b"x" * 2_000))
    assert found.value.head.startswith(b"MSH|")


def test_another_protocol_is_known():
    """Whoever sends kilobytes without a start speaks something else."""
    frames = Frames(1000)
    with pytest.raises(NotFramed):
        list(frames.feed(b"GET / HTTP/1.1\r\n" * (MOST_BETWEEN // 16 + 1)))
