"""Receipts as they are written: what one try of a job delivered, in whoever's transaction."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import Connection, select

from dicom.entity import Instance
from storage.destinations.base import Receipt
from storage.ledger.schema import receipts

_AT_ONCE: Final = 500
"""So many names stand in one question: databases allow no endless ones."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Proven:
    """What one try of a job delivered: each object as it was received, with its receipt."""

    job: int
    profile: str
    """Digest of the treatment; "" where identity was kept."""
    objects: Sequence[tuple[Instance, Receipt]]
    attempt: int = 0
    rule: str = ""


def record(db: Connection, what: Proven) -> None:
    """Write receipts in the caller's transaction; one that is already there stays."""
    rows = {
        (receipt.destination, source.arrival.sop_instance_uid, source.digest): {
            **asdict(receipt),
            "source_digest": source.digest,
            "source_uid": source.arrival.sop_instance_uid,
            "job": what.job,
            "profile": what.profile,
            "attempt": what.attempt,
            "rule": what.rule,
        }
        for source, receipt in what.objects
    }
    which = (receipts.c.destination, receipts.c.source_uid, receipts.c.source_digest)
    for some in batched(rows, _AT_ONCE):
        there = select(*which).where(
            receipts.c.profile == what.profile,
            receipts.c.source_uid.in_([uid for _, uid, _ in some]),
        )
        known = {tuple(row) for row in db.execute(there)}
        new = [rows[key] for key in some if key not in known]
        if new:
            db.execute(receipts.insert(), new)


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Cut items into lists of at most so many."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
