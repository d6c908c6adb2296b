"""The listener: who is let in, what they are told, and what is known of each association."""

import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest
import structlog
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from dicom.errors import ConfigFault
from examples.peers.process import wait_until
from node.acceptor import Rarely
from node.listener import Listener
from node.services.store import StoreService


def associate(wire, door, calling=None, called="PENUMBRA"):
    ae = AE(ae_title=calling or wire.CALLER)
    ae.add_requested_context(wire.VERIFICATION)
    return ae.associate("127.0.0.1", door.port, ae_title=called)


@pytest.mark.parametrize(
    ("calling", "called", "answer"),
    [("STRANGER", "PENUMBRA", (1, 1, 3)), ("SCANNER", "OTHER", (1, 1, 7))],
)
def test_rejection_is_seen_by_the_peer(door, wire, calling, called, answer):
    """The caller hears result, source and reason, and the door stays open for others."""
    scu = associate(wire, door, calling, called)
    assert scu.is_rejected
    heard = scu.acceptor.primitive
    assert (heard.result, heard.result_source, heard.diagnostic) == answer
    door.is_quiet()
    assert [request.calling_ae for request, _ in door.diary.rejected] == [calling]
    assert door.diary.opened == []
    other = associate(wire, door)
    assert other.is_established
    other.release()


