"""File arrived objects: Instance and Series rows and the position in the log, in one transaction.

A duplicate changes nothing. Another object under a known SOP Instance UID is kept as a conflict.
What cannot be filed is kept as well, with a held job so that a person sees it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Final

from sqlalchemy import Connection, Row, and_, delete, select, update

from dicom.entity import Arrival, Instance, Location, Origin, SeriesKey
from dicom.errors import Corrupt, ServiceFault
from routing.job import Kind, NewJob, State
from storage.ledger import events, jobs
from storage.ledger.arrived import NOWHERE, UNREAD, Arrived
from storage.ledger.database import Database, node_of
from storage.ledger.schema import instances, positions, series

MODALITY_LIMIT: Final = 16
"""A CS is no longer (PS3.5 Table 6.2-1); what is comes from a sender that made it up."""
_IS_LIMIT: Final = 1 << 31
"""PS3.5 Table 6.2-1."""
UNREAD_PREFIX: Final = "unread:"
"""Where a digest should stand, an object that could not be read has its place in the spool: two
such objects of one UID may differ."""
_OF_ARRIVAL: Final = tuple(one.name for one in fields(Arrival))


def is_read(digest: str) -> bool:
    """Whether what the ledger knows an object by is the digest of its bytes."""
    return digest != UNREAD and not digest.startswith(UNREAD_PREFIX)


def _mark(location: Location) -> str:
    return f"{UNREAD_PREFIX}{location.segment}:{location.offset}"


class Conflict(ServiceFault):
    """Another object came first under the same SOP Instance UID (P7)."""

    code = "conflict"

    def __init__(self) -> None:
        super().__init__(
            "another object came first under this SOP Instance UID; both are kept, only the "
            "first is delivered: compare the two at the sender, then `penumbra drop` this job"
        )


@dataclass(slots=True)
class Tally:
    """What one batch brought."""

    filed: int = 0
    duplicates: int = 0
    conflicts: int = 0
    unfiled: int = 0
    new: list[Arrived] = field(default_factory=list)
    """Filed Instances that are neither duplicates nor conflicts, in the order of arrival."""


class Intake:
    """The follower's side of the ledger: one writer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def positions(self) -> dict[str, int]:
        """Give the offset behind the last absorbed record of every segment."""
        query = select(positions).where(positions.c.node == self._database.node)
        with self._database.read() as db:
            return {row.segment: row.position for row in db.execute(query)}

    def absorb(self, batch: Sequence[Arrived], reached: Mapping[str, int], now: float) -> Tally:
        """File a batch and move the positions, or do neither."""
        tally = Tally()
        with self._database.write() as db:
            known = _known(db, {one.instance.arrival.sop_instance_uid for one in batch})
            gone = _released(db, known)
            rows: list[dict[str, object]] = []
            for one in map(_marked, _placed(batch, node_of(db))):
                uid, digest = one.instance.arrival.sop_instance_uid, one.instance.digest
                digests = known.setdefault(uid, set())
                if digest in digests:
                    tally.duplicates += 1
                    _take_back(db, one, gone)
                    continue
                conflict = any(map(is_read, digests))  # what nobody can read stands in no way
                digests.add(digest)
                rows.append(_row(one, conflict=conflict) | {"filed_at": now})
                _account(db, one, tally, now, conflict=conflict)
            if rows:
                db.execute(instances.insert(), rows)
            _grow_series(db, tally.new)
            _move(db, reached)
        return tally

    def find(self, sop_instance_uid: str, digest: str) -> tuple[Instance, bool]:
        """Give a kept object, and whether it is a conflict. Raises Corrupt when it is unknown.

        `digest` is what the ledger knew it by when it was held; if it could not be read then, it
        may have been filed under its digest since.
        """
        query = select(instances).where(instances.c.sop_instance_uid == sop_instance_uid)
        with self._database.read() as db:
            for row in db.execute(query):
                instance = instance_of(row)
                if digest in {instance.digest, _mark(instance.location)}:
                    return instance, row.conflict
        raise Corrupt("the ledger does not know this object")

    def refile(self, one: Arrived, known_as: str) -> None:
        """File an object that could not be filed when it arrived; to do it again does no harm.

        `known_as` is what the ledger has in place of its digest, or that digest. Raises Conflict
        where another object has come under its UID since.
        """
        uid, digest = one.instance.arrival.sop_instance_uid, one.instance.digest
        this = and_(instances.c.sop_instance_uid == uid, instances.c.digest == known_as)
        with self._database.write() as db:
            others = set(filter(is_read, _known(db, {uid}).get(uid, set()))) - {known_as}
            if digest in others:  # it was sent again meanwhile
                db.execute(delete(instances).where(this))
                return
            if others and not is_read(known_as):
                raise Conflict
            unfiled = and_(this, instances.c.series_instance_uid == NOWHERE.series_instance_uid)
            known = {**asdict(one.key), "instance_number": _number(one)}
            filed = db.execute(update(instances).where(unfiled).values(**known, digest=digest))
            if filed.rowcount:
                _grow_series(db, [one])


def _placed(batch: Sequence[Arrived], node: str) -> Sequence[Arrived]:
    """Say whose spool the objects lie in, where several nodes share the ledger."""
    if not node:
        return batch
    return [
        replace(
            one, instance=replace(one.instance, location=replace(one.instance.location, node=node))
        )
        for one in batch
    ]


def _marked(one: Arrived) -> Arrived:
    """Know an object that could not be read by its place."""
    if one.instance.digest != UNREAD:
        return one
    return replace(one, instance=replace(one.instance, digest=_mark(one.instance.location)))


