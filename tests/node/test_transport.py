"""The lane's connection: in the clear and under TLS it keeps one contract."""

import contextlib
import hashlib
import os
import socket
import threading
import time

import pytest

from examples.peers.process import wait_until
from examples.peers.tls_peer import PlainPeer
from node.transport import PeerGone, Plain
from node.transport_tls import Secure

TIMEOUT_S = 0.6


@pytest.fixture(params=["plain", "TLSv1_2", "TLSv1_3"])
def talk(request, ends, secure):
    """A connection and its peer, in the clear and under each TLS."""
    if request.param == "plain":
        return Plain(ends[0], TIMEOUT_S), PlainPeer(ends[1])
    transport, peer = secure(request.param, TIMEOUT_S)
    peer.greet_with(transport)
    return transport, peer


def soon():
    return time.monotonic() + 10


def fill(transport, view, deadline_s):
    """Read until the view is full or the peer ended, as the inbox does."""
    got = 0
    while got < len(view):
        count = transport.receive(view[got:])
        if count == 0:
            break
        got += max(count, 0)
        if got < len(view) and time.monotonic() > deadline_s:
            raise TimeoutError
    return got


def filled(transport, count):
    view = memoryview(bytearray(count))
    assert fill(transport, view, soon()) == count
    return bytes(view)


@pytest.mark.parametrize("step", [1, 7, 16_384, 1 << 20])
def test_bytes_come_as_they_were_sent(talk, step):
    """However the peer cuts what it sends, views are filled to the last byte."""
    transport, peer = talk
    said = os.urandom(300 if step < 10 else 500_000)

    def say():
        for start in range(0, len(said), step):
            peer.send(said[start : start + step])

    saying = threading.Thread(target=say)
    saying.start()
    assert transport.readable(5000)
    heard = [filled(transport, count) for count in (1, 6, len(said) - 10, 3)]
    saying.join()
    assert b"".join(heard) == said
    assert not transport.readable(0)


def test_what_waits_decrypted_is_readable(talk):
    """Bytes that arrived with others count as readable, though the socket holds no more."""
    transport, peer = talk
    peer.send(b"first second")
    assert transport.readable(5000)
    assert filled(transport, 6) == b"first "
    assert transport.readable(0)
    assert transport.readable(0)
    assert filled(transport, 6) == b"second"
    assert not transport.readable(0)


@pytest.mark.parametrize("goodbye", [True, False])
@pytest.mark.parametrize("said", [b"", b"half"])
def test_an_end_is_an_end(talk, goodbye, said):
    """A peer that ends, with or without close_notify, leaves what it said, again and again."""
    transport, peer = talk
    if said:
        peer.send(said)
    peer.end() if goodbye else peer.socket.shutdown(socket.SHUT_WR)
    assert transport.readable(5000)
    view = memoryview(bytearray(9))
    assert fill(transport, view, soon()) == len(said)
    assert bytes(view[: len(said)]) == said
    assert transport.readable(0)
    assert fill(transport, view, soon()) == 0


def test_a_read_waits_a_moment(talk):
    """A read of a silent connection says so soon, and again."""
    transport, _ = talk
    began = time.monotonic()
    view = memoryview(bytearray(4))
    assert [transport.receive(view), transport.scatter(view, view)] == [-1, -1]
    assert time.monotonic() - began < 2


def test_what_comes_behind_is_kept_apart(talk):
    """Bytes beyond the end of a view go into the next one, or wait for the next read."""
    transport, peer = talk
    peer.send(b"dataset" + b"header")
    view, behind = memoryview(bytearray(7)), memoryview(bytearray(6))
    assert transport.readable(5000)
    count = transport.scatter(view, behind)
    assert count in {7, 13}
    assert bytes(view) == b"dataset"
    assert (bytes(behind) if count == 13 else filled(transport, 6)) == b"header"


def test_nothing_to_read_is_told_after_the_wait(talk):
    """A look at a silent connection takes as long as allowed, and no longer."""
    transport, _ = talk
    began = time.monotonic()
    assert not transport.readable(0)
    assert time.monotonic() - began < 1
    assert not transport.readable(100)
    assert 0.09 <= time.monotonic() - began < 2


def test_a_reset_is_told(talk):
    """A connection that the peer resets is broken, or has ended (ssl before Python 3.12.3)."""
    transport, peer = talk
    peer.reset()
    try:
        assert transport.readable(5000)
        assert fill(transport, memoryview(bytearray(4)), soon()) == 0
        assert isinstance(transport, Secure)
    except PeerGone as gone:
        assert "broke" in str(gone)  # noqa: PT017  (one of two ways)
    with contextlib.suppress(PeerGone):
        transport.send(b"x")
    with pytest.raises(PeerGone):
        transport.send(b"x")


def test_all_is_sent(talk):
    """A megabyte reaches a peer that reads slowly, then close_notify and the end."""
    transport, peer = talk
    said = os.urandom(4 << 20)
    heard = []
    hearing = threading.Thread(target=lambda: heard.append(peer.read_to_end()))
    hearing.start()
    assert transport.send(said) == len(said)
    transport.finish_sending()
    transport.finish_sending()
    hearing.join(10)
    assert hashlib.sha256(heard[0]).digest() == hashlib.sha256(said).digest()
    assert getattr(peer, "heard_goodbye", True)


def test_a_peer_that_does_not_read_is_given_up(talk):
    """Sending to a peer that never reads ends after the time-out."""
    transport, _ = talk
    began = time.monotonic()
    with pytest.raises(PeerGone, match="did not take"):
        transport.send(b"x" * (64 << 20))
    assert time.monotonic() - began < 10


def test_nothing_follows_the_end(talk):
    """Once it said goodbye, a connection sends nothing, least of all in the clear."""
    transport, peer = talk
    transport.finish_sending()
    with pytest.raises(PeerGone):
        transport.send(b"secret")
    transport.cut(b"secret")
    assert peer.read_to_end() == b""


def test_draining_ends_with_the_peer(talk):
    """What a peer still sends is dropped until it ends."""
    transport, peer = talk
    peer.send(b"late" * 50_000)
    transport.finish_sending()
    assert not transport.drain(5000)
    peer.socket.shutdown(socket.SHUT_WR)
    wait_until(lambda: transport.drain(100), 10, "the peer's end")


@pytest.mark.parametrize("waiting", ["fill", "send", "readable"])
def test_a_cut_wakes_whoever_waits(talk, waiting):
    """A cut from another thread ends a wait at once, long before its deadline."""
    transport, _ = talk
    transport._timeout_s = 30
    done = []
    steps = {
        "fill": lambda: fill(transport, memoryview(bytearray(9)), soon() + 30),
        "send": lambda: transport.send(b"x" * (64 << 20)),
        "readable": lambda: transport.readable(30_000),
    }

    def wait():
        with contextlib.suppress(PeerGone):
            steps[waiting]()
        done.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    transport.cut(b"the end")
    thread.join(5)
    assert done


def test_last_words_are_heard(talk):
    """A peer hears the last words of a connection that is cut."""
    transport, peer = talk
    transport.cut(b"the end")
    assert peer.read_to_end() == b"the end"
    transport.cut(b"again")


def test_closing_twice_is_closing(talk):
    """A connection may be closed, and shut down, more than once; later calls find it gone."""
    transport, _ = talk
    transport.close()
    transport.close()
    transport.finish_sending()
    transport.cut(b"the end")
    transport.acknowledge()
    with pytest.raises(PeerGone):
        transport.send(b"x")
