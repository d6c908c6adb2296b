"""Write and read the evidence of de-identification, in batches, each account stored once.

An object under a profile is one row for each outcome, however often it is tried: what is said
again moves the time of the last, and nothing else. Rows cannot be made again from the spool: they
are history, like receipts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import (
    Connection,
    RowMapping,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from dicom.entity import SeriesKey
from storage.evidence import packing
from storage.evidence.entry import (
    Account,
    Clean,
    Delivered,
    Description,
    Entry,
    Recorded,
    Source,
)
from storage.evidence.schema import accounts, evidence, profiles
from storage.ledger.database import Database
from storage.ledger.schema import receipts

_OBJECT: Final = ("source_uid", "source_digest", "profile")
_KEY: Final = (*_OBJECT, "new_sop")
_SAID: Final = ("account", "code", "reason", "new_study", "new_series", "patient_pseudonym")
"""What makes a row say something else than the one that is there."""
_AT_ONCE: Final = 500
"""SQLite takes a limited number of values in one statement."""


class Evidence:
    """What was done to which object; any number of processes may write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entries: Sequence[Entry]) -> int:
        """Write entries in one transaction; say how many rows are new or say something new."""
        bodies: dict[str, bytes] = {}
        rows: dict[tuple[object, ...], dict[str, object]] = {}
        for entry in entries:
            name, body = packing.named(entry.account)
            bodies[name] = body
            row = _row(entry, name)
            rows[tuple(row[column] for column in _KEY)] = row
        if not rows:
            return 0
        with self._database.write() as db:
            _keep(db, accounts, bodies)
            return _write(db, rows)

    def describe(self, profile: str, description: Description) -> None:
        """Note what a profile's digest stands for; what is noted already stays."""
        with self._database.write() as db:
            _keep(db, profiles, {profile: packing.description_json(description)})

    def description(self, profile: str) -> Description | None:
        """Say what a profile's digest stands for; None where nobody noted it."""
        query = select(profiles.c.body).where(profiles.c.digest == profile)
        with self._database.read() as db:
            body = db.scalar(query)
        if body is None:
            return None
        found: Description = packing.unpack(body)
        return found

    def of_study(self, study_instance_uid: str) -> list[Recorded]:
        """Give what is known of a Study, by its original UID or by a new one; oldest first.

        By a new UID: the objects under it, and those of the same original Study and profile
        that were quarantined.
        """
        named = select(evidence.c.study_instance_uid, evidence.c.profile)
        named = named.where(evidence.c.new_study == study_instance_uid).distinct()
        query = select(evidence).order_by(evidence.c.id)
        with self._database.read() as db:
            under_new_uid = [
                and_(
                    evidence.c.study_instance_uid == origin.study_instance_uid,
                    evidence.c.profile == origin.profile,
                    evidence.c.new_study.in_(["", study_instance_uid]),
                )
                for origin in db.execute(named)
            ]
            here = or_(evidence.c.study_instance_uid == study_instance_uid, *under_new_uid)
            return [_recorded(row) for row in db.execute(query.where(here)).mappings()]

    def accounts(self, digests: Iterable[str]) -> dict[str, Account]:
        """Give accounts by their digests."""
        found: dict[str, Account] = {}
        with self._database.read() as db:
            for some in _batches(set(digests)):
                query = select(accounts).where(accounts.c.digest.in_(some))
                for row in db.execute(query):
                    found[row.digest] = packing.unpack_account(row.body)
        return found

    def quarantined(self) -> dict[str, int]:
        """Count objects that may not leave under some profile, by the code of the fault.

        The newest word about an object counts: who came through later is no longer among them.
        """
        later = evidence.alias("later")
        newer = or_(
            later.c.last_at > evidence.c.last_at,
            and_(later.c.last_at == evidence.c.last_at, later.c.id > evidence.c.id),
        )
        same = (later.c[column] == evidence.c[column] for column in _OBJECT)
        query = (
            select(evidence.c.code, func.count().label("objects"))
            # Not a parameter: only so SQLite sees that the index of these rows serves.
            .where(evidence.c.new_sop == literal_column("''"), ~exists().where(*same, newer))
            .group_by(evidence.c.code)
            .order_by(evidence.c.code)
        )
        with self._database.read() as db:
            return {row.code: row.objects for row in db.execute(query)}

    def deliveries(self, recorded: Iterable[Recorded]) -> list[Delivered]:
        """Give the receipts of clean objects, oldest first."""
        wanted = {
            (each.entry.source.sop_instance_uid, each.entry.source.digest, each.entry.profile)
            for each in recorded
            if each.entry.clean
        }
        columns = [receipts.c[name] for name in Delivered.__dataclass_fields__]
        found: list[RowMapping] = []
        with self._database.read() as db:
            for some in _batches({uid for uid, _, _ in wanted}):
                query = select(receipts.c.id, *columns).where(receipts.c.source_uid.in_(some))
                found += db.execute(query).mappings()
        found.sort(key=lambda row: row["id"])
        delivered = [Delivered(**{k: v for k, v in row.items() if k != "id"}) for row in found]
        return [d for d in delivered if (d.source_uid, d.source_digest, d.profile) in wanted]


