"""The lane: every way of cutting a message arrives whole, and answers are exact."""

import struct

import pytest
import structlog
from pynetdicom import AE

from examples.peers.process import wait_until
from node.exchange import Exchange


def in_pieces(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


def one_by_one(wire, command, dataset, fragment):
    """Each fragment in a PDU of its own."""
    parts = [(1, 1, part) for part in in_pieces(command, fragment)]
    parts[-1] = (1, 3, parts[-1][2])
    parts += [(1, 0, part) for part in in_pieces(dataset, fragment)]
    parts[-1] = (1, 2, parts[-1][2])
    return [wire.p_data(part) for part in parts]


def together(wire, command, dataset, fragment):
    """Command and all dataset fragments in one PDU."""
    values = [(1, 3, command), *((1, 0, part) for part in in_pieces(dataset, fragment))]
    values[-1] = (1, 2, values[-1][2])
    return [wire.p_data(*values)]


def empty_last(wire, command, dataset, fragment):
    """A last fragment that holds no bytes, for command and dataset."""
    del fragment
    return [
        wire.p_data((1, 1, command)),
        wire.p_data((1, 3, b"")),
        wire.p_data((1, 0, dataset)),
        wire.p_data((1, 2, b"")),
    ]


def stray_bits(wire, command, dataset, fragment):
    """Bits of the control header that mean nothing are set."""
    del fragment
    return [wire.p_data((1, 0xFF, command)), wire.p_data((1, 0xFE, dataset))]


CUTS = [
    (one_by_one, 1), (one_by_one, 7), (one_by_one, 999), (one_by_one, 16000),
    (together, 13), (together, 20000), (empty_last, 0), (stray_bits, 0),
]  # fmt: skip


@pytest.mark.parametrize("cutting", CUTS)
@pytest.mark.parametrize("segment", [5, 1 << 20])
def test_any_cut_arrives_whole(door, call, wire, cutting, segment):
    """However a message is cut into PDVs, PDUs and segments, the stored bytes are the sent ones."""
    cut, fragment = cutting
    size = 600 if fragment in {1, 7} or segment == 5 else 20_000
    data = wire.dataset_of(size_bytes=size)
    peer = call()
    peer.associate((wire.CT, wire.IMPLICIT))
    for part in in_pieces(b"".join(cut(wire, wire.store_rq(), data, fragment)), segment):
        peer.send(part)
    assert peer.read_response()["status"] == 0
    assert door.datasets() == [data]


def test_odd_length_dataset_is_kept_as_sent(door, call, wire):
    """An odd number of dataset bytes is against the standard and stored all the same."""
    data = wire.dataset_of(size_bytes=10) + b"\1"
    peer = call()
    peer.associate()
    assert peer.store(data) == 0
    assert door.datasets() == [data]


def test_response_is_exact(call, wire):
    """The response names the request's message, SOP class, SOP instance and context."""
    peer = call()
    peer.associate((wire.VERIFICATION, wire.IMPLICIT), (wire.CT, wire.IMPLICIT))
    peer.send(wire.p_data((3, 3, wire.store_rq(message_id=65535, sop_instance="1.2.3.44"))))
    peer.send(wire.p_data((3, 2, wire.dataset_of("1.2.3.44"))))
    assert peer.read_response() == {
        "context_id": 3,
        "status": 0,
        "field": 0x8001,
        "message_id": 65535,
        "sop_class": wire.CT,
        "sop_instance": "1.2.3.44",
        "comment": "",
    }


@pytest.mark.parametrize("max_pdu", [0, 16, 64, 1 << 20])
def test_response_keeps_to_the_peers_maximum_length(call, wire, max_pdu):
    """No PDU to a peer is longer than it said it takes; 0 means no limit."""
    peer = call()
    peer.associate((wire.CT, wire.IMPLICIT), max_pdu=max_pdu)
    peer.send(wire.p_data((1, 3, wire.store_rq()), (1, 2, wire.dataset_of())))
    command, control = b"", 0
    while control != 3:
        kind, body = peer.read_pdu()
        assert kind == 4
        assert len(body) <= (max_pdu or 1000)
        control = body[5]
        command += body[6:]
    assert struct.unpack_from("<HHL", command) == (0, 0, 4)
    assert len(command) == 12 + struct.unpack_from("<L", command, 8)[0]


def test_echo_between_stores(door, call, wire):
    """Other services on the same association are pynetdicom's, before and after a C-STORE."""
    ae = AE(ae_title=wire.CALLER)
    ae.add_requested_context(wire.VERIFICATION)
    scu = ae.associate("127.0.0.1", door.port, ae_title="PENUMBRA")
    assert scu.is_established
    assert scu.send_c_echo().Status == 0
    scu.release()
    peer = call()
    peer.associate((wire.VERIFICATION, wire.IMPLICIT), (wire.CT, wire.IMPLICIT))
    echo = wire.element(0x0002, wire.VERIFICATION.encode() + b"\0")
    echo += wire.element(0x0100, struct.pack("<H", 0x30))
    echo += wire.element(0x0110, struct.pack("<H", 9))
    echo += wire.element(0x0800, struct.pack("<H", 0x101))
    for turn in range(3):
        peer.send(wire.p_data((1, 3, wire.element(0, struct.pack("<L", len(echo))) + echo)))
        answer = peer.read_response()
        assert (answer["field"], answer["status"], answer["message_id"]) == (0x8030, 0, 9)
        uid = f"1.2.3.{turn}"
        assert peer.store(wire.dataset_of(uid), sop_instance=uid, context_id=3) == 0
    peer.release()
    assert len(door.stored) == 3


def test_pipelined_stores_are_all_answered_in_order(call, wire, door):
    """A sender that does not wait for answers gets every one of them, in order."""
    peer = call()
    peer.associate()
    for number in range(20):
        uid = f"1.2.3.{number}"
        peer.send(wire.p_data((1, 3, wire.store_rq(message_id=number, sop_instance=uid))))
        peer.send(wire.p_data((1, 2, wire.dataset_of(uid, size_bytes=1000))))
    assert [peer.read_response()["message_id"] for _ in range(20)] == list(range(20))
    peer.release()
    assert len(door.stored) == 20


@pytest.mark.p1
def test_no_answer_before_commit_returns(door, call, wire):
    """While commit has not returned, the sender hears nothing."""
    peer = call()
    peer.associate()
    door.receiver.gate.clear()
    peer.send(wire.p_data((1, 3, wire.store_rq()), (1, 2, wire.dataset_of())))
    assert door.receiver.committing.wait(10)
    peer.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        peer.read(1)
    peer.socket.settimeout(10)
    door.receiver.gate.set()
    assert peer.read_response()["status"] == 0


@pytest.mark.p1
@pytest.mark.parametrize(
    ("fault", "status"), [("full", 0xA700), (OSError("disk"), 0x0110), (ValueError("bug"), 0x0110)]
)
def test_failed_commit_is_never_success(door, call, wire, fault, status):
    """A commit that fails is answered by a failure, leaves nothing, and the next one is served."""
    peer = call()
    peer.associate()
    door.receiver.fault = wire.Full("no room") if fault == "full" else fault
    assert peer.store(wire.dataset_of()) == status
    assert (door.stored, door.receiver.abandoned) == ([], 1)
    door.receiver.fault = None
    assert peer.store(wire.dataset_of()) == 0
    peer.release()
    ((_, ending),) = door.ended()
    assert ending.statuses == {status: 1, 0: 1}


def test_a_long_commit_does_not_count_as_idle(open_door, call, wire):
    """A commit longer than the idle time-out is answered, and the association lives on."""
    door = open_door(idle_timeout_s=0.5)
    peer = call(door)
    peer.associate()
    door.receiver.gate.clear()
    peer.send(wire.p_data((1, 3, wire.store_rq()), (1, 2, wire.dataset_of())))
    assert door.receiver.committing.wait(10)
    peer.socket.settimeout(0.8)
    with pytest.raises(TimeoutError):
        peer.read(1)
    door.receiver.gate.set()
    peer.socket.settimeout(10)
    assert peer.read_response()["status"] == 0
    assert peer.store(wire.dataset_of()) == 0
    peer.release()
    wait_until(lambda: door.diary.closed, 10, "the end")
    assert door.diary.closed[0][1].outcome == "released"


@pytest.mark.parametrize("max_pdu_bytes", [4096, 131_072, 1 << 20])
def test_pdus_up_to_the_negotiated_maximum_are_taken(open_door, call, wire, max_pdu_bytes):
    """A dataset cut to exactly the node's own maximum length arrives whole."""
    door = open_door(max_pdu_bytes=max_pdu_bytes)
    peer = call(door)
    peer.associate()
    data = wire.dataset_of(size_bytes=2_000_000)
    peer.send(wire.p_data((1, 3, wire.store_rq())))
    pieces = in_pieces(data, max_pdu_bytes - 6)
    for part in pieces[:-1]:
        peer.send(wire.p_data((1, 0, part)))
    peer.send(wire.p_data((1, 2, pieces[-1])))
    assert peer.read_response()["status"] == 0
    assert door.datasets() == [data]
    peer.release()


@pytest.mark.p6
@pytest.mark.parametrize("sop_instance", ["DOE^JANE^19700101 " + "x" * 3000, "DOE JANE", ""])
def test_what_is_no_uid_is_not_logged(door, call, wire, sop_instance):
    """A name in the place of a UID of the command is refused, and stands in no line of the log."""
    with structlog.testing.capture_logs() as lines:
        peer = call()
        peer.associate()
        assert peer.store(wire.dataset_of(), sop_instance=sop_instance) == 0x0117
        peer.release()
        door.is_quiet()
    (line,) = [one for one in lines if one["event"] == "object refused"]
    assert (line["sop_class"], line["sop_instance"]) == (wire.CT, "no UID")
    assert "DOE" not in str(lines)


@pytest.mark.p6
def test_what_is_no_class_is_not_logged(door, call, wire):
    """The same of the SOP class."""
    with structlog.testing.capture_logs() as lines:
        peer = call()
        peer.associate()
        assert peer.store(wire.dataset_of(), sop_class="DOE^JANE") == 0x0122
        peer.release()
        door.is_quiet()
    assert "DOE" not in str(lines)
    assert "no UID" in str(lines)


def test_only_storage_classes_are_stored(door, call, wire):
    """A C-STORE of Verification, in an accepted context of Verification, is refused: 0x0122."""
    peer = call()
    peer.associate((wire.VERIFICATION, wire.IMPLICIT), (wire.CT, wire.IMPLICIT))
    data = wire.dataset_of(sop_class=wire.VERIFICATION, size_bytes=100)
    assert peer.store(data, sop_class=wire.VERIFICATION) == 0x0122
    assert peer.store(wire.dataset_of(), context_id=3) == 0
    peer.release()
    assert [one.arrival.sop_class_uid for one in door.stored] == [wire.CT]


@pytest.mark.p1
def test_success_is_said_only_of_what_was_committed(door, call, wire, monkeypatch):
    """An object that is lost without a refusal, by a bug of ours, is not answered by Success."""
    begin = Exchange._begin

    def begin_and_lose(self, command):
        begin(self, command)
        self.drop()

    monkeypatch.setattr(Exchange, "_begin", begin_and_lose)
    peer = call()
    peer.associate()
    assert peer.store(wire.dataset_of()) == 0x0110
    assert door.stored == []


@pytest.mark.p1
def test_a_disk_that_hangs_costs_its_neighbours_nothing(door, call, wire, monkeypatch):
    """A connection that ends while its commit hangs keeps its place until the commit is done."""
    monkeypatch.setattr("node.listener.GRACE_S", 0.1)
    peer = call()
    peer.associate()
    door.receiver.gate.clear()
    peer.send(wire.p_data((1, 3, wire.store_rq()), (1, 2, wire.dataset_of())))
    assert door.receiver.committing.wait(10)
    ((conversation, lane),) = door.listener._connections.items()
    association = lane._association
    with structlog.testing.capture_logs() as lines:
        # As the association's own thread does at its end, whatever ended it.
        door.listener._closed(association, conversation, lane)
        assert not door.connections()
    assert "connection left behind" in {one["event"] for one in lines}
    assert door.receiver.abandoned == 0
    assert lane._transport._socket.fileno() != -1
    neighbour = call()
    neighbour.associate()
    door.receiver.committing.clear()
    data = wire.dataset_of("1.2.4", size_bytes=500)
    neighbour.send(wire.p_data((1, 3, wire.store_rq(sop_instance="1.2.4")), (1, 2, data)))
    assert door.receiver.committing.wait(10)
    door.receiver.gate.set()
    assert neighbour.read_response()["status"] == 0
    wait_until(lambda: lane._transport._socket.fileno() == -1, 10, "the end of the connection")
    assert sorted(one.arrival.sop_instance_uid for one in door.stored) == ["1.2.3", "1.2.4"]
    wait_until(lambda: not association.is_alive(), 10, "the end of its threads")
