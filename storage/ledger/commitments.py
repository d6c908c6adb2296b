"""Storage commitment that others ask of us: their requests, from the answer to the report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, Row, delete, func, or_, select, update

from dicom.commitment import FailureReason, Reference, Report, Request
from dicom.normalized import ResourceLimitation
from routing.job import NewJob
from storage.ledger import events, jobs
from storage.ledger.commitments_schema import requests
from storage.ledger.database import Database, node_of

MOST_OPEN: Final = 1000
"""A peer that has so many requests without a verdict is told to wait for their reports,"""
MOST_NAMED: Final = 1_000_000
"""and so is one whose requests name more Instances than this in all."""
MOST_TOLD: Final = 10_000
"""Of those that have their verdict so many are kept, the newest of each peer, and fewer where they
name more than MOST_NAMED in all."""
ORPHANED_S: Final = 60.0
"""A request that its own node has not looked at for so long is any node's to judge."""


class State(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    """Not every Instance can be judged yet."""
    JUDGED = "judged"
    """Judged, and about to be reported on the association that asked."""
    OWED = "owed"
    """Judged, and a job owes the report."""
    REPORTED = "reported"


_TOLD: Final = (State.OWED, State.REPORTED)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it stands in the ledger."""

    id: int
    peer: str
    """The AE title of who asked."""
    state: State
    request: Request
    failures: tuple[tuple[int, int], ...]
    """After the verdict: place in the request's list, and the reason."""
    received_at: float

    def report(self) -> Report:
        """Give what is to be reported; only after the verdict."""
        reasons = dict(self.failures)
        numbered = list(enumerate(self.request.references))
        return Report(
            self.request.transaction_uid,
            tuple(each for place, each in numbered if place not in reasons),
            tuple((each, reasons[place]) for place, each in numbered if place in reasons),
        )


class Commitments:
    """Write requests down, look at those that are due, note their verdicts and reports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receive(self, request: Request, peer: str, now: float) -> int:
        """Write a request down, and return its id.

        The same request again, before its report, is the one that is there; if a job owes that
        report, who asks now may be told on its new association first. Another one of the same
        Transaction UID is written with every Instance failed: the UID is in use (0x0131). Raises
        ResourceLimitation where the peer has too much open.
        """
        wanted = [[each.sop_class_uid, each.sop_instance_uid] for each in request.references]
        with self._database.write() as db:
            same = select(requests.c.id, requests.c.wanted).where(
                requests.c.transaction_uid == request.transaction_uid,
                requests.c.peer == peer,
                requests.c.state != State.REPORTED,
            )
            in_use = db.execute(same.order_by(requests.c.id)).all()
            for row in in_use:
                if row.wanted == wanted:
                    again = {"state": State.JUDGED, "node": node_of(db), "next_look_at": now}
                    _move(db, _in(row.id, State.OWED), **again)
                    return int(row.id)
            _require_room(db, peer, len(wanted))
            duplicate = int(FailureReason.DUPLICATE_TRANSACTION)
            failures = [[place, duplicate] for place in range(len(wanted))] if in_use else []
            written = db.execute(
                requests.insert().values(
                    transaction_uid=request.transaction_uid,
                    peer=peer,
                    state=State.JUDGED if in_use else State.PENDING,
                    wanted=wanted,
                    failures=failures,
                    received_at=now,
                    next_look_at=now,
                    judged_at=now if in_use else None,
                    node=node_of(db),
                    instances=len(wanted),
                )
            ).inserted_primary_key
            assert written is not None  # one row was inserted
            return int(written[0])

    def due(self, now: float, limit: int = 100) -> list[Asked]:
        """Give requests to look at now, oldest first: not judged, or with no report on its way.

        Those of other nodes, which have the associations that asked, are given once their nodes
        leave them alone.
        """
        mine = requests.c.node == self._database.node
        query = (
            select(requests)
            .where(
                requests.c.state.in_([State.PENDING, State.JUDGED]),
                requests.c.next_look_at <= now,
                or_(mine, requests.c.next_look_at <= now - ORPHANED_S),
            )
            .order_by(requests.c.next_look_at, requests.c.id)
            .limit(limit)
        )
        with self._database.read() as db:
            return [_asked(row) for row in db.execute(query)]

    def get(self, request_id: int) -> Asked | None:
        """Give one request."""
        with self._database.read() as db:
            row = db.execute(select(requests).where(requests.c.id == request_id)).one_or_none()
            return None if row is None else _asked(row)

    def look_again(self, request_id: int, at: float) -> None:
        """Leave a request alone until then."""
        with self._database.write() as db:
            _move(db, _in(request_id, State.PENDING, State.JUDGED), next_look_at=at)

    def conclude(
        self, asked: Asked, failures: Sequence[tuple[int, int]], now: float, lease_s: float
    ) -> bool:
        """Write the verdict; who did has `lease_s` to report it. False when another front did."""
        facts = {
            "peer": asked.peer,
            "instances": len(asked.request.references),
            "failed": len(failures),
        }
        told = events.NewEvent("penumbra.commitment.judged", asked.request.transaction_uid, facts)
        with self._database.write() as db:
            moved = _move(
                db,
                _in(asked.id, State.PENDING),
                state=State.JUDGED,
                failures=[list(each) for each in failures],
                judged_at=now,
                next_look_at=now + lease_s,
            )
            if moved:
                events.record(db, [told], now)
            return moved

    def owe(self, asked: Asked, report: NewJob, now: float) -> bool:
        """Leave a report to a job, in one transaction; False when it is on its way already."""
        with self._database.write() as db:
            moved = _move(db, _in(asked.id, State.JUDGED), state=State.OWED)
            if moved:
                jobs.insert(db, [report], now)
            return moved

    def reported(self, request_id: int, now: float) -> None:
        """Note that the peer has its report."""
        with self._database.write() as db:
            _move(
                db,
                _in(request_id, State.JUDGED, State.OWED),
                state=State.REPORTED,
                reported_at=now,
            )

    def counts(self) -> dict[str, int]:
        """Count the requests by state, every state named."""
        query = select(requests.c.state, func.count()).group_by(requests.c.state)
        with self._database.read() as db:
            found = {state: int(count) for state, count in db.execute(query)}
        return {str(state): found.get(state, 0) for state in State}

    def forget(self, judged_before: float) -> None:
        """Drop requests that were judged long ago, and the oldest where a peer has too many.

        A report that could not be brought to its peer by then is given up.
        """
        told = requests.c.state.in_(_TOLD)
        with self._database.read() as db:
            surplus = _surplus(db)
        with self._database.write() as db:
            db.execute(delete(requests).where(told, requests.c.judged_at < judged_before))
            for peer, newest in surplus.items():
                these = (requests.c.peer == peer, requests.c.id <= newest)
                db.execute(delete(requests).where(told, *these))


def _surplus(db: Connection) -> dict[str, int]:
    """Give the peers that have too much on record, each with the newest request to go."""
    kept = select(requests.c.id, requests.c.peer, requests.c.instances)
    named: Counter[str] = Counter()
    found: dict[str, int] = {}
    for one in db.execute(kept.where(requests.c.state.in_(_TOLD)).order_by(requests.c.id.desc())):
        named[one.peer] += max(one.instances, MOST_NAMED // MOST_TOLD)
        if named[one.peer] > MOST_NAMED:
            found.setdefault(one.peer, one.id)
    return found


def _require_room(db: Connection, peer: str, instances: int) -> None:
    mine = (requests.c.peer == peer, requests.c.state.not_in(_TOLD))
    total = func.coalesce(func.sum(requests.c.instances), 0)
    count, named = db.execute(select(func.count(), total).where(*mine)).one()
    if count >= MOST_OPEN or named + instances > MOST_NAMED:
        raise ResourceLimitation(f"{count} requests of this peer are still open")


def _in(request_id: int, *states: State) -> tuple[ColumnElement[bool], ...]:
    return requests.c.id == request_id, requests.c.state.in_(states)


def _move(db: Connection, which: tuple[ColumnElement[bool], ...], **values: object) -> bool:
    return db.execute(update(requests).where(*which).values(**values)).rowcount == 1


def _asked(row: Row[tuple[object, ...]]) -> Asked:
    m = row._mapping  # noqa: SLF001  (SQLAlchemy's public name for it)
    references = tuple(Reference(*each) for each in m["wanted"])
    return Asked(
        m["id"],
        m["peer"],
        State(m["state"]),
        Request(m["transaction_uid"], references),
        tuple((place, reason) for place, reason in m["failures"]),
        m["received_at"],
    )
