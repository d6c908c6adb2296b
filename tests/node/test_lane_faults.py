"""What a peer says out of turn ends its own association in words, and breaks nothing."""

import struct

import pytest
import structlog
from pynetdicom.dul import DULServiceProvider

from examples.peers.raw_scu import item
from node.admission import Cause
from node.exchange import Exchange


def lines_of(door, call, said, associate=True):
    with structlog.testing.capture_logs() as lines:
        peer = call()
        if associate:
            peer.associate()
        peer.send(said)
        heard = peer.read_to_end()
        door.is_quiet()
    return heard, lines


@pytest.mark.parametrize("number", [0, 2, 254])
def test_an_even_context_id_is_told_in_words(door, call, wire, number):
    """An A-ASSOCIATE-RQ with an even presentation context id is aborted, and the log says why."""
    request = bytearray(wire.associate_rq())
    request[request.index(b"\x20\x00", 74) + 4] = number
    heard, lines = lines_of(door, call, bytes(request), associate=False)
    assert heard == [7]
    assert [one["event"] for one in lines] == ["no association asked for"], lines
    assert "ASSOCIATE_RQ cannot be decoded" in lines[0]["words"]


def test_a_request_of_a_hundred_thousand_items_is_not_decoded(door, call, wire, monkeypatch):
    """What would take seconds to decode is refused by counting, and the log says why."""
    monkeypatch.setattr(DULServiceProvider, "_decode_pdu", lambda *_: pytest.fail("decoded"))
    syntaxes = b"".join(item(0x40, b"1.%d" % number) for number in range(6000))
    context = item(0x20, b"\x01\0\0\0" + item(0x30, b"1.2.840.10008.1.1") + syntaxes)
    request = wire.associate_rq()[6:] + context * 15
    whole = struct.pack(">BxL", 1, len(request)) + request
    heard, lines = lines_of(door, call, whole, associate=False)
    assert heard == [7]
    (line,) = lines
    assert "6001 syntaxes in one presentation context" in line["words"]


@pytest.mark.parametrize("after", ["garbage", "second release"])
def test_words_after_a_release_request(door, call, wire, after):
    """What comes after an A-RELEASE-RQ is refused without breaking pynetdicom's state machine."""
    said = wire.RELEASE + (b"\x55" * 20 if after == "garbage" else wire.RELEASE)
    for _ in range(10):
        _, lines = lines_of(door, call, said)
        assert "association broke" not in {one["event"] for one in lines}, lines


def test_a_bug_of_ours_is_in_the_log(door, call, wire, monkeypatch):
    """An exception that nobody expected in the lane is an error line that names its place."""
    monkeypatch.setattr(Exchange, "take", lambda *_: 1 / 0)
    _, lines = lines_of(door, call, wire.p_data((1, 3, wire.store_rq())))
    assert any("ZeroDivisionError" in str(one) for one in lines), lines


def with_version(wire, version):
    request = bytearray(wire.associate_rq())
    request[6:8] = version.to_bytes(2, "big")
    return bytes(request)


@pytest.mark.parametrize("version", [0x0000, 0x0002, 0x8000])
def test_an_unknown_protocol_version_is_told(door, call, wire, version):
    """Who does not speak version 1 hears so, and log and watchers have it as a rejection."""
    with structlog.testing.capture_logs() as lines:
        peer = call()
        peer.send(with_version(wire, version))
        assert peer.read_pdu() == (3, bytes([0, 1, 2, 2]))
        peer.close()
        door.is_quiet()
    (line,) = lines
    assert (line["event"], line["calling_ae"]) == ("association rejected", "SCANNER")
    assert f"0x{version:04X}" in line["words"]
    ((request, verdict),) = door.diary.rejected
    assert (request.calling_ae, request.called_ae, request.address, verdict.cause) == (
        "SCANNER", "PENUMBRA", "127.0.0.1", Cause.UNKNOWN_VERSION,
    )  # fmt: skip
    assert door.diary.failed_handshakes == []


def test_versions_beside_ours_are_no_obstacle(door, call, wire):
    """Only bit 0 of the version is judged (PS3.8 9.3.2): whoever speaks others too is let in."""
    peer = call()
    peer.send(with_version(wire, 0x8003))
    assert peer.read_pdu()[0] == 2
    assert peer.store(wire.dataset_of()) == 0
    peer.release()


def test_a_second_request_is_no_rejection(door, call, wire):
    """A request inside an association aborts it: whatever its version, nobody is turned away."""
    heard, lines = lines_of(door, call, with_version(wire, 2))
    assert heard == [7]
    assert "association rejected" not in {line["event"] for line in lines}
    assert door.diary.rejected == []


def two_of_one_id(wire):
    """A request with two contexts of id 1, the second with a transfer syntax that nobody knows."""
    request = bytearray(wire.associate_rq((wire.CT, wire.IMPLICIT), (wire.CT, "1.2.3.4")))
    request[request.rindex(b"\x20\x00", 74, request.index(b"1.2.3.4")) + 4] = 1
    return bytes(request)


def test_two_contexts_of_one_id_are_told_in_words(door, call, wire, monkeypatch):
    """Contexts that share an id end the association in words, with no thread dying."""
    died = []
    monkeypatch.setattr("threading.excepthook", died.append)
    heard, lines = lines_of(door, call, two_of_one_id(wire), associate=False)
    assert heard == [7]
    assert "two presentation contexts of one id" in lines[0]["words"]
    assert died == []


REASONS = {
    "a PDU type that there is not": (lambda _: b"\x55" * 20, 1),
    "P-DATA longer than agreed": (lambda _: bytes([4, 0, 0, 255, 255, 255]), 6),
    "a release in the middle of a message": (
        lambda w: w.p_data((1, 3, w.store_rq())) + w.RELEASE, 2),
    "a second request": (lambda w: w.associate_rq(), 2),
    "an answer to no request": (lambda _: bytes([6, 0, 0, 0, 0, 4, 0, 0, 0, 0]), 2),
    "a value that does not fit its PDU": (lambda _: bytes([4, 0, 0, 0, 0, 6, 0, 0, 1, 0, 1, 3]), 6),
    "a context that was not accepted": (lambda w: w.p_data((99, 3, w.store_rq())), 6),
}  # fmt: skip


@pytest.mark.parametrize(("said", "reason"), REASONS.values(), ids=REASONS)
def test_an_abort_says_why(call, wire, said, reason):
    """An A-ABORT of the upper layer names the reason that PS3.8 9.3.8 has for it."""
    peer = call()
    peer.associate()
    peer.send(said(wire))
    assert peer.read_pdu() == (7, bytes([0, 0, 2, reason]))


def test_silence_is_aborted_by_the_service_user(open_door, call):
    """An association that says nothing is ended with source 0, where a reason means nothing."""
    peer = call(open_door(idle_timeout_s=0.3))
    peer.associate()
    assert peer.read_pdu()[1][2] == 0


def test_a_pdu_that_takes_too_long_is_aborted_without_a_reason(open_door, call, wire):
    """Nothing in PS3.8 9.3.8 stands for a time-out: reason not specified."""
    peer = call(open_door(idle_timeout_s=0.3))
    peer.associate()
    peer.send(wire.p_data((1, 3, wire.store_rq()))[:-5])
    assert peer.read_pdu() == (7, bytes([0, 0, 2, 0]))
