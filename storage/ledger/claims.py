"""Choose the job that a worker is given: cheap, however many wait for a target that is not there.

Waiting jobs stand in rows by kind, node, target and priority, and only the first of a row is looked
at: a step in an index. A target whose jobs may not be given out costs one step, and not one per
job. Writers take turns (database.py), so that what is chosen stays so until it is taken; beside
that a unique index keeps two jobs of one lane from running.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    Select,
    String,
    bindparam,
    cast,
    exists,
    func,
    literal,
    select,
    union_all,
    update,
)

from routing import breaker
from routing.job import CLOSED_WINDOW, OUT_OF_ORDER, TARGETLESS, Job, Kind, Move, State
from routing.job import target as end_of
from routing.terms import Terms
from storage.ledger import breakers
from storage.ledger.database import Database, node_of
from storage.ledger.job_rows import WAITS_FOR_HOURS, job_of
from storage.ledger.schema import jobs, pauses

_WAITING: Final = State.WAITING
_ORDER: Final = (jobs.c.target, jobs.c.priority, jobs.c.not_before, jobs.c.id)


@dataclass(frozen=True, slots=True)
class _Head:
    """The first job of its kind, target and priority that is due and whose lane is free."""

    id: int
    kind: Kind
    target: str
    rule: str
    priority: int
    not_before: float
    node: str
    """Whose workers can do it; "" for all."""

    @property
    def rank(self) -> tuple[int, float, int]:
        """Its place among other heads: the smallest goes first."""
        return -self.priority, self.not_before, self.id


def claim(
    database: Database,
    owner: str,
    kinds: Collection[Kind],
    now: float,
    lease_s: float,
    *,
    terms: Terms,
) -> Job | None:
    """Give a worker the job that is due first, of a target that may have one more now."""
    with database.write() as db:
        while True:
            head = next(_choices(db, kinds, now, terms), None)
            if head is None:
                return None
            opens_at = terms.asleep.get(head.rule)
            if opens_at is None or opens_at <= now:
                return _take(db, head, owner, now, lease_s)
            _put_off(db, head, now, opens_at)


def is_there(database: Database, kinds: Collection[Kind], now: float, terms: Terms) -> bool:
    """Say whether `claim` would give a job; takes no write lock."""
    with database.read() as db:
        return any(True for _ in _choices(db, kinds, now, terms))


def wake(db: Connection, terms: Terms, now: float) -> None:
    """Look afresh at jobs that wait for their rules' hours, which the config may have changed."""
    waits = (jobs.c.state == _WAITING, jobs.c.fault == CLOSED_WINDOW)
    awake = jobs.c.rule.not_in(terms.asleep)
    db.execute(update(jobs).where(*waits, awake).values(not_before=now, fault="", words=""))
    for rule, opens_at in terms.asleep.items():
        db.execute(update(jobs).where(*waits, jobs.c.rule == rule).values(not_before=opens_at))


def _take(db: Connection, head: _Head, owner: str, now: float, lease_s: float) -> Job:
    db.execute(
        update(jobs)
        .where(jobs.c.id == head.id)
        .values(
            state=end_of(Move.CLAIM),
            owner=owner,
            lease_until=now + lease_s,
            attempts=jobs.c.attempts + 1,
            fence=jobs.c.fence + 1,
            updated_at=now,
            begun_at=func.coalesce(jobs.c.begun_at, now),
        )
    )
    return job_of(db.execute(select(jobs).where(jobs.c.id == head.id)).one())


def _put_off(db: Connection, head: _Head, now: float, opens_at: float) -> None:
    """Let the due jobs of a rule whose hours are over wait for the next ones."""
    same = (jobs.c.kind == head.kind, jobs.c.target == head.target, jobs.c.rule == head.rule)
    db.execute(
        update(jobs)
        .where(jobs.c.state == _WAITING, *same, jobs.c.not_before <= now)
        .values(not_before=opens_at, fault=CLOSED_WINDOW, words=WAITS_FOR_HOURS)
    )


def _choices(db: Connection, kinds: Collection[Kind], now: float, terms: Terms) -> Iterator[_Head]:
    """Yield the heads that may be given out, the first of them first."""
    heads = _heads(db, kinds, now)
    admitted: dict[str, bool] = {}
    in_order: set[str] = set()
    for head in sorted(heads, key=lambda head: head.rank):
        if head.kind in TARGETLESS:
            yield head
            continue
        if head.target not in admitted:
            admitted[head.target] = _admits(db, head.target, terms)
        if not admitted[head.target]:
            continue
        if head.target in terms.ordered and head.kind not in OUT_OF_ORDER:
            if head.target in in_order:
                continue
            in_order.add(head.target)  # looked at once, whatever its kinds and priorities
            if oldest := _oldest(db, head.target, kinds, now):
                yield oldest
            continue
        yield head


def _admits(db: Connection, target: str, terms: Terms) -> bool:
    """Say whether a target may have one more job. Holds its row where it has one."""
    if db.scalar(select(exists().where(pauses.c.target == target))):
        return False
    known = breakers.find(db, target)
    limit = terms.limit(target)
    if known.state is breaker.State.CLOSED and limit is None:
        return True
    mine = (jobs.c.state == State.RUNNING, jobs.c.target == target)
    running = db.scalar(select(func.count()).where(*mine)) or 0
    return breaker.may_run(known, running) and (limit is None or running < limit)


