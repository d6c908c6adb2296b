"""Hostile and broken peers: each ends its own connection at most, leaves nothing, and is told."""

import struct
import threading
from pathlib import Path

import pytest
import structlog

from examples.peers.process import wait_until


def still_serves(door, call, wire):
    """Store one object as an honest peer would."""
    before = len(door.stored)
    peer = call(door)
    peer.associate()
    assert peer.store(wire.dataset_of()) == 0
    peer.release()
    assert len(door.stored) == before + 1


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("16030100fc010000f80303") + b"\0" * 240,
    "zeros": b"\0" * 4096,
    "random": bytes(range(200, 256)) * 64,
    "oversize associate": struct.pack(">BxL", 1, 1 << 30) + b"\0" * 100,
    "oversize data": struct.pack(">BxL", 4, 0xFFFFFFFF),
    "empty associate": struct.pack(">BxL", 1, 0),
    "associate of zeros": struct.pack(">BxL", 1, 2000) + b"\0" * 2000,
    "data before associate": struct.pack(">BxLLBB", 4, 6, 2, 1, 3),
    "release before associate": struct.pack(">BxLL", 5, 4, 0),
    "abort before associate": struct.pack(">BxLL", 7, 4, 0),
    "accept before associate": struct.pack(">BxL", 2, 70) + b"\0" * 70,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_ends_its_own_connection_only(door, call, wire, garbage):
    """Bytes that are no association close the connection, with an A-ABORT at most."""
    neighbour = call()
    neighbour.associate()
    peer = call()
    peer.send(garbage)
    assert peer.read_to_end() in ([], [7])
    assert neighbour.store(wire.dataset_of()) == 0
    neighbour.release()
    door.is_quiet()
    assert len(door.diary.opened) == 1


@pytest.mark.parametrize("kept", [1, 5, 6, 7, 74, 100, -1])
def test_truncated_associate_is_dropped(door, call, wire, kept):
    """A request that breaks off anywhere leaves no association behind."""
    peer = call()
    peer.send(wire.associate_rq()[:kept])
    peer.close()
    door.is_quiet()
    assert door.diary.opened == []
    still_serves(door, call, wire)


@pytest.mark.parametrize("place", [8, 9, 75, 77, 100, 102, 106, 150])
def test_associate_with_a_lie_in_it_is_refused(door, call, wire, place):
    """Wrong lengths and types inside a request of honest length never hang or stop the node."""
    request = bytearray(wire.associate_rq())
    request[place] = 0xEE
    peer = call()
    peer.send(bytes(request))
    peer.send(wire.ABORT)
    assert set(peer.read_to_end()) <= {2, 3, 7}
    door.is_quiet()
    still_serves(door, call, wire)


