"""Say whose workers can do a job, where several nodes share a ledger: those that have its bytes.

In a ledger that one node has for itself every node is "", and so is that of a job that anybody can
do: because it needs no bytes, or because they were staged.
"""

from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select, update

from dicom.entity import SeriesKey
from routing.job import Kind, NewJob
from storage.ledger.schema import instances, jobs
from storage.ledger.staging_schema import staged

_WITHOUT_BYTES: Final = frozenset({Kind.COMMIT, Kind.REPORT, Kind.MANIFEST})
_HERE: Final = frozenset({Kind.INTAKE, Kind.EXPORT, Kind.FHIR})
"""Jobs of the node that writes them: about its spool, or answered by its index."""
OFFERED: Final = frozenset({Kind.FORWARD, Kind.REIDENTIFY})
"""Jobs that any worker can do with staged bytes. What a model makes goes back into the spool of the
node that asked, so that node's workers ask it."""


def holders(db: Connection, job: NewJob, here: str) -> list[str]:
    """Name the nodes that each have to do a job of their own for a debt; mostly one.

    The objects of a Series may have come in over several. `here` is the writer's node, "" where
    that has no spool.
    """
    if db.dialect.name == "sqlite" or job.kind in _WITHOUT_BYTES:
        return [""]
    if job.kind in OFFERED and is_staged(db, job.series):
        return [""]
    if job.kind in _HERE:
        return [here]
    nodes = sorted(db.scalars(select(instances.c.node).where(_of(job.series)).distinct()))
    if job.kind in {*OFFERED, Kind.STAGE}:
        return nodes or [here]
    return [here] if here in nodes or not nodes else nodes[:1]


def is_staged(db: Connection, key: SeriesKey) -> bool:
    """Whether every Instance of a Series lies in object storage, in the caller's transaction."""
    there = exists().where(_of(key))
    missing = exists().where(_of(key), ~staged_copy())
    return bool(db.scalar(select(and_(there, ~missing))))


def mark_offered(db: Connection, key: SeriesKey) -> None:
    """Let every worker have the jobs of a Series, in the caller's transaction."""
    mine = (
        jobs.c.study_instance_uid == key.study_instance_uid,
        jobs.c.series_instance_uid == key.series_instance_uid,
        jobs.c.kind.in_(OFFERED),
    )
    # Their state is set to what it is, so that whoever listens is told of them.
    db.execute(update(jobs).where(*mine).values(node="", state=jobs.c.state))


def staged_copy() -> ColumnElement[bool]:
    """Whether an Instance lies in object storage, to be read there."""
    return exists().where(
        staged.c.sop_instance_uid == instances.c.sop_instance_uid,
        staged.c.digest == instances.c.digest,
        staged.c.leaving_at.is_(None),
    )


def can_read(node: str) -> ColumnElement[bool]:
    """Choose the Instances whose bytes workers beside the spool of a node can read."""
    return or_(instances.c.node.in_({"", node}), staged_copy())


def _of(key: SeriesKey) -> ColumnElement[bool]:
    return and_(
        instances.c.study_instance_uid == key.study_instance_uid,
        instances.c.series_instance_uid == key.series_instance_uid,
        instances.c.conflict.is_(False),
    )
