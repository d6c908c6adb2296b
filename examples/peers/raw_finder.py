"""A C-FIND SCU that speaks raw bytes: it cancels when it likes, or asks and never reads."""

import io
import struct
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from examples.peers.find_scu import STUDY_ROOT
from examples.peers.raw_scu import (
    IMPLICIT,
    RELEASE,
    RawPeer,
    element,
    elements_of,
    p_data,
    padded,
    pdvs,
)

_PENDING = (0xFF00, 0xFF01)


def encoded(identifier: Dataset) -> bytes:
    """An identifier in implicit VR little endian."""
    buffer = io.BytesIO()
    identifier.save_as(buffer, implicit_vr=True, little_endian=True)
    return buffer.getvalue()


class RawFinder:
    """One association with one context."""

    def __init__(
        self,
        port: int,
        *,
        model: str = STUDY_ROOT,
        transfer_syntax: str = IMPLICIT,
        max_pdu: int = 131_072,
        called: str = "PENUMBRA",
    ) -> None:
        self._peer = RawPeer(port)
        self._model = model
        results = self._peer.associate((model, transfer_syntax), max_pdu=max_pdu, called=called)
        assert results == {1: 0}, results
        self._values: Iterator[tuple[int, bytes]] = iter(())
        self.longest_pdu_bytes = 0
        """Of those that came."""

    def ask(self, identifier: Dataset | bytes, message_id: int = 1) -> None:
        """Send a C-FIND request."""
        data = identifier if isinstance(identifier, bytes) else encoded(identifier)
        command = self._command(0x0020, element(0x0110, struct.pack("<H", message_id)), 1)
        self._peer.send(p_data((1, 3, command)))
        starts = range(0, max(len(data), 1), 65_536)
        for start in starts:
            is_last = start == starts[-1]
            self._peer.send(p_data((1, 2 if is_last else 0, data[start : start + 65_536])))

    def cancel(self, message_id: int) -> None:
        """Send a C-CANCEL request."""
        command = self._command(0x0FFF, element(0x0120, struct.pack("<H", message_id)), 0x0101)
        self._peer.send(p_data((1, 3, command)))

    def response(self) -> dict[str, Any]:
        """Read the next response: its status, comment, offending tag, and identifier's bytes."""
        elements = elements_of(self._whole(is_command=True))
        has_dataset = struct.unpack("<H", elements[0x0800])[0] != 0x0101
        offending = elements.get(0x0901, b"")
        return {
            "status": struct.unpack("<H", elements[0x0900])[0],
            "message_id": struct.unpack("<H", elements[0x0120])[0],
            "comment": elements.get(0x0902, b"").decode().strip(),
            "offending": struct.unpack("<HH", offending) if offending else None,
            "identifier": self._whole(is_command=False) if has_dataset else b"",
        }

    def responses(self) -> list[dict[str, Any]]:
        """Read all responses up to the last one."""
        found = [self.response()]
        while found[-1]["status"] in _PENDING:
            found.append(self.response())
        return found

    def release(self) -> None:
        """Release the association; answers that are still under way are dropped."""
        self._peer.send(RELEASE)
        while self._peer.read_pdu()[0] != 6:
            pass
        self._peer.close()

    def abort(self) -> None:
        """Close with RST."""
        self._peer.reset()

    def _command(self, field: int, more: bytes, kind: int) -> bytes:
        body = (
            element(0x0002, padded(self._model))
            + element(0x0100, struct.pack("<H", field))
            + more
            + element(0x0700, struct.pack("<H", 0))
            + element(0x0800, struct.pack("<H", kind))
        )
        return element(0, struct.pack("<L", len(body))) + body

    def _whole(self, *, is_command: bool) -> bytes:
        """Join the fragments of a command set or a dataset."""
        found = b""
        while True:
            control, data = self._value()
            assert bool(control & 1) is is_command
            found += data
            if control & 2:
                return found

    def _value(self) -> tuple[int, bytes]:
        for value in self._values:
            return value
        kind, body = self._peer.read_pdu()
        assert kind == 4, f"PDU type {kind}: {body.hex()}"
        self.longest_pdu_bytes = max(self.longest_pdu_bytes, len(body))
        self._values = ((control, data) for _, control, data in pdvs(body))
        return next(self._values)
