"""The door on a free port with a real receiver behind it, and a peer that speaks raw bytes."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom.presentation import AllStoragePresentationContexts, build_context

from config.model import Settings
from dicom import part10
from dicom.entity import Arrival, Instance
from dicom.errors import SpoolFull
from examples.peers.certificates import Authority
from examples.peers.process import wait_until
from node.admission import AssociationFacts, AssociationRequest, Reject
from node.conversation import Ending
from node.listener import Listener
from node.services.echo import EchoService
from node.services.store import StoreService
from storage.spool.reader import SpoolReader
from storage.spool.recording import Recording
from storage.spool.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CALLER = "SCANNER"


class GatedSpool:
    """A real spool. `gate` holds commits back, `fault` makes the next ones fail."""

    def __init__(self, root: Path) -> None:
        self.spool = Spool.open(root, segment_bytes=1 << 26, reserve_bytes=0)
        self.reader = SpoolReader(root)
        self.abandoned = 0
        self.gate = threading.Event()
        self.gate.set()
        self.committing = threading.Event()
        self.fault: Exception | None = None

    def begin(self, arrival: Arrival) -> "GatedRecording":
        return GatedRecording(self, self.spool.begin(arrival))

    def instances(self) -> list[Instance]:
        """What is on disk, as the ledger's follower would find it."""
        return [self.reader.identify(record) for record in self.spool.records({})]

    def bytes_of(self, instance: Instance) -> bytes:
        with self.reader.open(instance.location) as stream:
            return stream.read()


class GatedRecording:
    def __init__(self, owner: GatedSpool, recording: Recording) -> None:
        self._owner, self._recording = owner, recording
        self._open = True

    def write(self, chunk: bytes | memoryview) -> None:
        self._recording.write(chunk)

    def commit(self) -> Instance:
        self._owner.committing.set()
        assert self._owner.gate.wait(20)
        if self._owner.fault is not None:
            raise self._owner.fault
        self._open = False
        return self._recording.commit()

    def abandon(self) -> None:
        self._recording.abandon()
        self._owner.abandoned += self._open
        self._open = False


class Diary:
    """A watcher that writes everything down."""

    def __init__(self) -> None:
        self.opened: list[AssociationFacts] = []
        self.closed: list[tuple[AssociationFacts, Ending]] = []
        self.rejected: list[tuple[AssociationRequest, Reject]] = []
        self.statuses: list[int] = []

    def on_opened(self, association: AssociationFacts) -> None:
        self.opened.append(association)

    def on_stored(self, association: AssociationFacts, status: int, size_bytes: int) -> None:
        self.statuses.append(status)

    def on_closed(self, association: AssociationFacts, ending: Ending) -> None:
        self.closed.append((association, ending))

    def on_rejected(self, request: AssociationRequest, verdict: Reject) -> None:
        self.rejected.append((request, verdict))


class Door:
    """A running listener with what stands behind it."""

    def __init__(self, listener: Listener, receiver: GatedSpool, diary: Diary) -> None:
        self.listener, self.receiver, self.diary = listener, receiver, diary

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def tls_port(self) -> int:
        return self.listener.tls_port

    @property
    def stored(self) -> list[Instance]:
        return self.receiver.instances()

    def datasets(self) -> list[bytes]:
        """The dataset bytes of every stored object, in order, without the file meta."""
        return [
            self.receiver.bytes_of(one)[len(part10.file_meta(one.arrival)) :] for one in self.stored
        ]

    def ended(self, count: int = 1) -> list[tuple[AssociationFacts, Ending]]:
        """Wait until so many associations have ended, and return them."""
        wait_until(lambda: len(self.diary.closed) >= count, 15, f"the end of {count} associations")
        return self.diary.closed

    def connections(self) -> int:
        return len(self.listener._connections)

    def is_quiet(self) -> None:
        """Wait until no connection is left."""
        wait_until(lambda: not self.connections(), 15, "the end of all connections")


