"""Ask destinations afresh for what was delivered to them."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

from config.model import Settings
from dicom.errors import DeliveryFault
from node.destinations import destination
from storage.destinations.base import Proof
from storage.ledger.paid import Paid


@dataclass(frozen=True, slots=True)
class Proven:
    """One payment, and what its destination says of it now."""

    paid: Paid
    proof: Proof


def prove(payments: Sequence[Paid], settings: Settings) -> Iterator[Proven]:
    """Ask each destination about its payments, which stand together; the rest is not asked.

    A destination that cannot be asked proves nothing and disproves nothing.
    """
    for name, some in groupby(payments, key=lambda paid: paid.delivered.receipt.destination):
        yield from _of_destination(list(some), name, settings)


def _of_destination(payments: Sequence[Paid], name: str, settings: Settings) -> Iterator[Proven]:
    asked, words = 0, ""
    if name not in settings.destinations:
        words = f"there is no [destinations.{name}] any more"
    else:
        try:
            with closing(destination(settings, name)) as place:
                for proof in place.prove([paid.delivered for paid in payments]):
                    yield Proven(payments[asked], proof)
                    asked += 1
        except DeliveryFault as fault:
            words = str(fault)
    yield from (Proven(paid, Proof(None, "", words)) for paid in payments[asked:])
