"""Ask by C-FIND and by QIDO-RS with as little cost of our own as can be, and time the answers."""

import http.client
import json
import struct
import time
import urllib.parse
from dataclasses import dataclass
from typing import Final, Self

from pydicom.datadict import dictionary_VR, tag_for_keyword

from bench.query.questions import RETURNED, Question
from examples.peers.find_scu import EXPLICIT, STUDY_ROOT
from examples.peers.raw_scu import RawPeer, element, elements_of, p_data, padded, pdvs

_FIND_RQ: Final = 0x0020
_PENDING: Final = (0xFF00, 0xFF01)


@dataclass(frozen=True, slots=True)
class Answer:
    """How long an answer took, and how many matches it had."""

    matches: int
    first_s: float
    """Until the first match, or the end where there was none."""
    seconds: float


class FindClient:
    """C-FIND over one association that stays open."""

    def __init__(self, port: int, called: str, calling: str = "BENCH") -> None:
        self._peer = RawPeer(port)
        accepted = self._peer.associate(
            (STUDY_ROOT, EXPLICIT), called=called, calling=calling, max_pdu=131_072
        )
        assert accepted == {1: 0}, accepted
        self._rest = b""
        self._message_id = 0

    def ask(self, question: Question) -> Answer:
        """Ask once. Raises RuntimeError where the answer is no success."""
        self._message_id = self._message_id % 65_535 + 1
        sent = p_data((1, 3, _command(self._message_id)), (1, 2, _identifier(question)))
        began = time.perf_counter()
        self._peer.send(sent)
        matches, first_s, command = 0, 0.0, b""
        while True:
            for control, data in self._values():
                if not control & 1:
                    continue
                command += data
                if not control & 2:
                    continue
                status = int.from_bytes(elements_of(command)[0x0900], "little")
                command = b""
                first_s = first_s or time.perf_counter() - began
                if status in _PENDING:
                    matches += 1
                elif status == 0:
                    return Answer(matches, first_s, time.perf_counter() - began)
                else:
                    raise RuntimeError(f"{question.kind}: status 0x{status:04X}")

    def close(self) -> None:
        """Release the association."""
        self._peer.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _values(self) -> list[tuple[int, bytes]]:
        """Give the values of the next PDU, as control byte and fragment."""
        while (
            len(self._rest) < 6 or len(self._rest) < 6 + struct.unpack_from(">L", self._rest, 2)[0]
        ):
            more = self._peer.socket.recv(1 << 18)
            if not more:
                raise RuntimeError("the peer closed the connection")
            self._rest += more
        kind, length = struct.unpack_from(">BxL", self._rest)
        if kind != 4:
            raise RuntimeError(f"PDU of type {kind}")
        body, self._rest = self._rest[6 : 6 + length], self._rest[6 + length :]
        return [(control, data) for _, control, data in pdvs(body)]


class WebClient:
    """QIDO-RS over one connection that stays open."""

    def __init__(self, port: int, path: str, token: str = "", limit: int | None = None) -> None:
        """`limit` asks for so many matches at most; without it the server's own counts."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._path = path
        self._more = [] if limit is None else [("limit", str(limit))]
        self._headers = {"Accept": "application/dicom+json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def ask(self, question: Question) -> Answer:
        """Ask once. Raises RuntimeError where the answer is no success."""
        asked = urllib.parse.urlencode(
            [*question.keys.items(), *(("includefield", one) for one in RETURNED), *self._more],
            safe="*",  # Orthanc takes %2A for a star that stands for itself
        )
        began = time.perf_counter()
        self._connection.request("GET", f"{self._path}/studies?{asked}", headers=self._headers)
        with self._connection.getresponse() as answer:
            body = answer.read()
        took_s = time.perf_counter() - began
        if answer.status not in {200, 204}:
            raise RuntimeError(f"{question.kind}: {answer.status} {body[:200]!r}")
        return Answer(len(json.loads(body)) if body else 0, took_s, took_s)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _command(message_id: int) -> bytes:
    body = (
        element(0x0002, padded(STUDY_ROOT))
        + element(0x0100, struct.pack("<H", _FIND_RQ))
        + element(0x0110, struct.pack("<H", message_id))
        + element(0x0700, struct.pack("<H", 0))
        + element(0x0800, struct.pack("<H", 1))
    )
    return element(0, struct.pack("<L", len(body))) + body


def _identifier(question: Question) -> bytes:
    values = {"QueryRetrieveLevel": "STUDY", **dict.fromkeys(RETURNED, ""), **question.keys}
    by_tag = sorted((tag_for_keyword(name) or 0, value) for name, value in values.items())
    return b"".join(_written(tag, value) for tag, value in by_tag)


def _written(tag: int, text: str) -> bytes:
    vr = dictionary_VR(tag)
    value = text.encode()
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value
