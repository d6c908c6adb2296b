"""The contract between the worker and any place that objects are sent to.

A destination knows how to deliver and how to prove it. It knows nothing of retry, leases,
order or de-identification: those belong to the ledger, the loop and the worker.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dicom.entity import SeriesKey

Chunk = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One object to deliver: its identity after any de-identification, and its Part 10 bytes."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    chunks: Sequence[Chunk]
    """The Part 10 file in order; concatenated it is exactly what the receiver shall hold."""
    source_digest: str
    """SHA-256 (hex) of the Instance in the spool that this was made from."""
    modality: str = ""
    received_at: float = 0.0
    """When the Instance that this was made from arrived, in seconds since the epoch."""
    rule: str = ""
    """The rule that sends it."""
    known_digest: str = ""
    """SHA-256 (hex) of the Part 10 file, where it was computed already."""

    @property
    def size_bytes(self) -> int:
        """The length of the Part 10 file."""
        return sum(len(chunk) for chunk in self.chunks)

    def digest(self) -> str:
        """SHA-256 (hex) of the Part 10 file."""
        if self.known_digest:
            return self.known_digest
        sha = hashlib.sha256()
        for chunk in self.chunks:
            sha.update(chunk)
        return sha.hexdigest()


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that one object is at a destination."""

    destination: str
    source_digest: str
    sop_instance_uid: str
    """The UID under which the destination holds it."""
    location: str
    """Where: a path, a URL with its key, or AE@host:port. Never patient data."""
    digest_sent: str
    digest_read_back: str
    """SHA-256 (hex) of what the destination holds, read again; empty where it cannot be read."""
    proof: str
    """How it was proven: "read-back", "checksum" or "status 0x0000"."""
    delivered_at: float
    etag: str = ""
    """The store's own word for the content, where it gave one."""
    size_bytes: int = 0
    sop_class_uid: str = ""
    study_instance_uid: str = ""
    """Study and Series as they left; the worker fills in what a destination leaves out."""
    series_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """An object to ask for again: its receipt, and the Series that it went into."""

    receipt: Receipt
    series: SeriesKey | None
    """With the UIDs as they left; None where nobody noted them."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a destination says now about an object that was delivered to it."""

    holds: bool | None
    """Whether it is there, with the bytes that were sent where bytes can be read; None where it
    could not be asked."""
    digest: str
    """SHA-256 (hex) of what is there; empty where it cannot be read, or nothing is."""
    words: str
    """How it was asked and what came of it."""


class Destination(Protocol):
    """A place to deliver to. One object serves one job at a time; made and closed by the worker."""

    def check(self) -> None:
        """Raise Unreachable or Refused if a delivery would fail now; used by health checks."""

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver objects, yielding a Receipt for each as soon as that one is proven.

        Receipts may come in another order than the objects. Sending an object that is already
        there, byte for byte, is a success. Raises Unreachable or Busy (try again), Refused
        (never by itself); receipts yielded before a fault stand.
        """

    def prove(self, delivered: Sequence[Delivered]) -> Iterator[Proof]:
        """Ask afresh for objects that were delivered; proofs come in the order of the objects.

        Raises Unreachable, Busy or Refused where the place as a whole cannot be asked.
        """

    def close(self) -> None:
        """Give back connections and threads. May be called twice."""


@runtime_checkable
class Readable(Protocol):
    """A destination that gives back the bytes of what it took. Safe to share between threads."""

    def fetch(self, location: str) -> Iterator[bytes]:
        """Read the object of a receipt's location, piece by piece.

        Raises Unreachable, Busy or Refused.
        """

    def close(self) -> None:
        """Give back connections and threads. May be called twice."""


def compared(receipt: Receipt, found: str) -> Proof:
    """Judge what was read again: the digest of what is there, "" where nothing is."""
    if not found:
        return Proof(holds=False, digest="", words="is not there")
    if found != receipt.digest_sent:
        return Proof(holds=False, digest=found, words="holds other bytes than were sent")
    return Proof(holds=True, digest=found, words="read again, byte for byte")
