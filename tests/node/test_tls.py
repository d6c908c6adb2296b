"""TLS at the door: who comes in, what arrives, and what a failed handshake leaves."""

import contextlib
import hashlib
import os
import socket
import ssl
import threading
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from dicom.errors import ConfigFault
from examples.peers.process import free_port, wait_until
from examples.peers.tls_peer import TornHandshake
from node.listener import Listener


@pytest.mark.parametrize(
    "how", [(version, mutual) for version in ("TLSv1_2", "TLSv1_3") for mutual in (True, False)]
)
def test_an_object_arrives(open_door, call, wire, pki, how):
    """An object sent under TLS is stored as sent, and its sender's name is known if asked for."""
    version, mutual = how
    door = open_door(tls=pki.tls() if mutual else pki.tls(client_ca=None))
    with structlog.testing.capture_logs():
        peer = call(door, pki.authority.client(pki.client, newest=version))
        peer.associate()
        data = wire.dataset_of()
        assert peer.store(data) == 0
        (conversation,) = door.listener._connections
        assert conversation.tls_name == ("ct1.hospital.example" if mutual else None)
        assert peer.socket.version() == version.replace("_", ".")
        peer.release()
    assert door.datasets() == [data]
    ((_, ending),) = door.ended()
    assert ending.outcome == "released"


def honest(pki):
    return pki.authority.client(pki.client)


def nameless(pki):
    return pki.authority.client()


def of_a_stranger(pki):
    return pki.authority.client(pki.stranger.issue("ct1"))


def expired(pki):
    return pki.authority.client(pki.authority.issue("late", ends=-timedelta(hours=1)))


def early(pki):
    return pki.authority.client(pki.authority.issue("early", begins=timedelta(hours=1)))


def distrustful(pki):
    return pki.stranger.client(pki.client)


def outdated(pki):
    with warnings.catch_warnings(action="ignore"):
        context = pki.authority.client(pki.client, newest="TLSv1_1")
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def without_forward_secrecy(pki):
    context = pki.authority.client(pki.client, newest="TLSv1_2")
    context.set_ciphers("AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256")
    return context


REFUSED = [
    (lambda _: None, "no TLS", "the peer speaks without TLS"),
    (nameless, "no client certificate", "the peer shows no certificate"),
    (of_a_stranger, "client certificate", "refused: self-signed certificate in"),
    (expired, "client certificate", "refused: certificate has expired"),
    (early, "client certificate", "refused: certificate is not yet valid"),
    (distrustful, "refused by the client", "does not accept this node's certificate"),
    (outdated, "version", "TLS versions are not allowed"),
    (without_forward_secrecy, "cipher", "no cipher suite that is allowed"),
]


def try_to_associate(call, wire, door, context):
    """Associate and release, as far as it goes; returns the PDU types that the client heard."""
    peer = None
    try:
        peer = call(door, context, plain_to_tls=True)
        peer.send(wire.associate_rq())
        peer.send(wire.RELEASE)
        return peer.read_to_end()
    except (ssl.SSLError, ConnectionError) as fault:
        if peer is not None:
            peer.close()
        return fault


@pytest.mark.parametrize("case", REFUSED, ids=[kind for _, kind, _ in REFUSED])
def test_who_is_refused_hears_so_and_leaves_one_line(open_door, call, wire, pki, case):
    """A failed handshake is one line in words with the fix, one count, and nothing else."""
    client, kind, words = case
    door = open_door(tls=pki.tls())
    with structlog.testing.capture_logs() as lines:
        heard = try_to_associate(call, wire, door, client(pki))
        door.is_quiet()
    assert isinstance(heard, ssl.SSLError) or (client(pki) is None and heard == [])
    assert [line["event"] for line in lines] == ["connection rejected"]
    assert (lines[0]["log_level"], lines[0]["address"]) == ("warning", "127.0.0.1")
    assert words in lines[0]["words"]
    assert lines[0]["fix"]
    assert door.listener.credentials.facts()["handshakes_failed"] == {kind: 1}
    assert (door.diary.opened, door.diary.rejected) == ([], [])
    assert try_to_associate(call, wire, door, honest(pki)) == [2, 6]


