"""Let go of what may leave the spool: note in the ledger, Series by Series, which Instances may.

routing/retention.py decides; here the facts are gathered, destinations asked again, and the
decision written down. Nothing is deleted here: storage/leaving.py removes the files of which the
ledger needs nothing any more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from dicom.entity import SeriesKey
from routing.retention import Policy, Standing, Verdict, is_fresh, judge, needs
from routing.retention import Proof as Known
from storage.destinations.base import Proof
from storage.ledger.holdings import Holdings, LetGo
from storage.ledger.paid import Paid, Payments
from storage.spool.crash import crash_point

ASK_AGAIN_S: Final = 3600.0
"""A Series that its destination could not vouch for is not asked about again so soon."""
_REMEMBERED: Final = 10_000

Ask = Callable[[Sequence[Paid]], Iterable[tuple[Paid, Proof]]]
"""Asks destinations afresh; payments to one destination stand together."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Considered:
    """What came of looking at one Series."""

    let_go: LetGo = field(default_factory=LetGo)
    releasable_bytes: int = 0
    """What is proven and could leave if the disk were short of room, what was let go included."""
    missing: tuple[str, ...] = ()
    """Destinations that no longer hold what their receipts say."""


class LettingGo:
    """Looks at Series, one at a time. One thread uses it."""

    def __init__(self, holdings: Holdings, payments: Payments, policy: Policy, ask: Ask) -> None:
        self._holdings = holdings
        self._payments = payments
        self._policy = policy
        self._ask = ask
        self._in_doubt: dict[SeriesKey, float] = {}

    def look(self, key: SeriesKey, now: float) -> Mapping[Verdict, int]:
        """Add up the bytes of a Series by what becomes of them; changes nothing, asks nobody.

        What age lets go of later is among what is not due yet.
        """
        standing = self._holdings.standing(key)
        if standing is None:
            return {}
        return _bytes(standing, judge(standing, self._policy, now))

    def consider(self, key: SeriesKey, now: float, *, for_room: bool) -> Considered:
        """Let go of what may leave of a Series; ask its destinations first where that is wanted.

        Raises StorageFault when the ledger does not answer, ConfigFault when a destination cannot
        be opened.
        """
        standing = self._holdings.standing(key)
        if standing is None:
            return Considered()
        could = _bytes(standing, judge(standing, self._policy, now, for_room=True))
        found = Considered(releasable_bytes=could[Verdict.LEAVES] + could[Verdict.ASK])
        verdicts = judge(standing, self._policy, now, for_room=for_room)
        missing: tuple[str, ...] = ()
        if Verdict.ASK in verdicts.values() and self._in_doubt.get(key, 0.0) <= now:
            missing = self._ask_again(key, standing, now, for_room=for_room)
        elif Verdict.LEAVES not in verdicts.values():
            return found

        def leaving(seen: Standing) -> list[int]:
            again = judge(seen, self._policy, now, for_room=for_room)
            return [one for one, verdict in again.items() if verdict is Verdict.LEAVES]

        let_go = self._holdings.let_go(key, leaving, now)
        crash_point("released")
        return Considered(let_go, found.releasable_bytes, missing)

    def _ask_again(
        self, key: SeriesKey, standing: Standing, now: float, *, for_room: bool
    ) -> tuple[str, ...]:
        """Ask about every proof that has grown old; names the destinations that miss something."""
        wanted = _stale(standing, self._policy, now, for_room=for_room)
        payments = [
            paid
            for paid in self._payments.of_series(key)
            if (
                paid.sop_instance_uid,
                paid.delivered.receipt.source_digest,
                paid.delivered.receipt.destination,
            )
            in wanted
        ]
        holding: list[tuple[str, str, str, str]] = []
        missing: set[str] = set()
        for paid, proof in self._ask(payments):
            receipt = paid.delivered.receipt
            if proof.holds:
                this = (receipt.destination, paid.profile)
                holding.append((*this, paid.sop_instance_uid, receipt.source_digest))
            elif proof.holds is False:
                missing.add(receipt.destination)
        if len(holding) < len(payments):
            self._doubt(key, now)
        self._holdings.proven(holding, now)
        return tuple(sorted(missing))

    def _doubt(self, key: SeriesKey, now: float) -> None:
        if len(self._in_doubt) >= _REMEMBERED:
            self._in_doubt.clear()
        self._in_doubt[key] = now + ASK_AGAIN_S


def _bytes(standing: Standing, verdicts: Mapping[int, Verdict]) -> Counter[Verdict]:
    found: Counter[Verdict] = Counter()
    for one in standing.holdings:
        found[verdicts[one.id]] += one.size_bytes
    return found


def _stale(
    standing: Standing, policy: Policy, now: float, *, for_room: bool
) -> set[tuple[str, str, str]]:
    """Name the proofs to renew: source UID, digest, destination."""
    verdicts = judge(standing, policy, now, for_room=for_room)

    def is_old(proof: Known, deliveries: set[tuple[str, str]]) -> bool:
        needed = (proof.target, proof.profile) in deliveries
        return needed and not is_fresh(proof, policy, now)

    return {
        (one.sop_instance_uid, one.digest, proof.target)
        for one in standing.holdings
        if verdicts[one.id] is Verdict.ASK
        for proof in one.proofs
        if is_old(proof, needs(one, standing))
    }