@pytest.mark.skipif(not shutil.which("echoscu"), reason="needs Debian's dcmtk (echoscu)")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-aet", "SCANNER", "-aec", "PENUMBRA"], ""),
        (["-aet", "STRANGER", "-aec", "PENUMBRA"], "Calling AE Title Not Recognized"),
        (["-aet", "SCANNER", "-aec", "OTHER"], "Called AE Title Not Recognized"),
    ],
)
def test_echoscu_understands_the_answer(door, options, words):
    """DCMTK's echoscu is served, or prints the reason why not."""
    done = subprocess.run(
        ["echoscu", *options, "127.0.0.1", str(door.port)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is (words == "")
    assert words in done.stdout + done.stderr


def test_one_association_too_many_is_told_to_come_back(open_door, call, wire):
    """Above max_associations the answer is transient, local limit exceeded; then there is room."""
    door = open_door(max_associations=2)
    first, second, third = call(door), call(door), call(door)
    first.associate()
    second.associate()
    third.send(wire.associate_rq())
    assert third.read_pdu() == (3, bytes([0, 2, 3, 2]))
    first.release()
    door.ended()
    call(door).associate()


def test_unknown_callers_may_store_if_the_config_says_so(open_door, call, wire):
    """accept_unknown_callers = true lets a stranger store."""
    door = open_door(accept_unknown_callers=True)
    peer = call(door)
    peer.associate(calling="STRANGER")
    assert peer.store(wire.dataset_of()) == 0


def test_a_bug_in_admission_lets_nobody_in(door, call, wire, monkeypatch):
    """When admission itself breaks, callers are rejected, not accepted."""
    monkeypatch.setattr("node.reception.decide", lambda *_: 1 / 0)
    peer = call()
    peer.send(wire.associate_rq())
    assert peer.read_pdu() == (3, bytes([0, 2, 2, 1]))


def leave_by_release(peer, wire):
    peer.release()


def leave_by_abort(peer, wire):
    peer.send(wire.ABORT)
    peer.read_to_end()


def leave_by_closing(peer, wire):
    peer.close()


def leave_by_reset(peer, wire):
    peer.reset()


@pytest.mark.parametrize(
    "way",
    [
        (leave_by_release, "released", ""),
        (leave_by_abort, "aborted", "the peer aborted"),
        (leave_by_closing, "lost", "closed without a release"),
        (leave_by_reset, "lost", "ConnectionResetError"),
    ],
)
def test_outcome_is_told(door, call, wire, way):
    """Watchers hear how each association ended, with its counts, after its last object."""
    leave, outcome, words = way
    peer = call()
    peer.associate()
    data = wire.dataset_of()
    peer.store(data)
    peer.store(data, sop_instance="")
    leave(peer, wire)
    ((facts, ending),) = door.ended()
    assert door.diary.opened == [facts]
    assert (facts.calling_ae, facts.called_ae, facts.address) == (
        "SCANNER",
        "PENUMBRA",
        "127.0.0.1",
    )
    assert door.stored[0].arrival.association == facts.id
    assert ending.outcome == outcome
    assert words in ending.words
    assert ending.statuses == {0: 1, 0x0117: 1}
    assert ending.size_bytes == len(data)
    assert door.diary.statuses == [0, 0x0117]


@pytest.mark.p6
def test_one_line_per_association_and_nothing_of_the_patient(door, call, wire):
    """The log holds one canonical line, with counts, and no byte of the dataset."""
    with structlog.testing.capture_logs() as lines:
        peer = call()
        peer.associate()
        peer.store(wire.dataset_of())
        peer.release()
        door.is_quiet()
    (line,) = [one for one in lines if one["event"] == "association"]
    assert line["outcome"] == "released"
    assert line["objects"] == {"0x0000": 1}
    assert line["calling_ae"] == "SCANNER"
    assert re.fullmatch(r"[0-9a-f]{32}", line["association"])
    assert "penumbrapenumbra" not in str(lines)


def test_idle_association_is_aborted(open_door, call):
    """An association that says nothing for idle_timeout_s is aborted, and the log says why."""
    door = open_door(idle_timeout_s=0.3)
    peer = call(door)
    peer.associate()
    assert peer.read_to_end() == [7]
    ((_, ending),) = door.ended()
    assert (ending.outcome, ending.words) == ("aborted", "idle for 0.3 s")


def test_stop_lets_an_object_in_flight_finish(door, call, wire):
    """While draining, an open association stores its object and releases; new ones find no door."""
    peer = call()
    peer.associate()
    data = wire.dataset_of()
    peer.send(wire.p_data((1, 3, wire.store_rq()), (1, 0, data[:500])))
    stopper = threading.Thread(target=door.listener.stop, args=(20,))
    stopper.start()
    wait_until(lambda: not door.listener.is_alive, 10, "the end of accepting")
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", door.port), 5).recv(1)
    peer.send(wire.p_data((1, 2, data[500:])))
    assert peer.read_response()["status"] == 0
    peer.release()
    stopper.join(10)
    assert not stopper.is_alive()
    assert door.datasets() == [data]
    assert door.ended()[0][1].outcome == "released"


def test_stop_aborts_what_does_not_end(door, call, wire):
    """After the drain time the rest is aborted: the peer hears it, nothing half is kept."""
    peers = [call(), call(), call()]
    peers[0].associate()
    peers[1].associate()
    peers[1].send(wire.p_data((1, 3, wire.store_rq()), (1, 0, wire.dataset_of()))[:-9])
    began = time.monotonic()
    door.listener.stop(0.2)
    assert time.monotonic() - began < 5
    assert peers[0].read_to_end() == [7]
    assert {ending.words for _, ending in door.ended(2)} == {"the node stopped"}
    assert door.stored == []


def test_taken_port_is_a_config_fault(door, make_settings):
    """A port that is in use is named, as a fault of the config file."""
    settings = make_settings(port=door.port)
    store = StoreService(door.receiver, settings, door.listener.store.contexts(), time.time)
    with pytest.raises(ConfigFault, match=r"node\.port: cannot listen on 127\.0\.0\.1"):
        Listener(settings, store).start()


def test_associating_costs_no_copy_of_the_contexts(door, call, wire):
    """Two hundred supported contexts are not copied for each association."""
    peer = call()
    peer.associate()
    (lane,) = door.listener._connections.values()
    association = lane._association
    shared = {id(one) for one in door.listener.store.contexts()}
    assert shared <= {id(one) for one in association.acceptor.supported_contexts}


def test_a_watcher_that_fails_costs_nothing(door, call, wire, monkeypatch):
    """A bug in a watcher does not reach the sender."""
    for hook in ("on_opened", "on_stored", "on_closed"):
        monkeypatch.setattr(door.diary, hook, lambda *_: 1 / 0)
    peer = call()
    peer.associate()
    assert peer.store(wire.dataset_of()) == 0
    peer.release()


@pytest.mark.parametrize("which", ["association", "upper layer"])
def test_a_thread_that_cannot_start_leaves_no_connection(door, call, wire, monkeypatch, which):
    """While the machine has no thread to give, connections are closed, and none is left behind."""
    broken = {"association": Association, "upper layer": DULServiceProvider}[which]

    def no_thread(self):
        raise RuntimeError("can't start new thread")

    died = []
    with monkeypatch.context() as machine:
        machine.setattr("threading.excepthook", died.append)
        machine.setattr(broken, "start", no_thread)
        for _ in range(3):
            assert call().read_to_end() == []
        door.is_quiet()
    peer = call()
    peer.associate()
    assert peer.store(wire.dataset_of()) == 0
    peer.release()


def test_a_thread_that_cannot_start_leaves_no_tls_socket(open_door, pki, monkeypatch):
    """Under TLS the wrapped socket is closed too, at once."""
    door = open_door(tls=pki.tls())

    def no_thread(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Association, "start", no_thread)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", door.tls_port), 5) as peer:
            assert peer.recv(1) == b""
    door.is_quiet()


def test_one_address_cannot_take_the_door_from_others(open_door, call, wire, monkeypatch):
    """Beyond its share an address that asks for nothing is refused; another one is served."""
    monkeypatch.setattr("node.listener.SILENT_OF_ONE_ADDRESS", 5)
    door = open_door(max_associations=2)
    calling = call(door)
    calling.associate()
    silent = [call(door) for _ in range(5)]
    wait_until(lambda: door.connections() == 6, 10, "all connections")
    with structlog.testing.capture_logs() as lines:
        refused = [call(door) for _ in range(10)]
        for peer in refused:
            with contextlib.suppress(ConnectionError):
                assert peer.socket.recv(1) == b""
    (line,) = [one for one in lines if one["event"] == "connection refused"]
    assert (line["address"], line["count"]) == ("127.0.0.1", 1)
    assert "this address" in line["words"]
    with socket.create_connection(
        ("127.0.0.1", door.port), 10, source_address=("127.0.0.2", 0)
    ) as other:
        other.sendall(wire.associate_rq())
        assert other.recv(1) == b"\2"
    assert calling.store(wire.dataset_of()) == 0  # an association is not silent
    silent[0].close()
    wait_until(lambda: not door.listener.refusal("127.0.0.1"), 10, "room")
    call(door).associate()


def test_a_flood_is_told_now_and_then_with_its_number():
    """The first refusal is told at once, the next ones every few seconds, none uncounted."""
    rarely = Rarely(10)
    told = {now: count for now in range(25) if (count := rarely.count(now))}
    assert told == {0: 1, 10: 10, 20: 10}