def half_an_object(wire):
    data = wire.dataset_of()
    return wire.p_data((1, 3, wire.store_rq())) + wire.p_data((1, 0, data[: len(data) // 2]))


@pytest.mark.parametrize("how", ["abort", "close", "reset", "release", "stall"])
def test_association_that_ends_mid_object_stores_nothing(open_door, call, wire, how):
    """Half an object is dropped however the peer leaves, and the next peer is served."""
    door = open_door(idle_timeout_s=0.5)
    peer = call(door)
    peer.associate()
    peer.send(half_an_object(wire))
    if how in {"abort", "release"}:
        peer.send(wire.ABORT if how == "abort" else wire.RELEASE)
    if how == "reset":
        peer.reset()
    elif how == "close":
        peer.close()
    else:
        assert peer.read_to_end() == ([] if how == "abort" else [7])
    ((_, ending),) = door.ended()
    assert ending.outcome == ("lost" if how in {"reset", "close"} else "aborted")
    assert (door.stored, door.receiver.abandoned) == ([], 1)
    still_serves(door, call, wire)


def test_object_cut_anywhere_stores_nothing(door, call, wire):
    """A connection that ends at any byte of a C-STORE, short of the last, stores nothing."""
    message = wire.p_data((1, 3, wire.store_rq())) + wire.p_data(
        (1, 2, wire.dataset_of(size_bytes=8))
    )
    cuts = range(1, len(message), 7)
    for kept in cuts:
        peer = call()
        peer.associate()
        peer.send(message[:kept])
        peer.close()
    door.ended(len(cuts))
    assert door.stored == []
    assert {ending.words for _, ending in door.diary.closed} == {
        "the peer closed in the middle of a message"
    }


def test_neighbours_are_not_hurt_by_an_abort(door, call, wire):
    """An association that aborts mid-object beside another leaves that one's object whole."""
    one, two = call(), call()
    one.associate()
    two.associate()
    data = wire.dataset_of("1.2.9")
    two.send(wire.p_data((1, 3, wire.store_rq(sop_instance="1.2.9")), (1, 0, data[:1000])))
    one.send(half_an_object(wire))
    one.send(wire.ABORT)
    one.read_to_end()
    two.send(wire.p_data((1, 2, data[1000:])))
    assert two.read_response()["status"] == 0
    two.release()
    assert door.datasets() == [data]


def lies(wire):
    data = wire.dataset_of(size_bytes=1000)
    command = wire.store_rq()
    honest = wire.p_data((1, 3, command))
    return {
        "oversize pdu": struct.pack(">BxL", 4, (1 << 20) + 2000),
        "pdv longer than its pdu": struct.pack(">BxLLBB", 4, 6, 1000, 1, 3),
        "pdv of no length": struct.pack(">BxLLBB", 4, 6, 0, 1, 3),
        "pdu without pdv": struct.pack(">BxL", 4, 0),
        "trailing bytes": struct.pack(">BxL", 4, 9) + wire.pdv(1, 3, b"")[:6] + b"abc",
        "dataset without command": wire.p_data((1, 2, data)),
        "command within a dataset": honest + wire.p_data((1, 0, data)) + honest,
        "context changed half way": honest + wire.p_data((3, 2, data)),
        "context that was not accepted": wire.p_data((99, 3, command)),
        "command cut off": wire.p_data((1, 3, command[:-3])),
        "command of another group": wire.p_data((1, 3, struct.pack("<HHLL", 8, 0, 4, 0))),
        "command without a field": wire.p_data((1, 3, wire.element(0x0110, b"\1\0"))),
        "unknown command field": wire.p_data(
            (1, 3, wire.element(0x0100, b"\x99\x77") + wire.element(0x0800, b"\1\1"))
        ),
        "endless command": wire.p_data((1, 1, b"\0" * 60_000)) * 3,
        "release within a message": honest + wire.RELEASE,
        "unknown pdu": struct.pack(">BxL", 0x55, 10) + b"0123456789",
        "pdu shorter than its value": honest + struct.pack(">BxL", 4, 50) + wire.pdv(1, 2, data),
        "pdu shorter than it says, between two": struct.pack(">BxL", 4, 200) + honest * 2,
        "pdu of 4 GB": struct.pack(">BxL", 4, 0xFFFFFFFF) + honest,
        "second associate": wire.associate_rq(),
        "release response": struct.pack(">BxLL", 6, 4, 0),
        "oversize release": struct.pack(">BxL", 5, 5000) + b"\0" * 5000,
    }


@pytest.mark.parametrize("lie", range(22))
def test_a_peer_that_breaks_the_protocol_is_aborted(door, call, wire, lie):
    """Every lie within an association is answered by one A-ABORT, in words in the log."""
    name, said = list(lies(wire).items())[lie]
    assert len(lies(wire)) == 22
    peer = call()
    peer.associate((wire.CT, wire.IMPLICIT), (wire.VERIFICATION, wire.IMPLICIT))
    peer.send(said)
    assert peer.read_to_end() == [7], name
    ((_, ending),) = door.ended()
    assert ending.outcome == "aborted", name
    assert ending.words, name
    assert door.stored == []
    still_serves(door, call, wire)


def test_an_abort_reaches_a_peer_that_is_still_sending(door, call, wire):
    """A sender of a refused PDU reads the A-ABORT even while megabytes of it are under way."""
    peer = call()
    peer.associate()
    said = struct.pack(">BxL", 4, 8 << 20)

    def pour():
        try:
            peer.send(said + b"\0" * (8 << 20))
        except OSError:
            return

    pouring = threading.Thread(target=pour)
    pouring.start()
    assert peer.read_to_end() == [7]
    pouring.join(10)
    assert not pouring.is_alive()


def test_endless_identifier_is_not_kept(door, call, wire):
    """The dataset of a message other than C-STORE is bounded."""
    peer = call()
    peer.associate((wire.VERIFICATION, wire.IMPLICIT))
    find = wire.element(0x0100, struct.pack("<H", 0x20)) + wire.element(0x0110, b"\1\0")
    peer.send(wire.p_data((1, 3, find + wire.element(0x0800, b"\0\0"))))
    try:
        for _ in range(40):
            peer.send(wire.p_data((1, 0, b"\0" * 65536)))
    except OSError:
        pass  # aborted while sending: what is hoped for
    ((_, ending),) = door.ended()
    assert "identifier longer than" in ending.words


def test_a_pdu_that_drips_is_given_up(open_door, call, wire):
    """A PDU that does not arrive within the idle time-out ends its association."""
    door = open_door(idle_timeout_s=2)
    peer = call(door)
    peer.associate()
    whole = wire.p_data((1, 3, wire.store_rq()), (1, 2, wire.dataset_of()))
    heard = []
    reading = threading.Thread(target=lambda: heard.extend(peer.read_to_end()))
    reading.start()
    step = threading.Event()
    for place in range(200):
        if step.wait(0.02) or door.diary.closed:
            break
        try:
            peer.send(whole[place : place + 1])
        except OSError:
            break
    ((_, ending),) = door.ended()
    reading.join(10)
    assert heard in ([7], [])
    assert ending.words == "a PDU took longer than 2 s to arrive"
    still_serves(door, call, wire)


def held():
    """Descriptors and threads of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def test_silent_connections_are_closed_and_cost_nobody_else(open_door, call, wire, monkeypatch):
    """200 connections that say nothing, or half a request, are closed by ARTIM, without a trace."""
    monkeypatch.setattr("node.listener.SILENT_OF_ONE_ADDRESS", 256)
    door = open_door(idle_timeout_s=3, max_associations=2)
    still_serves(door, call, wire)
    door.is_quiet()
    before = held()
    with structlog.testing.capture_logs() as lines:
        silent = [call(door) for _ in range(200)]
        for peer in silent[::2]:
            peer.send(wire.associate_rq()[:50])
        for _ in range(3):
            still_serves(door, call, wire)
        for peer in silent:
            assert peer.read_to_end() in ([], [7])
        door.is_quiet()
    told = [one for one in lines if one["event"] == "no association asked for"]
    assert len(told) == 200
    wait_until(lambda: held() <= before, 15, f"the return to {before}, now {held()}")
    still_serves(door, call, wire)


@pytest.mark.parametrize("pause", ["between fragments", "within a fragment", "within a header"])
def test_a_dataset_that_never_ends_is_given_up(open_door, call, wire, pause):
    """A sender that falls silent in the middle of a dataset is freed by the idle time-out."""
    door = open_door(idle_timeout_s=0.4)
    piece = wire.p_data((1, 0, wire.dataset_of(size_bytes=200_000)[:60_000]))
    left_out = {"between fragments": 0, "within a fragment": 900, "within a header": 60_003}
    peer = call(door)
    peer.associate()
    peer.send(wire.p_data((1, 3, wire.store_rq())) + piece * 20)
    peer.send(piece[: len(piece) - left_out[pause]])
    assert peer.read_to_end() == [7]
    ((_, ending),) = door.ended()
    assert ending.outcome == "aborted"
    expected = "idle for 0.4 s" if pause == "between fragments" else "a PDU took longer than 0.4 s"
    assert expected in ending.words
    assert (door.stored, door.receiver.abandoned) == ([], 1)
    still_serves(door, call, wire)


def test_a_pdu_longer_than_what_comes_is_given_up(open_door, call, wire):
    """A PDU that says more than its sender sends is waited for no longer than the time-out."""
    door = open_door(idle_timeout_s=0.4)
    peer = call(door)
    peer.associate()
    peer.send(wire.p_data((1, 3, wire.store_rq())))
    peer.send(struct.pack(">BxL", 4, 10_000) + wire.pdv(1, 2, bytes(5000)))
    assert peer.read_to_end() == [7]
    ((_, ending),) = door.ended()
    assert ending.words in {
        "a PDU took longer than 0.4 s to arrive",
        "presentation data value of 5002 bytes does not fit its PDU",
    }
    assert door.stored == []
    still_serves(door, call, wire)


PLACES = {
    "before a word": (0, 0), "within the request": (60, 0), "after the request": (None, 0),
    "within a command": (None, 60), "after a command": (None, 124),
    "within a header of data": (None, 130), "within data": (None, 1000),
    "a byte short of the end": (None, -1),
}  # fmt: skip
"""How much was said of the request (None: all, and its answer was read) and of a C-STORE."""


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_reset_anywhere_stores_nothing(door, call, wire, place):
    """A sender that resets its connection, wherever it is, is told of once and leaves nothing."""
    still_serves(door, call, wire)
    door.is_quiet()
    before = held()
    asked, sent = place
    whole = wire.p_data((1, 3, wire.store_rq()), (1, 2, wire.dataset_of(size_bytes=1000)))
    with structlog.testing.capture_logs() as lines:
        peer = call()
        if asked is None:
            peer.associate()
            peer.send(whole[:sent])
        else:
            peer.send(wire.associate_rq()[:asked])
        peer.reset()
        wait_until(lambda: bool(lines), 10, "a line in the log")
        door.is_quiet()
    assert len(lines) == 1
    assert lines[0]["event"] in {"association", "no association asked for"}
    assert lines[0]["words"]
    wait_until(lambda: held() <= before, 15, f"the return to {before}, now {held()}")
    assert len(door.stored) == 1
    still_serves(door, call, wire)


def test_two_requests_in_one_breath(door, call, wire):
    """A second A-ASSOCIATE-RQ, sent before the first is answered, is answered by an A-ABORT."""
    peer = call()
    peer.send(wire.associate_rq() * 2)
    assert peer.read_to_end() == [2, 7]
    ((_, ending),) = door.ended()
    assert ending.outcome == "aborted"
    still_serves(door, call, wire)


def test_a_peer_that_does_not_read_is_let_go(open_door, call, wire):
    """A sender that never reads its answers does not hold a thread for ever."""
    door = open_door(idle_timeout_s=0.5)
    peer = call(door)
    peer.associate()
    message = wire.p_data(
        (1, 3, wire.store_rq(sop_instance="1" * 64)), (1, 2, wire.dataset_of(size_bytes=8))
    )
    peer.socket.settimeout(5)
    try:
        while not door.diary.closed:
            peer.send(message * 200)
    except OSError:
        pass  # its own send blocks or breaks once the node stopped reading
    door.is_quiet()
    still_serves(door, call, wire)


def test_a_hundred_bad_connections_leak_nothing(door, call, wire):
    """Descriptors and threads are back where they were after 100 connections that end badly."""
    still_serves(door, call, wire)
    door.is_quiet()

    before = held()
    sayings = [*GARBAGE.values(), *(wire.associate_rq() + one for one in lies(wire).values())]
    sayings += [wire.associate_rq() + half_an_object(wire), wire.associate_rq()[:30], b""]
    for turn in range(100):
        peer = call()
        peer.send(sayings[turn % len(sayings)])
        peer.reset() if turn % 2 else peer.close()
    door.is_quiet()
    wait_until(lambda: held() <= before, 15, f"the return to {before}, now {held()}")
    still_serves(door, call, wire)
