"""A storage SCU that speaks raw bytes, so that it can say anything: honest PDUs, and others."""

import socket
import ssl
import struct
from collections.abc import Iterator
from typing import Any

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CALLER = "SCANNER"


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
        elements = elements_of(body[6:])
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


def pdvs(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Context ID, control byte and fragment of each value in a P-DATA-TF PDU."""
    at = 0
    while at < len(body):
        length, context_id, control = struct.unpack_from(">LBB", body, at)
        yield context_id, control, body[at + 6 : at + 4 + length]
        at += 4 + length


def elements_of(command: bytes) -> dict[int, bytes]:
    """The values of a command set by element number."""
    found, at = {}, 0
    while at < len(command):
        _, number, length = struct.unpack_from("<HHL", command, at)
        found[number] = command[at + 8 : at + 8 + length]
        at += 8 + length
    return found


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