def test_a_node_may_ask_for_tls_1_3(open_door, call, wire, pki):
    """With minimum = "1.3" a client of TLS 1.2 is turned away."""
    door = open_door(tls=pki.tls(minimum="1.3"))
    older = pki.authority.client(pki.client, newest="TLSv1_2")
    assert isinstance(try_to_associate(call, wire, door, older), ssl.SSLError)
    assert try_to_associate(call, wire, door, honest(pki)) == [2, 6]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_client_is_verified_on_every_connection(open_door, wire, pki, version):
    """A client that offers its last session shows its certificate all the same."""
    door = open_door(tls=pki.tls())
    context = pki.authority.client(pki.client, newest=version)
    session = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", door.tls_port), 10) as raw,
            context.wrap_socket(raw, session=session) as client,
        ):
            client.sendall(wire.associate_rq())
            assert client.recv(1) == b"\2"
            assert not client.session_reused
            (conversation,) = door.listener._connections
            assert conversation.tls_name == "ct1.hospital.example"
            session = client.session
        door.is_quiet()


def test_both_ports_are_open_side_by_side(open_door, call, wire, pki):
    """Peers in the clear and under TLS are served at once; each port keeps to its own."""
    door = open_door(tls=pki.tls())
    one, two = call(door), call(door, honest(pki))
    for number, peer in enumerate((one, two)):
        peer.associate()
        uid = f"1.2.3.{number}"
        assert peer.store(wire.dataset_of(uid), sop_instance=uid) == 0
    one.release()
    two.release()
    assert len(door.stored) == 2


def test_the_plain_port_can_be_closed(open_door, call, pki):
    """With plain = false the node listens under TLS alone."""
    door = open_door(plain=False, tls=pki.tls())
    assert door.port is None
    peer = call(door, honest(pki))
    peer.associate()
    peer.release()


def test_a_port_that_is_taken_is_told_and_frees_the_other(open_door, pki, make_settings):
    """When one port cannot be had, the fault names its key, and the other one is given back."""
    taken = open_door(tls=pki.tls())
    port = free_port()
    settings = make_settings(port=port, tls=pki.tls(port=taken.tls_port))
    with pytest.raises(ConfigFault) as told:
        Listener(settings, taken.listener.store).start()
    assert [key for key, _ in told.value.problems] == ["tls.port"]
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_large_object_arrives_whole(open_door, call, wire, pki):
    """Twenty megabytes under TLS are stored byte for byte."""
    door = open_door(tls=pki.tls())
    peer = call(door, honest(pki))
    peer.associate()
    data = os.urandom(20 << 20)
    data = wire.dataset_of(size_bytes=8) + data
    assert peer.store(data) == 0
    peer.release()
    (stored,) = door.datasets()
    assert hashlib.sha256(stored).digest() == hashlib.sha256(data).digest()


def test_a_sender_of_single_bytes_is_served(open_door, call, wire, pki):
    """A sender that encrypts every byte by itself is understood."""
    door = open_door(tls=pki.tls())
    peer = call(door, honest(pki))
    data = wire.dataset_of(size_bytes=100)
    peer.associate()
    said = wire.p_data((1, 3, wire.store_rq()), (1, 2, data))
    for place in range(len(said)):
        peer.send(said[place : place + 1])
    assert peer.read_response()["status"] == 0
    peer.release()
    assert door.datasets() == [data]


def test_pipelined_stores_in_one_record_are_all_answered(open_door, call, wire, pki):
    """Messages that come decrypted together are served without waiting for more bytes."""
    door = open_door(tls=pki.tls())
    peer = call(door, honest(pki))
    peer.associate()
    peer.send(
        b"".join(
            wire.p_data(
                (1, 3, wire.store_rq(message_id=number, sop_instance=f"1.2.3.{number}")),
                (1, 2, wire.dataset_of(f"1.2.3.{number}", size_bytes=100)),
            )
            for number in range(20)
        )
    )
    assert [peer.read_response()["message_id"] for _ in range(20)] == list(range(20))
    peer.release()


def test_a_silent_client_costs_nobody_else(open_door, call, wire, pki):
    """Clients that begin no TLS, or not all of it, are seen off in time while others are served."""
    door = open_door(tls=pki.tls(), idle_timeout_s=1.5, max_associations=2)
    with structlog.testing.capture_logs() as lines:
        silent = [call(door, plain_to_tls=True) for _ in range(30)]
        for peer in silent[::2]:
            peer.send(b"\x16\x03\x01\x02\x00")
        peer = call(door, honest(pki))
        peer.associate()
        assert peer.store(wire.dataset_of()) == 0
        peer.release()
        for one in silent:
            assert one.read_to_end() == []
        door.is_quiet()
    told = [line["words"] for line in lines if line["event"] == "connection rejected"]
    assert told == ["the peer began no TLS, or did not go on with it, in time"] * 30
    assert door.listener.credentials.facts()["handshakes_failed"] == {"silent": 30}


