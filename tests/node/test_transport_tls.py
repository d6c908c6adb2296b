"""The lane's connection under TLS: records, handshakes, and what must never be in the clear."""

import contextlib
import socket
import threading
import time

import pytest

from examples.peers.process import wait_until
from node.transport import HandshakeFailed, PeerGone


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def talk(request, secure):
    """A connection under TLS and its peer."""
    transport, peer = secure(request.param)
    peer.greet_with(transport)
    return transport, peer


@pytest.fixture
def stranger(secure):
    """A connection before its handshake, the peer, and the failures that are told."""
    failures = []
    return *secure("TLSv1_3", on_failure=failures.append), failures


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


def test_half_a_record_is_nothing_yet(talk):
    """Bytes that cannot be decrypted yet do not count as readable, nor do they block a look."""
    transport, peer = talk
    record = peer.encrypted(b"penumbra")
    peer.socket.sendall(record[:-1])
    wait_until(lambda: transport._incoming.poll(0), 10, "the bytes")
    assert not transport.readable(100)
    peer.socket.sendall(record[-1:])
    assert transport.readable(5000)
    assert filled(transport, 8) == b"penumbra"


def test_a_sender_of_single_bytes_is_understood(talk):
    """A record that comes byte by byte is decrypted once it is whole."""
    transport, peer = talk
    record = peer.encrypted(b"penumbra")

    def drip():
        for place in range(len(record)):
            peer.socket.sendall(record[place : place + 1])

    dripping = threading.Thread(target=drip)
    dripping.start()
    assert filled(transport, 8) == b"penumbra"
    dripping.join()


@pytest.mark.parametrize("place", [0, 1, 4, 8, -1])
def test_a_broken_record_ends_the_connection(talk, place):
    """A record that was tampered with, in its header or its content, is never delivered."""
    transport, peer = talk
    record = bytearray(peer.encrypted(b"penumbra"))
    record[place] ^= 0x40
    peer.socket.sendall(record)
    peer.socket.shutdown(socket.SHUT_WR)
    view = memoryview(bytearray(8))
    with contextlib.suppress(PeerGone):
        assert transport.readable(5000)
        assert fill(transport, view, soon()) == 0
    assert bytes(view) == bytes(8)
    with contextlib.suppress(PeerGone):
        assert fill(transport, view, soon()) == 0


def test_bytes_in_the_clear_end_the_connection(talk):
    """A peer that drops encryption half way is not listened to."""
    transport, peer = talk
    peer.socket.sendall(b"\x04\0\0\0\0\x06penumbra")
    with pytest.raises(PeerGone, match="the connection broke"):
        fill(transport, memoryview(bytearray(8)), soon())


def test_the_verified_name_is_known_after_the_handshake(stranger):
    """Before the handshake a peer has no name; after it the name of its certificate."""
    transport, peer, failures = stranger
    assert not transport.greet()
    assert transport.peer_name is None
    peer.greet_with(transport)
    assert transport.peer_name == "ct1.hospital.example"
    assert transport.greet()
    assert failures == []


def test_a_handshake_that_fails_is_told_once(stranger):
    """A failure is raised once and counted once, whatever is asked afterwards."""
    transport, peer, failures = stranger
    peer.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(HandshakeFailed) as told:
        wait_until(transport.greet, 10, "the handshake")
    assert told.value.failure.kind == "no TLS"
    assert not transport.greet()
    transport.finish_sending()
    transport.close()
    assert [one.kind for one in failures] == ["no TLS"]


def test_a_handshake_that_never_came_is_counted(stranger):
    """Closing a connection that began no TLS counts as a failure."""
    transport, _, failures = stranger
    assert not transport.greet()
    transport.close()
    transport.close()
    assert [one.kind for one in failures] == ["silent"]


def test_a_handshake_takes_only_so_long(stranger):
    """A peer that begins TLS and does not go on is given up."""
    transport, peer, failures = stranger
    peer.socket.sendall(b"\x16\x03\x01")
    transport._greet_until_s = time.monotonic() + 0.1
    with pytest.raises(HandshakeFailed, match="in time"):
        wait_until(transport.greet, 10, "the handshake")
    assert [one.kind for one in failures] == ["silent"]


def test_a_cut_before_the_handshake_sends_nothing_in_the_clear(stranger):
    """Last words are for peers under TLS only."""
    transport, peer, _ = stranger
    transport.cut(b"secret")
    assert peer.socket.recv(100) == b""
