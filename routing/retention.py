"""What may leave the spool: the pure decision about one Instance of a Series.

Deny by default: whatever is not listed here as a reason to let go stays. An Instance leaves only
when each job that sends it is done and its destination holds it (P2), when nobody pinned it, and
when the policy says that it is time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from routing.job import Kind, State

SENDING: Final = frozenset({Kind.FORWARD, Kind.REIDENTIFY})
"""Jobs of these kinds are proven by receipts."""
SETTLED: Final = frozenset({State.DONE, State.DROPPED})
"""A job in another state still needs the bytes, or may."""


class Verdict(StrEnum):
    """What becomes of an Instance now; all but two are reasons to stay."""

    LEAVES = "leaves"
    ASK = "its proof is old: its destinations are asked again first"
    HOLD = "on legal hold"
    PINNED = "pinned"
    OPEN = "its series is not settled"
    UNPLANNED = "a rule failed about its series: mend it, then `penumbra rules apply`"
    OWED = "a job about it is not done"
    HELD = "held until a person decides"
    UNPROVEN = "a job that sent it has no receipt for it"
    UNSENT = "no rule sends it anywhere, and [retention] unsent_days is not set"
    YOUNG = "not due yet"


@dataclass(frozen=True, slots=True)
class Policy:
    """The [retention] table, in seconds."""

    keep_s: float | None = None
    """Since it was delivered everywhere; None: age lets nothing go."""
    unsent_s: float | None = None
    """Since it came, for what nothing sends; None: it stays."""
    proof_s: float | None = None
    """How old a proof may be; None: what the destination said at delivery is enough."""
    trusted: frozenset[str] = frozenset()
    """Destinations whose word at delivery is enough."""


@dataclass(frozen=True, slots=True)
class Debt:
    """A job about the Series as a whole, or about its Study."""

    kind: str
    state: str
    is_latest: bool
    """Whether it is of the latest revision, and so about everything that is there."""
    target: str
    profile: str
    """By its name."""
    created_at: float


@dataclass(frozen=True, slots=True)
class Proof:
    """A receipt: which target and profile (by name) it is for, and when it was proven."""

    target: str
    profile: str
    delivered_at: float
    proven_at: float | None
    """When the bytes were last read again, or asked for again; None where they never were."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One Instance whose bytes are in the spool."""

    id: int
    sop_instance_uid: str
    digest: str
    size_bytes: int
    received_at: float
    conflict: bool
    intake: str = ""
    """State of the job that waits for a person's decision about it; "" where there is none."""
    proofs: Sequence[Proof] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a Series, its jobs, and those of its Instances that are in the spool."""

    open: bool
    revision: int
    pinned: bool
    legal_hold: bool
    debts: Sequence[Debt]
    holdings: Sequence[Holding]
    unplanned: bool = False
    """Whether a rule could not say if it means the Series: what is owed may be more."""


def judge(
    series: Standing, policy: Policy, now: float, *, for_room: bool = False
) -> Mapping[int, Verdict]:
    """Say of each Instance, by its id, what becomes of it.

    With `for_room` the disk is short of room: what is proven is due at any age. That makes
    nothing else leave.
    """
    reason = _series_stays(series)
    return {
        one.id: reason or _judge(one, series, policy, now, for_room=for_room)
        for one in series.holdings
    }


def needs(one: Holding, series: Standing) -> set[tuple[str, str]]:
    """Name the deliveries, by target and profile, that an Instance needs a receipt for.

    A job sends what was there when it was made; one of the latest revision, all of it.
    """
    return {
        (debt.target, debt.profile)
        for debt in series.debts
        if debt.kind in SENDING
        and debt.state == State.DONE
        and (debt.is_latest or one.received_at <= debt.created_at)
    }


def _series_stays(series: Standing) -> Verdict | None:
    if series.legal_hold:
        return Verdict.HOLD
    if series.pinned:
        return Verdict.PINNED
    if series.open or not series.revision:
        return Verdict.OPEN
    if series.unplanned:
        return Verdict.UNPLANNED
    if any(debt.state not in SETTLED for debt in series.debts):
        return Verdict.OWED
    return None


def _judge(
    one: Holding, series: Standing, policy: Policy, now: float, *, for_room: bool
) -> Verdict:
    if one.intake and one.intake not in SETTLED:
        return Verdict.HELD
    if one.conflict and one.intake != State.DROPPED:
        return Verdict.HELD
    wanted = set() if one.conflict else needs(one, series)  # no job sends a conflict
    if not wanted:
        return _unsent(one, policy, now)
    proofs = [_best(one, *delivery) for delivery in sorted(wanted)]
    if None in proofs:
        return Verdict.UNPROVEN
    known = [proof for proof in proofs if proof is not None]
    if not for_room:
        delivered_at = max(proof.delivered_at for proof in known)
        if policy.keep_s is None or now - delivered_at < policy.keep_s:
            return Verdict.YOUNG
    fresh = all(is_fresh(proof, policy, now) for proof in known)
    return Verdict.LEAVES if fresh else Verdict.ASK


def _unsent(one: Holding, policy: Policy, now: float) -> Verdict:
    """Let what nothing proves anywhere leave by its own setting alone, never for room."""
    if policy.unsent_s is None:
        return Verdict.UNSENT
    return Verdict.LEAVES if now - one.received_at >= policy.unsent_s else Verdict.YOUNG


def _best(one: Holding, target: str, profile: str) -> Proof | None:
    """Find the newest proof of a delivery."""
    found = [proof for proof in one.proofs if (proof.target, proof.profile) == (target, profile)]
    return max(found, key=lambda proof: proof.proven_at or 0.0, default=None)


def is_fresh(proof: Proof, policy: Policy, now: float) -> bool:
    """Whether a proof is young enough to let bytes go by it; one from the future is not."""
    if policy.proof_s is None or proof.target in policy.trusted:
        return True
    return proof.proven_at is not None and 0 <= now - proof.proven_at <= policy.proof_s