def _oldest(db: Connection, target: str, kinds: Collection[Kind], now: float) -> _Head | None:
    """Give the oldest job of an ordered target; None while it is not due: it keeps its place."""
    in_line = (jobs.c.target == target, jobs.c.kind.not_in(OUT_OF_ORDER))
    query = _columns(jobs).where(jobs.c.state == _WAITING, *in_line)
    row = db.execute(query.order_by(jobs.c.id).limit(1)).one_or_none()
    if row is None or row.not_before > now or row.kind not in kinds:
        return None
    if row.node not in {"", node_of(db)}:
        return None
    return _head(row)


def _heads(db: Connection, kinds: Collection[Kind], now: float) -> list[_Head]:
    found: list[_Head] = []
    nodes = tuple(sorted({"", node_of(db)}))
    if targeted := tuple(sorted(set(kinds) - TARGETLESS)):
        first = db.scalars(of_targets(targeted, nodes), {"now": now}).all()
        if ids := [each for each in first if each is not None]:
            found += map(_head, db.execute(_columns(jobs).where(jobs.c.id.in_(ids))))
    for kind in sorted(TARGETLESS & set(kinds)):
        for node in nodes:
            row = db.execute(_of_no_target(kind, node), {"now": now}).one_or_none()
            found += [_head(row)] if row else []
    return found


@lru_cache
def _of_no_target(kind: Kind, node: str) -> Select[Any]:
    """Select the due job of a kind and a node that comes first in the index."""
    mine = _due(jobs).where(jobs.c.kind == kind, jobs.c.node == node)
    return mine.order_by(*_ORDER).limit(1)


@lru_cache
def of_targets(kinds: tuple[Kind, ...], nodes: tuple[str, ...]) -> Select[Any]:
    """Select the ids of the first due jobs by kind, node, target and priority; NULL among them.

    Each is a step in an index. The rows are read afterwards: joined here, PostgreSQL reads all.
    Made once: to put it together takes longer than to run it. `now` is bound when it is run.
    """
    group = _priorities(_targets(kinds, nodes))
    due = jobs.alias("due")
    first = (
        _due(due)
        .where(
            due.c.kind == group.c.kind,
            due.c.node == group.c.node,
            due.c.target == group.c.target,
            due.c.priority == group.c.priority,
        )
        .with_only_columns(due.c.id)
        .order_by(due.c.not_before, due.c.id)
        .limit(1)
        .correlate(group)
        .scalar_subquery()
    )
    return select(first).select_from(group)


def _targets(kinds: Sequence[Kind], nodes: Sequence[str]) -> CTE:
    """Give each kind and node with each target that a job of theirs waits for, in order."""
    named = union_all(
        *(
            select(
                cast(literal(kind), String).label("kind"), cast(literal(node), String).label("node")
            )
            for kind, node in product(kinds, nodes)
        )
    ).subquery("mine")
    first = _next(jobs.c.target, jobs.c.kind == named.c.kind, jobs.c.node == named.c.node)
    steps = select(named.c.kind, named.c.node, first.label("target")).cte("targets", recursive=True)
    mine = (jobs.c.kind == steps.c.kind, jobs.c.node == steps.c.node)
    after = _next(jobs.c.target, *mine, jobs.c.target > steps.c.target)
    return steps.union_all(
        select(steps.c.kind, steps.c.node, after).where(steps.c.target.is_not(None))
    )


def _priorities(targets: CTE) -> CTE:
    """Give each of these with each priority of its waiting jobs, the highest first."""
    highest = jobs.c.priority.desc()
    keys = ("kind", "node", "target")
    first = _next(highest, *(jobs.c[key] == targets.c[key] for key in keys)).label("priority")
    steps = (
        select(*(targets.c[key] for key in keys), first)
        .where(targets.c.target.is_not(None))
        .cte("priorities", recursive=True)
    )
    mine = (jobs.c[key] == steps.c[key] for key in keys)
    lower = _next(highest, *mine, jobs.c.priority < steps.c.priority)
    return steps.union_all(
        select(*(steps.c[key] for key in keys), lower).where(steps.c.priority.is_not(None))
    )


def _next(order: ColumnElement[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    """Select the first value of a column of waiting jobs, in an order by that column."""
    column = getattr(order, "element", order)
    found = select(column).where(jobs.c.state == _WAITING, *conditions)
    # The whole order of the index, lest PostgreSQL takes another that has some of it.
    exact = _ORDER if column is jobs.c.target else (order,)
    return found.order_by(*exact).limit(1).correlate_except(jobs).scalar_subquery()


def _due(of: FromClause) -> Select[Any]:
    """Select waiting jobs whose time has come, and of whose lane none runs."""
    busy = jobs.alias("busy")
    return _columns(of).where(
        of.c.state == _WAITING,
        of.c.not_before <= bindparam("now"),
        ~exists().where(busy.c.lane == of.c.lane, busy.c.state == State.RUNNING),
    )


def _columns(of: FromClause) -> Select[Any]:
    return select(*(of.c[name] for name in _Head.__dataclass_fields__))


def _head(row: Any) -> _Head:
    m = row._mapping  # noqa: SLF001  (SQLAlchemy's public name for it)
    return _Head(**{**m, "kind": Kind(m["kind"])})