def _batches(values: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(values)
    return (ordered[at : at + _AT_ONCE] for at in range(0, len(ordered), _AT_ONCE))


def _keep(db: Connection, table: Table, bodies: Mapping[str, bytes]) -> None:
    """Store bodies under their names; those that are there stay."""
    known: set[str] = set()
    for some in _batches(bodies):
        known.update(db.scalars(select(table.c.digest).where(table.c.digest.in_(some))))
    new = [(name, body) for name, body in bodies.items() if name not in known]
    if new:
        values = [{"digest": name, "body": packing.pack(body)} for name, body in new]
        db.execute(table.insert(), values)


def _write(db: Connection, rows: Mapping[tuple[object, ...], dict[str, object]]) -> int:
    """Insert what is new, rewrite what says something else now; count both."""
    known: dict[tuple[object, ...], RowMapping] = {}
    for some in _batches({str(row["source_uid"]) for row in rows.values()}):
        query = select(evidence).where(evidence.c.source_uid.in_(some))
        for found in db.execute(query).mappings():
            known[tuple(found[column] for column in _KEY)] = found
    new = [row for key, row in rows.items() if key not in known]
    again = []
    changed = []
    for key, row in rows.items():
        if (before := known.get(key)) is None:
            continue
        if any(before[column] != row[column] for column in _SAID):
            changed.append((before["id"], row))
        else:
            again.append({"number": before["id"], "now": row["at"]})
    if new:
        db.execute(evidence.insert(), new)
    if again:
        this = evidence.c.id == bindparam("number")
        db.execute(update(evidence).where(this).values(last_at=bindparam("now")), again)
    for number, row in changed:
        db.execute(update(evidence).where(evidence.c.id == number).values(**row))
    return len(new) + len(changed)


def _row(entry: Entry, account: str) -> dict[str, object]:
    clean = entry.clean or Clean("", "", "", "")
    return {
        "study_instance_uid": entry.source.series.study_instance_uid,
        "series_instance_uid": entry.source.series.series_instance_uid,
        "source_uid": entry.source.sop_instance_uid,
        "source_digest": entry.source.digest,
        "profile": entry.profile,
        "new_study": clean.study_instance_uid,
        "new_series": clean.series_instance_uid,
        "new_sop": clean.sop_instance_uid,
        "patient_pseudonym": clean.patient_pseudonym,
        "account": account,
        "code": entry.code,
        "reason": entry.reason,
        "rule": entry.rule,
        "job": entry.job,
        "software": entry.software,
        "at": entry.at,
        "last_at": entry.at,
    }


def _recorded(row: RowMapping) -> Recorded:
    series = SeriesKey(row["study_instance_uid"], row["series_instance_uid"])
    new = (row["new_study"], row["new_series"], row["new_sop"], row["patient_pseudonym"])
    entry = Entry(
        Source(series, row["source_uid"], row["source_digest"]),
        row["profile"],
        row["rule"],
        row["job"],
        row["software"],
        row["at"],
        Clean(*new) if row["new_sop"] else None,
        code=row["code"],
        reason=row["reason"],
    )
    return Recorded(row["id"], entry, row["account"], row["last_at"])