class RawPeer:
    """A peer that can say anything: honest PDUs by method, others through `send`."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.settimeout(20)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError(f"closed after {len(data)} of {count} bytes")
            data += part
        return data

    def read_pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxL", self.read(6))
        return kind, self.read(length)

    def read_to_end(self) -> list[int]:
        """The types of all PDUs until the node closes, or resets; then this side closes too."""
        kinds = []
        try:
            while True:
                kinds.append(self.read_pdu()[0])
        except (EOFError, ConnectionError):
            self.close()
            return kinds

    def associate(self, *contexts: tuple[str, str], **titles: Any) -> dict[int, int]:
        """Associate; returns {context id: result} of the A-ASSOCIATE-AC."""
        self.send(associate_rq(*contexts, **titles))
        kind, body = self.read_pdu()
        assert kind == 2, f"PDU type {kind}: {body.hex()}"
        results, offset = {}, 68
        while offset < len(body):
            item, length = struct.unpack_from(">BxH", body, offset)
            if item == 0x21:
                results[body[offset + 4]] = body[offset + 6]
            offset += 4 + length
        return results

    def store(self, dataset: bytes, **command: Any) -> int:
        """C-STORE; returns the status."""
        context_id = command.pop("context_id", 1)
        self.send(p_data((context_id, 3, store_rq(**command))))
        for start in range(0, max(len(dataset), 1), 65536):
            part = dataset[start : start + 65536]
            last = 2 if start + 65536 >= len(dataset) else 0
            self.send(p_data((context_id, last, part)))
        return self.read_response()["status"]

    def read_response(self) -> dict[str, Any]:
        """The next DIMSE response: status, message_id, sop_class, sop_instance, comment."""
        kind, body = self.read_pdu()
        assert kind == 4, f"PDU type {kind}: {body.hex()}"
        elements, offset, command = {}, 0, body[6:]
        while offset < len(command):
            _, element, length = struct.unpack_from("<HHL", command, offset)
            elements[element] = command[offset + 8 : offset + 8 + length]
            offset += 8 + length
        return {
            "context_id": body[4],
            "status": struct.unpack("<H", elements[0x0900])[0],
            "field": struct.unpack("<H", elements[0x0100])[0],
            "message_id": struct.unpack("<H", elements[0x0120])[0],
            "sop_class": elements.get(0x0002, b"").decode().strip("\0"),
            "sop_instance": elements.get(0x1000, b"").decode().strip("\0"),
            "comment": elements.get(0x0902, b"").decode().strip(),
        }

    def release(self) -> None:
        self.send(RELEASE)
        assert self.read_pdu()[0] == 6
        self.close()


RELEASE = struct.pack(">BxLL", 5, 4, 0)
ABORT = struct.pack(">BxLL", 7, 4, 0)


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def associate_rq(
    *contexts: tuple[str, str],
    calling: str = CALLER,
    called: str = "PENUMBRA",
    max_pdu: int = 16384,
) -> bytes:
    body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode())
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    for place, (abstract, transfer) in enumerate(contexts or ((CT, IMPLICIT),)):
        subs = item(0x30, abstract.encode()) + item(0x40, transfer.encode())
        body += item(0x20, struct.pack(">BBBB", 2 * place + 1, 0, 0, 0) + subs)
    info = item(0x51, struct.pack(">L", max_pdu)) + item(0x52, b"1.2.3.4") + item(0x55, b"RAW")
    body += item(0x50, info)
    return struct.pack(">BxL", 1, len(body)) + body


def pdv(context_id: int, control: int, data: bytes) -> bytes:
    return struct.pack(">LBB", len(data) + 2, context_id, control) + data


def p_data(*values: tuple[int, int, bytes]) -> bytes:
    body = b"".join(pdv(*value) for value in values)
    return struct.pack(">BxL", 4, len(body)) + body


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def store_rq(
    sop_class: str = CT, sop_instance: str = "1.2.3", message_id: int = 7, dataset: int = 1
) -> bytes:
    body = (
        element(0x0002, padded(sop_class))
        + element(0x0100, struct.pack("<H", 1))
        + element(0x0110, struct.pack("<H", message_id))
        + element(0x0700, struct.pack("<H", 2))
        + element(0x0800, struct.pack("<H", dataset))
        + element(0x1000, padded(sop_instance))
    )
    return element(0, struct.pack("<L", len(body))) + body


def dataset_of(
    sop_instance: str = "1.2.3", sop_class: str = CT, size_bytes: int = 100_000
) -> bytes:
    """An implicit VR little endian dataset: SOP UIDs, then pixel data."""

    def one(group: int, number: int, value: bytes) -> bytes:
        return struct.pack("<HHL", group, number, len(value)) + value

    pixels = (b"penumbra" * (size_bytes // 8 + 1))[: size_bytes // 2 * 2]
    return (
        one(8, 0x16, padded(sop_class))
        + one(8, 0x18, padded(sop_instance))
        + one(0x7FE0, 0x10, pixels)
    )


class Wire:
    """What tests of raw bytes build with."""

    CT, IMPLICIT, EXPLICIT, CALLER = CT, IMPLICIT, EXPLICIT, CALLER
    VERIFICATION = VERIFICATION
    RELEASE, ABORT = RELEASE, ABORT
    associate_rq = staticmethod(associate_rq)
    p_data = staticmethod(p_data)
    pdv = staticmethod(pdv)
    store_rq = staticmethod(store_rq)
    element = staticmethod(element)
    dataset_of = staticmethod(dataset_of)
    Full = SpoolFull


@pytest.fixture(scope="session")
def wire() -> type[Wire]:
    """Builders of raw PDUs, commands and datasets."""
    return Wire


def settings_of(**node: Any) -> Settings:
    peers = node.pop("peers", {CALLER: {"may": ["store", "find"]}, "NOSTORE": {"may": ["find"]}})
    tls = node.pop("tls", None)
    node = {"host": "127.0.0.1", "port": 0, **node}
    return Settings.model_validate(
        {"node": node, "peers": peers, "tls": tls and {"port": 0, **tls}}
    )


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., Settings]:
    """Settings of a node on a free loopback port that knows SCANNER and NOSTORE."""
    return settings_of


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    """Start a listener; keys are those of [node], and `peers` and `tls`."""
    doors: list[Door] = []

    def start(**node: Any) -> Door:
        settings = settings_of(**node)
        receiver = GatedSpool(tmp_path / f"spool{len(doors)}")
        diary = Diary()
        contexts = [
            build_context(one.abstract_syntax, AllTransferSyntaxes)
            for one in AllStoragePresentationContexts
        ] + [build_context(one, AllTransferSyntaxes) for one in settings.node.private_sop_classes]
        store = StoreService(receiver, settings, contexts, lambda: 1_700_000_000.0)
        door = Door(Listener(settings, store, [EchoService()], [diary]), receiver, diary)
        door.listener.start()
        doors.append(door)
        return door

    yield start
    for door in doors:
        door.receiver.gate.set()
        door.listener.stop(0)
        door.receiver.spool.close()
        assert not door.connections()


@pytest.fixture
def door(open_door: Callable[..., Door]) -> Door:
    """A running listener with default settings."""
    return open_door()


@pytest.fixture
def call(request: pytest.FixtureRequest) -> Iterator[Callable[..., RawPeer]]:
    """Connect raw peers to a door, by default to the fixture `door`; closed afterwards.

    With a TLS context to its TLS port; `plain_to_tls` calls that port without TLS.
    """
    peers: list[RawPeer] = []

    def connect(
        to: Door | None = None, tls: ssl.SSLContext | None = None, *, plain_to_tls: bool = False
    ) -> RawPeer:
        door = to or request.getfixturevalue("door")
        peers.append(RawPeer(door.tls_port if tls or plain_to_tls else door.port, tls))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()


class Pki:
    """A hospital's authority, the node's certificate and a client's, and strangers."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "hospital")
        self.stranger = Authority(folder, "stranger")
        self.node = self.authority.issue("node", "localhost")
        self.client = self.authority.issue("ct1", "ct1.hospital.example", "other.example")

    def tls(self, **others: Any) -> dict[str, Any]:
        """The table [tls] with client certificates required, and other keys."""
        table = {
            "certificate": self.node.certificate,
            "key": self.node.key,
            "client_ca": self.authority.file,
            **others,
        }
        return {key: value for key, value in table.items() if value is not None}


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates, made once."""
    return Pki(tmp_path_factory.mktemp("pki"))
