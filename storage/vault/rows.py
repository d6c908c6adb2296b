"""Keep and find the vault's sealed rows; nothing here can open one."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Table,
    and_,
    delete,
    exists,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from dicom.errors import Corrupt, StorageFault
from dicom.sealed import SealedOriginal, SealedStudy, WrappedKey
from storage.vault.database import Database
from storage.vault.schema import forgotten, keys, originals, studies

_TRAIL: Final = ("", "")
"""Project and patient under which the key of the audit trail stands; rotation begins with it."""
PAGE: Final = 500
"""Rows in one statement: well below every database's limit of parameters."""


class VaultRows:
    """Sealed rows, by project, patient and pseudonym."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def claim_key(self, fresh: WrappedKey, known: Collection[str]) -> WrappedKey | None:
        """Keep a patient's first key, or give the one that is there; None for the forgotten.

        `known` are the ids of the vault keys that the caller has. Raises StorageFault where the
        vault has come under another one meanwhile: what is wrapped under a key that is about to
        be destroyed would be lost.
        """
        with self._database.write() as db:
            trail = _key(db, *_TRAIL)
            if trail is not None and trail.key_id not in known:
                raise StorageFault(
                    f"vault: it was rotated to the key {trail.key_id}, which this process does"
                    " not have; name that key as [vault] key, and restart the node and its workers"
                )
            if db.scalar(select(exists().where(*_of(forgotten, fresh.project, fresh.patient)))):
                return None
            values = {
                "project": fresh.project,
                "patient": fresh.patient,
                "key_id": fresh.key_id,
                "wrapped": fresh.wrapped,
            }
            _insert_new(db, keys, [values])
            return _key(db, fresh.project, fresh.patient)

    def key(self, project: str, patient: str) -> WrappedKey | None:
        """Give a patient's wrapped key; None for a stranger and for the forgotten."""
        with self._database.read() as db:
            return _key(db, project, patient)

    def is_forgotten(self, project: str | None, patient: str) -> bool:
        """Whether a patient was forgotten, in one project or in any."""
        with self._database.read() as db:
            return bool(_places(db, forgotten, patient, project))

    def patients(self, patient: str, project: str | None) -> list[tuple[str, str]]:
        """Give project and pseudonym of patients of this pseudonym, the forgotten included."""
        if not patient:
            return []
        with self._database.read() as db:
            return [
                each for table in (keys, forgotten) for each in _places(db, table, patient, project)
            ]

    def add(
        self, new_originals: Sequence[SealedOriginal], new_studies: Sequence[SealedStudy]
    ) -> int:
        """Add rows in one transaction, and say how many were new.

        Rows that are there stay as they are; those of a patient who was forgotten while they were
        made are left out. Raises Corrupt where the key is gone of one who was not forgotten.
        """
        with self._database.write() as db:
            patients = {(row.project, row.patient) for row in new_originals}
            patients |= {(row.project, row.patient) for row in new_studies}
            here = {pair for pair in sorted(patients) if _has_key(db, *pair)}
            rows = [
                {
                    "project": row.project,
                    "patient": row.patient,
                    "kind": row.kind,
                    "pseudonym": row.pseudonym,
                    "sealed": row.sealed,
                }
                for row in new_originals
                if (row.project, row.patient) in here
            ]
            snapshots = [
                {
                    "project": row.project,
                    "patient": row.patient,
                    "study_instance_uid": row.study_instance_uid,
                    "sealed": row.sealed,
                }
                for row in new_studies
                if (row.project, row.patient) in here
            ]
            return _insert_new(db, originals, rows) + _insert_new(db, studies, snapshots)

    def find(self, pseudonym: str, project: str | None) -> list[SealedOriginal]:
        """Give the rows of a pseudonym, in one project or in all."""
        query = select(originals).where(originals.c.pseudonym == pseudonym)
        if project is not None:
            query = query.where(originals.c.project == project)
        ordered = query.order_by(originals.c.project, originals.c.patient, originals.c.kind)
        with self._database.read() as db:
            return [_original(row) for row in db.execute(ordered)]

    def originals(
        self, project: str, patient: str, kind: str, pseudonyms: Sequence[str]
    ) -> list[SealedOriginal]:
        """Give those of a patient's rows that belong to these pseudonyms."""
        query = select(originals).where(*_of(originals, project, patient), originals.c.kind == kind)
        with self._database.read() as db:
            return [
                _original(row)
                for start in range(0, len(pseudonyms), PAGE)
                for row in db.execute(
                    query.where(originals.c.pseudonym.in_(pseudonyms[start : start + PAGE]))
                )
            ]

    def study(self, project: str, patient: str, study_instance_uid: str) -> SealedStudy | None:
        """Give a study's snapshot."""
        query = select(studies).where(
            *_of(studies, project, patient), studies.c.study_instance_uid == study_instance_uid
        )
        with self._database.read() as db:
            row = db.execute(query).one_or_none()
        if row is None:
            return None
        return SealedStudy(row.project, row.patient, row.study_instance_uid, row.sealed)

    def every(self, project: str | None, kind: str | None) -> Iterator[SealedOriginal]:
        """Give every row of a project and a kind (None: of all), patient by patient.

        Read in pages, so that no long look keeps the write-ahead log from being emptied.
        """
        place = (
            originals.c.project, originals.c.patient, originals.c.kind, originals.c.pseudonym,
        )  # fmt: skip
        query = select(originals).order_by(*place).limit(PAGE)
        if project is not None:
            query = query.where(originals.c.project == project)
        if kind is not None:
            query = query.where(originals.c.kind == kind)
        page = query
        while True:
            with self._database.read() as db:
                found = [_original(row) for row in db.execute(page)]
            yield from found
            if len(found) < PAGE:
                return
            last = found[-1]
            page = query.where(
                tuple_(*place) > tuple_(last.project, last.patient, last.kind, last.pseudonym)
            )

    def forget(self, project: str, patient: str, at: float) -> bool:
        """Delete a patient's key and rows, and wipe them from the file; False for a stranger.

        That the patient was forgotten stays, by pseudonym; who was forgotten before is wiped
        again. Raises StorageFault when the rows are deleted but another process reads, so that
        the write-ahead log cannot be emptied.
        """
        with self._database.write() as db:
            if db.execute(delete(keys).where(*_of(keys, project, patient))).rowcount:
                for table in (originals, studies):
                    db.execute(delete(table).where(*_of(table, project, patient)))
                facts = {"project": project, "patient": patient, "forgotten_at": at}
                _insert_new(db, forgotten, [facts])
            known = bool(db.scalar(select(exists().where(*_of(forgotten, project, patient)))))
        if known and not self._database.wipe_log():
            raise StorageFault(
                "vault: the patient is forgotten, but another process reads vault.db, and what was"
                " deleted could not be wiped from its log; run `penumbra vault forget` again"
            )
        return known

    def keys_not_under(self, key_id: str, limit: int) -> list[WrappedKey]:
        """Give keys that are wrapped under another vault key than this."""
        query = select(keys).where(keys.c.key_id != key_id)
        ordered = query.order_by(keys.c.project, keys.c.patient).limit(limit)
        with self._database.read() as db:
            return [_wrapped(row) for row in db.execute(ordered)]

    def count_keys_not_under(self, key_id: str) -> int:
        """Count keys that are wrapped under another vault key than this."""
        query = select(func.count()).select_from(keys).where(keys.c.key_id != key_id)
        with self._database.read() as db:
            return db.scalar(query) or 0

    def rewrap(self, wrapped: Sequence[WrappedKey]) -> None:
        """Replace wrapped keys in one transaction; those deleted meanwhile stay deleted."""
        with self._database.write() as db:
            for key in wrapped:
                db.execute(
                    update(keys)
                    .where(*_of(keys, key.project, key.patient))
                    .values(key_id=key.key_id, wrapped=key.wrapped)
                )


