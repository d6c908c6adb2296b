"""The port for orders over real sockets: answered when on disk, and nobody holds up another."""

import contextlib
import socket
import threading
import time

import pytest
import structlog

from config.worklist import Hl7
from dicom.errors import ConfigFault, SpoolFull
from examples.peers.process import wait_until
from node.worklist import hl7 as door
from node.worklist.hl7 import Hl7Listener, Responder
from node.worklist.mllp import framed
from storage.ledger.ledger import Ledger
from storage.ledger.worklist import Narrowing

ORDER = (
    "MSH|^~\\&|RIS|HOSP|PEN|RAD|20261121||{kind}|{id}|P|2.3.1\r"
    "PID|||4711^^^HOSP||KANARIENVOGEL^Hans||19700131|M\r"
    "ORC|{control}|{order}|||||^^^20261122103000\rOBR|1|{order}||CTC^CT Chest^L" + "|" * 20 + "CT\r"
)


def message(control="NW", order="P1", *, kind="ORM^O01", number="17"):
    """An order as a RIS sends it."""
    return ORDER.format(kind=kind, id=number, control=control, order=order).encode()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """One ledger for all tests; each has orders of its own."""
    made = Ledger.open(tmp_path_factory.mktemp("hl7") / "var")
    yield made
    made.close()


@pytest.fixture
def listen(ledger):
    """Open ports; each is closed at the end of the test."""
    opened = []

    def start(entries=None, **keys):
        made = Hl7Listener(
            Hl7(port=0, addresses=keys.pop("addresses", ("127.0.0.1",)), **keys),
            Responder(entries or ledger.worklist, {"CT": "CT1"}, "ASCII"),
        )
        made.start()
        opened.append(made)
        return made

    yield start
    for each in opened:
        each.stop(5)


def call(listener):
    """Connect, as a RIS does."""
    made = socket.create_connection(("127.0.0.1", listener.port), 5)
    made.settimeout(10)
    return made


def heard(connection):
    """Read one answer: its code and the number that it acknowledges."""
    data = b""
    while not data.endswith(b"\x1c\r"):
        chunk = connection.recv(1)
        if not chunk:
            return None
        data += chunk
    _, answer, number, *_ = data.split(b"\rMSA")[1].split(b"\r")[0].split(b"|")
    return answer.decode(), number.decode()


def placers(ledger):
    """The order numbers that are on the worklist."""
    found = ledger.worklist.candidates(Narrowing())
    return {one.item["PlacerOrderNumberImagingServiceRequest"] for one in found}


@pytest.mark.p1
def test_an_order_is_on_disk_before_it_is_acknowledged(listen, ledger):
    """AA comes behind the commit; the same order again changes nothing, a cancelled one is gone."""
    with call(listen()) as ris:
        ris.sendall(framed(message(order="A1")))
        assert heard(ris) == ("AA", "17")
        assert "A1" in placers(ledger)
        ris.sendall(framed(message("XO", "A1", number="18")) + framed(message("CA", "A1")))
        assert heard(ris) == ("AA", "18")
        assert heard(ris) == ("AA", "17")
        assert "A1" not in placers(ledger)
        ris.sendall(framed(message("CA", "A1")))
        assert heard(ris) == ("AA", "17")


class Full:
    """A ledger on a full disk, or one with a bug."""

    def __init__(self, fault):
        self.fault = fault

    def put(self, drafts, now):
        raise self.fault


@pytest.mark.parametrize("fault", [SpoolFull("no room"), KeyError("KANARIENVOGEL")])
def test_what_cannot_be_written_is_not_acknowledged(listen, fault):
    """AR says that the sender may try again; nothing of a bug's words gets out."""
    with call(listen(Full(fault))) as ris, structlog.testing.capture_logs() as lines:
        ris.sendall(framed(message(order="B1")))
        assert heard(ris) == ("AR", "17")
    assert "KANARIE" not in str([{**one, "exc_info": ""} for one in lines])


ANSWERS = {
    "another type": (message(kind="ORU^R01"), "AR"),
    "another trigger": (message(kind="ADT^A03"), "AR"),
    "no patient": (message().replace(b"4711", b""), "AE"),
    "another set": (message().replace(b"Hans", b"H\xe4ns"), "AE"),
    "no HL7": (b"KANARIENVOGEL", "AE"),
    "nothing": (b"", "AE"),
    "only MSH": (message().split(b"\r")[0], "AE"),
}


