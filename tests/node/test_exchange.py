"""Messages that break the order, lie or lack something: one clear end or status, nothing kept."""

import struct
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from examples.peers.process import wait_until


def held():
    """Descriptors and threads of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@contextmanager
def nothing_left(door, call, wire):
    """What happens within leaves one line in the log and nothing else, and the node serves on."""

    def serve():
        peer = call(door)
        peer.associate()
        assert peer.store(wire.dataset_of()) == 0
        peer.release()
        door.is_quiet()

    serve()
    kept, before = len(door.stored), held()  # in this order: whoever reads keeps a descriptor
    with structlog.testing.capture_logs() as lines:
        yield lines
        door.is_quiet()
    wait_until(lambda: held() <= before, 10, f"the return to {before}, now {held()}")
    assert len(door.stored) == kept
    assert len([one for one in lines if one["event"] == "association"]) == 1
    assert {one["event"] for one in lines} <= {"association", "object refused", "contexts refused"}
    serve()


def us(value):
    return struct.pack("<H", value)


def command(wire, *elements):
    """A command set with a true group length."""
    body = b"".join(wire.element(number, value) for number, value in elements)
    return wire.element(0, struct.pack("<L", len(body))) + body


def store(wire, **others):
    """The elements of an honest C-STORE-RQ; others take their places, None leaves one out."""
    honest = {
        0x0002: wire.CT.encode() + b"\0", 0x0100: us(1), 0x0110: us(7), 0x0700: us(0),
        0x0800: us(1), 0x1000: b"1.2.3\0",
    }  # fmt: skip
    honest.update({int(key[1:], 16): value for key, value in others.items()})
    return command(wire, *((k, v) for k, v in sorted(honest.items()) if v is not None))


def echo(wire, message_id=b"\1\0"):
    number = ((0x0110, message_id),) if message_id else ()
    sop_class = wire.VERIFICATION.encode() + b"\0"
    return command(wire, (0x0002, sop_class), (0x0100, us(0x30)), *number, (0x0800, us(0x101)))


def longer_than_the_command(wire):
    whole = bytearray(store(wire))
    whole[16:20] = struct.pack("<L", 0xFFFFFFF0)  # the length of (0000,0002)
    return wire.p_data((1, 3, bytes(whole)))


def shorter_than_its_value(wire):
    whole = bytearray(store(wire))
    whole[16:20] = struct.pack("<L", 4)
    return wire.p_data((1, 3, bytes(whole)))


def found(wire, **others):
    return wire.p_data((1, 3, store(wire, **others)))


BREACHES = {
    "an element longer than its command": (longer_than_the_command, "cannot be read at"),
    "an element shorter than its value": (shorter_than_its_value, "cannot be read at"),
    "no command field": (lambda w: found(w, x0100=None), "without a usable (0000,0100)"),
    "a command field of four bytes": (
        lambda w: found(w, x0100=us(1) * 2), "without a usable (0000,0100)"),
    "an unknown command field": (
        lambda w: found(w, x0100=us(0x7799), x0800=us(0x101)), "message cannot be read (KeyError)"),
    "nothing about a dataset": (lambda w: found(w, x0800=None), "without a usable (0000,0800)"),
    "an echo whose message id is no number": (
        lambda w: w.p_data((3, 3, echo(w, b"\1\0\0"))),
        "message cannot be read (a value is missing or of a wrong kind)"),
    "a context that was refused": (
        lambda w: w.p_data((5, 3, store(w))), "presentation context 5 was not accepted"),
    "a context that was never proposed": (
        lambda w: w.p_data((99, 3, store(w))), "presentation context 99 was not accepted"),
    "an even context": (
        lambda w: w.p_data((2, 3, store(w))), "presentation context 2 was not accepted"),
    "an echo in a context that was refused": (
        lambda w: w.p_data((5, 3, echo(w))),
        "presentation context 5 was not accepted"),
    "a dataset nobody announced": (
        lambda w: w.p_data((1, 0, b"x")), "a dataset came without its command"),
    "a dataset within a command": (
        lambda w: w.p_data((1, 1, store(w)[:20]), (1, 2, b"x")), "before its command was complete"),
    "a command within a dataset": (
        lambda w: w.p_data((1, 3, store(w)), (1, 0, b"x"), (1, 3, store(w))),
        "before the dataset of the last one was complete"),
    "a dataset in another context": (
        lambda w: w.p_data((1, 3, store(w)), (3, 2, b"x")),
        "began in presentation context 1 and went on in 3"),
    "a command without end": (
        lambda w: w.p_data((1, 1, bytes(60_000)), (1, 1, bytes(60_000))), "longer than 65536"),
    "a C-STORE cut by a release": (
        lambda w: w.p_data((1, 3, store(w)), (1, 0, b"x")) + w.RELEASE,
        "RELEASE_RQ in the middle of a message"),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES.keys())
def test_a_breach_ends_its_association_with_words(door, call, wire, breach):
    """What the standard forbids is answered by one A-ABORT, told in one line, and costs nothing."""
    said, words = breach
    with nothing_left(door, call, wire) as lines:
        peer = call()
        results = peer.associate(
            (wire.CT, wire.IMPLICIT), (wire.VERIFICATION, wire.IMPLICIT), ("1.2.3.4", wire.IMPLICIT)
        )
        assert results[5] == 3
        peer.send(said(wire))
        assert peer.read_to_end() == [7]
    (line,) = [one for one in lines if one["event"] == "association"]
    assert (line["outcome"], words in line["words"]) == ("aborted", True), line


REFUSALS = {
    "no dataset promised": (lambda w: store(w, x0800=us(0x101)), None, 0xC000),
    "an empty dataset": (store, b"", 0xC000),
    "no SOP Instance UID": (lambda w: store(w, x1000=None), b"x", 0x0117),
    "a SOP Instance UID of blanks": (lambda w: store(w, x1000=b"\0\0"), b"x", 0x0117),
    "no SOP Class UID": (lambda w: store(w, x0002=None), b"x", 0x0122),
    "no UIDs": (lambda w: store(w, x0002=None, x1000=None), b"x", 0x0122),
    "another SOP class than the context's": (lambda w: store(w, x0002=b"1.2.3.4 "), b"x", 0x0122),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_request_that_cannot_be_served_is_refused_and_the_next_is_read(door, call, wire, refusal):
    """A C-STORE that lacks something hears a status that says so; its association goes on."""
    made, dataset, status = refusal
    with nothing_left(door, call, wire) as lines:
        peer = call()
        peer.associate()
        for _ in range(2):
            peer.send(wire.p_data((1, 3, made(wire))))
            if dataset is not None:
                peer.send(wire.p_data((1, 2, dataset)))
            assert peer.read_response()["status"] == status
        peer.release()
    refused = [one for one in lines if one["event"] == "object refused"]
    assert [one["status"] for one in refused] == [f"0x{status:04X}"]
    assert refused[0]["words"]


def test_a_dataset_after_a_command_that_promised_none(door, call, wire):
    """The command is answered, the dataset that should not be there ends the association."""
    with nothing_left(door, call, wire):
        peer = call()
        peer.associate()
        peer.send(wire.p_data((1, 3, store(wire, x0800=us(0x101))), (1, 2, wire.dataset_of())))
        assert peer.read_response()["status"] == 0xC000
        assert peer.read_to_end() == [7]
    assert door.diary.closed[1][1].words == "a dataset came without its command"


def test_lengths_that_only_the_group_length_lies_about_are_forgiven(door, call, wire):
    """(0000,0000) adds nothing to the PDV's own length, and is not believed."""
    whole = bytearray(store(wire))
    whole[8:12] = struct.pack("<L", 0xFFFFFFFF)
    peer = call()
    peer.associate()
    peer.send(wire.p_data((1, 3, bytes(whole)), (1, 2, wire.dataset_of())))
    assert peer.read_response()["status"] == 0
    peer.release()
    assert len(door.stored) == 1


