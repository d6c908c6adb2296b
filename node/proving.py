"""Ask destinations afresh for what was delivered to them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

from dicom.errors import DeliveryFault
from storage.destinations.base import Destination, Proof
from storage.ledger.paid import Paid

OpenDestination = Callable[[str], Destination | None]
"""Opens a destination by its name; None where the config file has none of that name."""


@dataclass(frozen=True, slots=True)
class Proven:
    """One payment, and what its destination says of it now."""

    paid: Paid
    proof: Proof


def prove(payments: Sequence[Paid], open_destination: OpenDestination) -> Iterator[Proven]:
    """Ask each destination about its payments, which stand together; the rest is not asked.

    A destination that cannot be asked proves nothing and disproves nothing.
    """
    for name, some in groupby(payments, key=lambda paid: paid.delivered.receipt.destination):
        yield from _of_destination(list(some), name, open_destination)


def _of_destination(
    payments: Sequence[Paid], name: str, open_destination: OpenDestination
) -> Iterator[Proven]:
    asked = 0
    try:
        destination = open_destination(name)
        if destination is None:
            words = f"there is no [destinations.{name}] any more"
        else:
            with closing(destination):
                for proof in destination.prove([paid.delivered for paid in payments]):
                    yield Proven(payments[asked], proof)
                    asked += 1
            return
    except DeliveryFault as fault:
        words = str(fault)
    yield from (Proven(paid, Proof(None, "", words)) for paid in payments[asked:])
