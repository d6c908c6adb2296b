"""Those who call the fuzzed node: an honest sender, and vandals."""

import contextlib
import hashlib
import socket
import struct
import threading
from collections import Counter
from random import Random

from dicom import message, pdu
from tests.fuzz import reference
from tests.fuzz.golden import Golden, split
from tests.fuzz.mutate import mutated

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
NODE_MAX_PDU = 131_072
PATIENCE_S = 20.0
ANY_CONTEXT = set(range(256))
Key = tuple[str, str]
"""(SOP Instance UID, SHA-256 of the dataset)."""


def associate_rq(sop_class: str, syntax: str) -> bytes:
    """An A-ASSOCIATE-RQ with one context (PS3.8 9.3.2)."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(body)) + body

    body = struct.pack(">HH16s16s32x", 1, 0, b"PENUMBRA".ljust(16), b"HONEST".ljust(16))
    names = item(0x30, sop_class.encode()) + item(0x40, syntax.encode())
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, b"\1\0\0\0" + names)
    body += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4"))
    return struct.pack(">BxL", 1, len(body)) + body


class Honest(threading.Thread):
    """Stores objects over associations of a few each; every one must be answered with Success."""

    def __init__(self, port: int, chance: Random, stopping: threading.Event) -> None:
        super().__init__(name="honest", daemon=True)
        self.sent: list[Key] = []
        self.words: list[str] = []
        self._port, self._chance, self._stopping = port, chance, stopping
        self._socket: socket.socket

    def run(self) -> None:
        """Store until told to stop; a fault ends it."""
        try:
            while not self._stopping.is_set():
                address = ("127.0.0.1", self._port)
                with socket.create_connection(address, PATIENCE_S) as self._socket:
                    self._associate_and_store()
        except (AssertionError, OSError) as fault:
            self.words.append(f"the honest sender was not served: {fault!r}")

    def _associate_and_store(self) -> None:
        self._socket.sendall(associate_rq(CT, EXPLICIT))
        kind, body = self._read()
        assert kind == 2, (kind, body)
        for number in range(1, self._chance.randrange(2, 9)):
            self._store(number)
        self._socket.sendall(bytes.fromhex("05000000000400000000"))
        kind, body = self._read()
        assert kind == 6, (kind, body)

    def _store(self, number: int) -> None:
        uid = f"1.2.826.0.1.3680043.10.1.8.{len(self.sent)}"
        padded = uid.encode() + b"\0" * (len(uid) % 2)
        data = b"\x08\x00\x18\x00UI" + struct.pack("<H", len(padded)) + padded
        size = self._chance.choice((10, 1000, 40_000, 300_000)) + self._chance.randrange(100)
        pixels = self._chance.randbytes(size // 2 * 2)
        data += b"\xe0\x7f\x10\x00OB\0\0" + struct.pack("<L", len(pixels)) + pixels
        said = bytearray(pdu.command_pdus(1, message.store_request(number, CT, uid), 16384))
        limit = self._chance.choice((0, 4096, 16384, NODE_MAX_PDU))
        for header, parts in pdu.dataset_pdus(1, [memoryview(data)], limit or NODE_MAX_PDU):
            said += header + b"".join(parts)
        self._socket.sendall(said)
        kind, body = self._read()
        answer = reference.elements_of(body[6:]) if kind == 4 else {}
        heard = (kind, reference.number(answer, 0x0120), reference.number(answer, 0x0900))
        assert heard == (4, number, 0), heard
        self.sent.append((uid, hashlib.sha256(data).hexdigest()))

    def _read(self) -> tuple[int, bytes]:
        head = self._exactly(6)
        return head[0], self._exactly(int.from_bytes(head[2:], "big"))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            assert part, "the node closed"
            data += part
        return data


class Vandal(threading.Thread):
    """Sends damaged streams, in pieces of any size, and leaves in any way."""

    def __init__(
        self, port: int, chance: Random, stopping: threading.Event, recordings: list[Golden]
    ) -> None:
        super().__init__(name="vandal", daemon=True)
        self.count = 0
        self.whole: Counter[Key] = Counter()
        """Objects that its streams hold whole; only these may be stored."""
        self.successes = 0
        self._port, self._chance, self._stopping = port, chance, stopping
        self._recordings = recordings
        self._idle: list[socket.socket] = []

    def run(self) -> None:
        """Damage until told to stop."""
        while not self._stopping.is_set():
            one = self._chance.choice(self._recordings)
            kept = self._chance.random() < 0.7  # that much of the time the association comes about
            tail = mutated(self._chance, one.pdus[1:] if kept else one.pdus, self._recordings)
            said = one.pdus[0] + tail if kept else tail
            self._note(said)
            self.count += 1
            with contextlib.suppress(OSError):  # the node hung up first: its right
                self._say(said)
        for idle in self._idle:
            idle.close()

    def _note(self, said: bytes) -> None:
        first = next(split(said), b"")
        for one in reference.read(said[len(first) :], ANY_CONTEXT, NODE_MAX_PDU).messages:
            if one is not None and one.dataset is not None:
                self.whole[one.sop_instance, hashlib.sha256(one.dataset).hexdigest()] += 1

    def _say(self, said: bytes) -> None:
        chance = self._chance
        peer = socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)
        peer.settimeout(PATIENCE_S)
        if chance.random() < 0.3:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        piece = chance.choice((len(said) + 1, len(said) + 1, 7, 1000, 4096))
        leaving = chance.choice(("read", "read", "read", "close", "reset", "idle"))
        try:
            for at in range(0, len(said), piece):
                peer.sendall(said[at : at + piece])
            if leaving == "read":
                peer.shutdown(socket.SHUT_WR)
                self._read_to_end(peer)
        finally:
            if leaving == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if leaving == "idle" and len(self._idle) < 5:
                self._idle.append(peer)
            else:
                peer.close()

    def _read_to_end(self, peer: socket.socket) -> None:
        heard = bytearray()
        try:
            while part := peer.recv(65536):
                heard += part
        finally:
            for one in split(bytes(heard)):
                if one[:1] == b"\4" and one[11:12] == b"\3" and is_success(one):
                    self.successes += 1


def is_success(answer: bytes) -> bool:
    """Whether a PDU is a C-STORE-RSP that says Success, in one piece."""
    try:
        elements = reference.elements_of(answer[12:])
    except reference.Broken:
        return False
    kind, status = (reference.number(elements, place) for place in (0x0100, 0x0900))
    return (kind, status) == (0x8001, 0)