def _known(db: Connection, uids: set[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    query = select(instances.c.sop_instance_uid, instances.c.digest).where(
        instances.c.sop_instance_uid.in_(uids)
    )
    for uid, digest in db.execute(query):
        found.setdefault(uid, set()).add(digest)
    return found


def _released(db: Connection, uids: Iterable[str]) -> dict[tuple[str, str], Location]:
    """Give what retention let go of, by UID and digest, with its last place."""
    query = select(instances).where(
        instances.c.sop_instance_uid.in_(uids), instances.c.released_at.is_not(None)
    )
    found = map(instance_of, db.execute(query))
    return {(one.arrival.sop_instance_uid, one.digest): one.location for one in found}


def _take_back(db: Connection, one: Arrived, gone: dict[tuple[str, str], Location]) -> None:
    """Note that the bytes of a known object are in the spool again, where retention let them go.

    The same record, read once more, brings nothing back.
    """
    place = one.instance.location
    this = one.instance.arrival.sop_instance_uid, one.instance.digest
    if gone.pop(this, place) == place:
        return
    row = and_(instances.c.sop_instance_uid == this[0], instances.c.digest == this[1])
    here = {**asdict(place), "released_at": None}
    db.execute(update(instances).where(row).values(**here))
    whole = and_(
        series.c.study_instance_uid == one.key.study_instance_uid,
        series.c.series_instance_uid == one.key.series_instance_uid,
    )
    db.execute(update(series).where(whole).values(released_at=None))


def _row(one: Arrived, *, conflict: bool) -> dict[str, object]:
    arrival, location = one.instance.arrival, one.instance.location
    return {
        **{name: getattr(arrival, name) for name in _OF_ARRIVAL},
        "segment": location.segment,
        "offset": location.offset,
        "length": location.length,
        "node": location.node,
        "study_instance_uid": one.key.study_instance_uid,
        "series_instance_uid": one.key.series_instance_uid,
        "digest": one.instance.digest,
        "conflict": conflict,
        "instance_number": _number(one),
    }


def _number(one: Arrived) -> int | None:
    """Give an object's InstanceNumber; None where it says none, or none that an IS can hold."""
    try:
        number = int(one.texts.get("InstanceNumber", ""))
    except ValueError:
        return None
    return number if abs(number) < _IS_LIMIT else None


def _account(db: Connection, one: Arrived, tally: Tally, now: float, *, conflict: bool) -> None:
    if one.fault is not None:
        tally.unfiled += 1
        _hold(db, one, one.fault.code, str(one.fault), now)
    elif conflict:
        tally.conflicts += 1
        _hold(db, one, Conflict.code, str(Conflict()), now)
    else:
        tally.filed += 1
        tally.new.append(one)


def _hold(db: Connection, one: Arrived, code: str, words: str, now: float) -> None:
    uid = one.instance.arrival.sop_instance_uid
    job = NewJob(Kind.INTAKE, one.key, 0, "", uid, digest=one.instance.digest)
    jobs.insert(db, [job], now, state=State.HELD, fault=code, words=words)
    what = events.NewEvent(
        "penumbra.instance.held",
        uid,
        {"fault": code, "words": words, "calling_ae": one.instance.arrival.calling_ae},
    )
    events.record(db, [what], now)


def _grow_series(db: Connection, new: Iterable[Arrived]) -> None:
    grouped: dict[SeriesKey, list[Arrived]] = {}
    for one in new:
        grouped.setdefault(one.key, []).append(one)
    for key, members in grouped.items():
        times = [member.instance.arrival.received_at for member in members]
        first = members[0]
        this = and_(
            series.c.study_instance_uid == key.study_instance_uid,
            series.c.series_instance_uid == key.series_instance_uid,
        )
        grown = db.execute(
            update(series)
            .where(this)
            .values(
                instances=series.c.instances + len(members),
                last_at=max(times),
                released_at=None,
                look_at=_look_at(first, max(times)),
                open=True,
            )
        )
        if grown.rowcount == 0:
            db.execute(
                series.insert().values(
                    **asdict(key),
                    modality=first.texts.get("Modality", "")[:MODALITY_LIMIT],
                    origin=first.instance.arrival.origin,
                    rule=first.instance.arrival.rule,
                    instances=len(members),
                    first_at=min(times),
                    last_at=max(times),
                    look_at=_look_at(first, max(times)),
                    revision=0,
                    open=True,
                    settled_to=0,
                    node=node_of(db),
                )
            )


def _look_at(one: Arrived, last_at: float) -> float:
    """Say when a Series with news is worth a look: a result at once."""
    return 0 if one.instance.arrival.origin is Origin.AI else last_at


def _move(db: Connection, reached: Mapping[str, int]) -> None:
    for segment, position in reached.items():
        node = node_of(db)
        this = and_(positions.c.node == node, positions.c.segment == segment)
        moved = db.execute(update(positions).where(this).values(position=position))
        if moved.rowcount == 0:
            db.execute(positions.insert().values(node=node, segment=segment, position=position))


def instance_of(row: Row[tuple[object, ...]]) -> Instance:
    """Make the Instance of a row of the instance table."""
    m = row._mapping  # noqa: SLF001  (SQLAlchemy's public name for it)
    arrival = Arrival(
        sop_class_uid=m["sop_class_uid"],
        sop_instance_uid=m["sop_instance_uid"],
        transfer_syntax_uid=m["transfer_syntax_uid"],
        calling_ae=m["calling_ae"],
        called_ae=m["called_ae"],
        association=m["association"],
        address=m["address"],
        received_at=m["received_at"],
        origin=Origin(m["origin"]),
        rule=m["rule"],
    )
    place = Location(m["segment"], m["offset"], m["length"], m["node"])
    return Instance(arrival, place, m["digest"])