def test_a_probe_of_the_port_is_no_warning(open_door, call, pki):
    """Connecting and leaving is told at level info: whatever watches the port does just that."""
    door = open_door(tls=pki.tls())
    with structlog.testing.capture_logs() as lines:
        call(door, plain_to_tls=True).close()
        wait_until(lambda: lines, 10, "a line")
        door.is_quiet()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("connection rejected", "info")
    ]


def held():
    """How many descriptors and threads this process has."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


# After a reset in the middle of ssl's own wrapping its finalizer closes the socket, and warns.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_bad_clients_leak_nothing(open_door, call, wire, pki):
    """Descriptors and threads are back where they were after every kind of failed handshake."""
    door = open_door(tls=pki.tls())
    contexts = [client(pki) for client, *_ in REFUSED]
    assert try_to_associate(call, wire, door, honest(pki)) == [2, 6]
    door.is_quiet()
    before = held()
    with structlog.testing.capture_logs() as lines:
        for context in contexts * 2:
            try_to_associate(call, wire, door, context)
        for _ in range(50):
            call(door, plain_to_tls=True).reset()
        expected = 2 * len(contexts) + 50
        wait_until(lambda: len(lines) >= expected, 15, "a line for each")
        door.is_quiet()
        wait_until(lambda: held() <= before, 15, f"the return to {before}, now {held()}")
    assert {line["event"] for line in lines} == {"connection rejected"}
    failed = door.listener.credentials.facts()["handshakes_failed"]
    assert sum(failed.values()) == len(lines) == expected
    assert try_to_associate(call, wire, door, honest(pki)) == [2, 6]


def test_a_torn_handshake_leaves_nothing(open_door, call, wire, pki):
    """A handshake that ends after any byte leaves no association, thread or descriptor."""
    door = open_door(tls=pki.tls())
    context = honest(pki)
    torn = TornHandshake(context, door.tls_port)
    whole = torn.send(1 << 20)
    assert try_to_associate(call, wire, door, context) == [2, 6]
    door.is_quiet()

    before, opened = held(), len(door.diary.opened)
    cuts = [*range(1, 20), *range(20, whole - 10, 97), *range(whole - 10, whole)]
    for kept in cuts:
        assert torn.send(kept) == kept
    door.is_quiet()
    wait_until(lambda: held() <= before, 15, f"the return to {before}, now {held()}")
    assert len(door.diary.opened) == opened
    failed = door.listener.credentials.facts()["handshakes_failed"]
    assert failed["gone"] >= len(cuts)
    assert try_to_associate(call, wire, door, context) == [2, 6]


@pytest.mark.parametrize("how", ["close", "shutdown", "reset", "clear text"])
def test_an_object_cut_off_under_tls_stores_nothing(open_door, call, wire, pki, how):
    """Half an object is dropped however the connection ends, with or without close_notify."""
    door = open_door(tls=pki.tls())
    peer = call(door, honest(pki))
    peer.associate()
    data = wire.dataset_of()
    peer.send(wire.p_data((1, 3, wire.store_rq())) + wire.p_data((1, 0, data[:50_000])))
    if how == "reset":
        peer.reset()
    elif how == "clear text":
        socket.socket.sendall(peer.socket, wire.p_data((1, 2, data[50_000:])))
        peer.close()
    else:
        if how == "shutdown":
            with contextlib.suppress(ssl.SSLError, OSError):
                peer.socket.settimeout(0.1)
                peer.socket.unwrap()
        peer.close()
    ((_, ending),) = door.ended()
    assert ending.outcome == "lost"
    assert (door.stored, door.receiver.abandoned) == ([], 1)
    assert try_to_associate(call, wire, door, honest(pki)) == [2, 6]


def test_the_end_of_the_node_is_heard_under_tls(open_door, call, pki):
    """When the node stops, an association that does not end hears A-ABORT, then close_notify."""
    door = open_door(tls=pki.tls())
    peer = call(door, honest(pki))
    peer.associate()
    waiting = call(door, plain_to_tls=True)
    door.listener.stop(0)
    assert peer.read_to_end() == [7]
    assert waiting.read_to_end() == []
    assert not door.connections()


def test_the_door_says_goodbye(open_door, call, wire, pki):
    """After a release the node ends TLS in order, so that nobody takes it for a cut."""
    door = open_door(tls=pki.tls())
    context = honest(pki)
    with socket.create_connection(("127.0.0.1", door.tls_port), 10) as raw:
        client = context.wrap_socket(raw, suppress_ragged_eofs=False)
        peer = call(door)
        peer.socket.close()
        peer.socket = client
        peer.associate()
        peer.send(wire.RELEASE)
        assert peer.read_pdu()[0] == 6
        assert client.recv(1) == b""
