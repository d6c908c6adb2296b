"""Recorded associations: what real senders said, byte for byte (see tests/fuzz/record.py).

A file holds lines `# peer WORDS` and `# context ID SOP_CLASS TRANSFER_SYNTAX` (what was accepted),
then hexadecimal digits, one paragraph for each PDU. The objects are synthetic.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
WIDTH = 96


@dataclass(frozen=True)
class Golden:
    """One association as its sender said it: A-ASSOCIATE-RQ first, A-RELEASE-RQ last."""

    name: str
    peer: str
    contexts: dict[int, tuple[str, str]]
    pdus: list[bytes]

    @property
    def stream(self) -> bytes:
        """All of it."""
        return b"".join(self.pdus)

    @property
    def messages(self) -> bytes:
        """What comes between the association's request and its release."""
        return b"".join(self.pdus[1:-1])


def split(stream: bytes) -> Iterator[bytes]:
    """Cut a stream into PDUs by the lengths in it; the last may be short."""
    while stream:
        end = 6 + int.from_bytes(stream[2:6], "big")
        yield stream[:end]
        stream = stream[end:]


def load(path: Path) -> Golden:
    """Read a recording."""
    head, *paragraphs = path.read_text().split("\n\n")
    words = [line.split(" ", 2)[1:] for line in head.splitlines()]
    contexts = {}
    for kind, rest in words:
        if kind == "context":
            number, abstract, transfer = rest.split()
            contexts[int(number)] = (abstract, transfer)
    peer = dict(words)["peer"]
    return Golden(path.stem, peer, contexts, [bytes.fromhex(one) for one in paragraphs])


def load_all() -> list[Golden]:
    """Read every recording, in order of names."""
    return [load(path) for path in sorted(FOLDER.glob("*.hex"))]


def save(one: Golden, folder: Path) -> None:
    """Write a recording."""
    lines = [f"# peer {one.peer}"]
    lines += [f"# context {number} {' '.join(of)}" for number, of in sorted(one.contexts.items())]
    for pdu in one.pdus:
        digits = pdu.hex()
        lines += ["", *(digits[at : at + WIDTH] for at in range(0, len(digits), WIDTH))]
    (folder / f"{one.name}.hex").write_text("\n".join(lines) + "\n")