def test_a_request_without_message_id_is_stored_and_answered(door, call, wire):
    """Without (0000,0110) the answer is to message 0: the object is worth more than the form."""
    peer = call()
    peer.associate()
    peer.send(wire.p_data((1, 3, store(wire, x0110=None)), (1, 2, wire.dataset_of())))
    answer = peer.read_response()
    assert (answer["status"], answer["message_id"]) == (0, 0)
    assert len(door.stored) == 1


def test_an_echo_that_names_no_message_is_not_answered(door, call, wire):
    """Without (0000,0110) there is nothing to answer to; the association goes on."""
    peer = call()
    peer.associate((wire.VERIFICATION, wire.IMPLICIT), (wire.CT, wire.IMPLICIT))
    peer.send(wire.p_data((1, 3, echo(wire, b""))))
    assert peer.store(wire.dataset_of(), context_id=3) == 0
    peer.release()
    assert door.ended()[0][1].outcome == "released"


@pytest.mark.parametrize("count", [1, 30])
def test_a_cancel_that_cancels_nothing_is_not_heard(door, call, wire, count):
    """C-CANCEL-RQs between C-STOREs, for messages that never were, change nothing."""
    cancel = command(wire, (0x0100, us(0x0FFF)), (0x0120, us(99)), (0x0800, us(0x101)))
    peer = call()
    peer.associate()
    assert peer.store(wire.dataset_of("1.2.1"), sop_instance="1.2.1") == 0
    peer.send(wire.p_data((1, 3, cancel)) * count)
    assert peer.store(wire.dataset_of("1.2.2"), sop_instance="1.2.2") == 0
    peer.release()
    assert len(door.stored) == 2
    assert door.ended()[0][1].outcome == "released"


