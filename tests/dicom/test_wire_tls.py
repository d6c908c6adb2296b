"""A connection under TLS between two objects: what is said, and what is only TLS."""

import socket
import ssl
import threading

import pytest

from dicom.wire import TlsWire
from examples.peers.certificates import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def ends(pki):
    """Our end of a TLS 1.3 connection, the other's socket and encryption, and its tickets, which
    it has not sent yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.node.certificate, pki.node.key)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    near, far = socket.socketpair()
    ours = []
    client = pki.authority.client()
    greeting = threading.Thread(target=lambda: ours.append(client.wrap_socket(near)))
    greeting.start()
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            far.sendall(outgoing.read())
            incoming.write(far.recv(1 << 16))
    greeting.join()
    (end,) = ours
    end.settimeout(2)
    with end, far:
        yield end, far, (tls, outgoing), outgoing.read()


@pytest.fixture
def wire(ends):
    return TlsWire(ends[0], peer_max_bytes=0, max_bytes=16_384, timeout_s=2)


def test_tickets_are_no_end(ends, wire):
    """Session tickets come when the peer likes, and say nothing of the association."""
    _, far, _, tickets = ends
    assert tickets
    assert wire.is_quiet()
    far.sendall(tickets)
    assert wire.is_quiet()
    assert wire.is_quiet()


@pytest.mark.parametrize("how", ["abort", "close"])
def test_what_is_said_between_objects_is_heard(ends, wire, how):
    """An abort, or the end of the connection, between two objects is noticed at once."""
    _, far, (tls, outgoing), tickets = ends
    far.sendall(tickets)
    if how == "abort":
        tls.write(b"\x07\0\0\0\0\4\0\0\0\0")
        far.sendall(outgoing.read())
    else:
        far.shutdown(socket.SHUT_RDWR)
    assert not wire.is_quiet()