@pytest.mark.p6
@pytest.mark.parametrize(("data", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_not_understood_is_answered(listen, data, answer):
    """AE for a message at fault, AR for a kind that is not taken; the connection goes on."""
    listener = listen()
    with call(listener) as ris, structlog.testing.capture_logs() as lines:
        ris.sendall(framed(data))
        told = heard(ris)
        assert told is not None
        assert told[0] == answer
        ris.sendall(framed(message(order="C1")))
        assert heard(ris) == ("AA", "17")
        wait_until(lambda: len(lines) > 1, 5, "the second line of the log")
    assert "KANARIE" not in str(lines)
    assert "4711" not in str(lines)
    assert listener.facts()[answer] >= 1


def test_only_allowed_addresses_are_heard(listen, ledger):
    """Whoever calls from elsewhere is cut off at once, and the log says what would mend it."""
    listener = listen(addresses=("10.1.2.3",))
    with structlog.testing.capture_logs() as lines, call(listener) as stranger:
        with contextlib.suppress(OSError):
            stranger.sendall(framed(message(order="D1")))
            assert heard(stranger) is None
        wait_until(lambda: listener.facts()["refused"] == 1, 5, "the refusal")
    assert "add 127.0.0.1 to [worklist.hl7] addresses" in str(lines)
    assert "D1" not in placers(ledger)


def test_silent_connections_make_room(listen):
    """Fifty silent clients on a port for eight hold up nobody: the one silent longest goes."""
    listener = listen(max_connections=8)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(call(listener)) for _ in range(50)]
        ris = stack.enter_context(call(listener))
        ris.sendall(framed(message(order="E1")))
        assert heard(ris) == ("AA", "17")
        assert len(listener._connections) <= 8
        with contextlib.suppress(ConnectionError):
            assert silent[0].recv(1) == b""


def test_half_messages_hold_up_nobody_and_are_not_for_ever(listen):
    """A message that does not end is waited for so long, byte by byte or not; others go on."""
    listener = listen(message_s=0.3, max_connections=2)
    with call(listener) as slow, call(listener) as ris:
        slow.sendall(b"\x0bMSH|")
        ris.sendall(framed(message(order="F1")))
        assert heard(ris) == ("AA", "17")
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 5 and listener.facts()["broken"] == 0:
                slow.sendall(b"x")
                threading.Event().wait(0.05)
        assert listener.facts()["broken"] == 1
        ris.sendall(framed(message(order="F2")))
        assert heard(ris) == ("AA", "17")


def test_a_message_cut_off_does_nothing(listen, ledger):
    """Half an order whose sender hangs up is no order, and is counted."""
    listener = listen()
    with call(listener) as ris:
        ris.sendall(framed(message(order="G1"))[:-3])
    wait_until(lambda: listener.facts()["broken"] == 1, 5, "the cut")
    assert "G1" not in placers(ledger)


def test_a_hundred_megabytes_are_refused_early(listen, monkeypatch):
    """A message beyond the limit is answered AR by its head, and never kept as a whole."""
    monkeypatch.setattr(door, "LINGER_S", 60)
    listener = listen(largest_kb=64)
    with call(listener) as ris:
        told = []
        ris.sendall(b"\x0b" + message(order="H1"))
        reader = threading.Thread(target=lambda: told.append(heard(ris)))
        reader.start()
        for _ in range(100):  # never reset, or the answer might be lost
            ris.sendall(b"x" * (1 << 20))
        ris.shutdown(socket.SHUT_WR)
        reader.join(10)
        assert told == [("AR", "17")]
    with call(listener) as other:
        other.sendall(framed(message(order="H2")))
        assert heard(other) == ("AA", "17")


def test_another_protocol_is_cut_off(listen):
    """A web browser on the port is sent away."""
    with call(listen()) as browser:
        with contextlib.suppress(OSError):
            browser.sendall(b"GET / HTTP/1.1\r\n" * 1000)
        with contextlib.suppress(ConnectionError):
            assert browser.recv(10) == b""


def test_who_never_reads_is_left(listen, monkeypatch):
    """Answers that nobody takes end the connection, not the port."""
    monkeypatch.setattr(door, "ANSWER_S", 0.2)
    listener = listen()
    with call(listener) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(5)
        many = framed(b"MSH|^~\\&|" + b"A" * 8000 + b"||||||ADT^A03|1") * 50
        with contextlib.suppress(OSError):
            for _ in range(200):
                deaf.sendall(many)
        wait_until(lambda: not listener._connections, 20, "the end of the connection")
    with call(listener) as ris:
        ris.sendall(framed(message(order="J1")))
        assert heard(ris) == ("AA", "17")


def test_an_order_in_hand_is_answered_before_the_port_closes(listen):
    """A stop is quick, also with silent connections."""
    listener = listen()
    with call(listener), call(listener) as ris:
        ris.sendall(framed(message(order="K1")))
        assert heard(ris) == ("AA", "17")
        begun = time.monotonic()
        listener.stop(5)
        assert time.monotonic() - begun < 3
    assert not listener._thread.is_alive()


def test_a_port_that_is_taken_is_said(listen):
    """The start fails with the setting's name."""
    first = listen()
    second = Hl7Listener(
        Hl7(port=first.port, addresses=("127.0.0.1",)), Responder(Full(None), {}, "ASCII")
    )
    with pytest.raises(ConfigFault, match=r"worklist\.hl7\.port"):
        second.start()
    second.stop(1)
