"""The lane: every way of cutting a message arrives whole, and answers are exact."""

import struct

import pytest
from pynetdicom import AE

from examples.peers.process import wait_until


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