@pytest.mark.parametrize("field", [0x8001, 0x8030, 0x8020, 0x8021])
def test_an_answer_to_nothing_is_not_heard(door, call, wire, field):
    """Responses to requests that the node never made change nothing."""
    stray = command(
        wire, (0x0002, wire.CT.encode() + b"\0"), (0x0100, us(field)), (0x0120, us(4)),
        (0x0800, us(0x101)), (0x0900, us(0)),
    )  # fmt: skip
    peer = call()
    peer.associate()
    peer.send(wire.p_data((1, 3, stray)))
    assert peer.store(wire.dataset_of()) == 0
    peer.release()
    assert len(door.stored) == 1


def test_a_sender_that_waits_for_nothing_at_all_is_served_in_order(door, call, wire):
    """Request, twenty C-STOREs and release in one breath: served in order, released at the end."""
    said = wire.associate_rq()
    for number in range(20):
        uid = f"1.2.3.{number}"
        request = wire.store_rq(message_id=number, sop_instance=uid)
        said += wire.p_data((1, 3, request)) + wire.p_data((1, 2, wire.dataset_of(uid)))
    peer = call()
    peer.send(said + wire.RELEASE)
    assert peer.read_pdu()[0] == 2
    answers = [peer.read_response() for _ in range(20)]
    assert [(one["message_id"], one["status"]) for one in answers] == [(n, 0) for n in range(20)]
    assert peer.read_to_end() == [6]
    assert [one.arrival.sop_instance_uid for one in door.stored] == [
        f"1.2.3.{number}" for number in range(20)
    ]
    assert door.ended()[0][1].outcome == "released"


@pytest.mark.p1
@pytest.mark.parametrize("leaving", ["release", "abort", "close", "reset"])
def test_leaving_while_the_last_object_is_written(door, call, wire, leaving):
    """An object that came whole is kept however its sender leaves before the answer."""
    peer = call()
    peer.associate()
    door.receiver.gate.clear()
    peer.send(wire.p_data((1, 3, store(wire)), (1, 2, wire.dataset_of())))
    assert door.receiver.committing.wait(10)
    if leaving == "reset":
        peer.reset()
    elif leaving == "close":
        peer.close()
    else:
        peer.send(wire.RELEASE if leaving == "release" else wire.ABORT)
    door.receiver.gate.set()
    if leaving == "release":
        assert peer.read_response()["status"] == 0
        assert peer.read_to_end() == [6]
    ((_, ending),) = door.ended()
    outcomes = {"release": "released", "abort": "aborted", "close": "lost", "reset": "lost"}
    assert ending.outcome == outcomes[leaving]
    assert len(door.stored) == 1