def _has_key(db: Connection, project: str, patient: str) -> bool:
    """Whether rows of a patient may be added; holds the key's row until the transaction ends."""
    # FOR SHARE where the database knows it, so that nobody is forgotten in between.
    query = select(keys.c.key_id).where(*_of(keys, project, patient)).with_for_update(read=True)
    if db.execute(query).first() is not None:
        return True
    if not _places(db, forgotten, patient, project):
        raise Corrupt("vault: the key of a patient is gone; restore vault.db from its backup")
    return False


def _places(
    db: Connection, table: Table, patient: str, project: str | None
) -> list[tuple[str, str]]:
    query = select(table.c.project, table.c.patient).where(table.c.patient == patient)
    if project is not None:
        query = query.where(table.c.project == project)
    return [(row.project, row.patient) for row in db.execute(query)]


def _of(table: Table, project: str, patient: str) -> tuple[ColumnElement[bool], ...]:
    return (and_(table.c.project == project, table.c.patient == patient),)


def _insert_new(db: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert rows whose primary key is new, and say how many were."""
    if not rows:
        return 0
    insert: Insert
    if db.dialect.name == "postgresql":
        insert = postgresql.insert(table).on_conflict_do_nothing()
    else:
        insert = sqlite.insert(table).on_conflict_do_nothing()
    return db.execute(insert, rows).rowcount


def _key(db: Connection, project: str, patient: str) -> WrappedKey | None:
    row = db.execute(select(keys).where(*_of(keys, project, patient))).one_or_none()
    return None if row is None else _wrapped(row)


def _wrapped(row: Row[Any]) -> WrappedKey:
    return WrappedKey(row.project, row.patient, row.key_id, row.wrapped)


def _original(row: Row[Any]) -> SealedOriginal:
    return SealedOriginal(row.project, row.patient, row.kind, row.pseudonym, row.sealed)
