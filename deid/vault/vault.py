"""The vault: keeps the way back while objects leave, and answers, for the record, who asks.

Every answer is written to the audit trail before it is given, as is every deed. Not shared between
threads; any number of processes may have the same vault open.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from deid import account
from deid.vault import snapshot
from deid.vault.audit import Asker, Chain, Verdict
from deid.vault.facts import Found, Kept, Reversible, facts_of
from deid.vault.reidentify import NoWayBack, Reidentified, reidentify
from deid.vault.rows import Rows, Trail
from deid.vault.sealing import DataKey, VaultKeys, VaultTampered
from deid.vault.snapshot import Snapshot
from dicom.sealed import AuditEntry, SealedOriginal, SealedStudy

UNKNOWN: Final = "unknown"
"""Stands in the trail for what the vault does not know: it may be a name that somebody typed."""
_TRAIL: Final = ""
_PATIENTS_AT_HAND: Final = 64
_BATCH: Final = 500


@dataclass(slots=True)
class _AtHand:
    """What this process knows of one patient, so that known rows cost no question."""

    key: DataKey | None
    """None for the forgotten."""
    originals: set[tuple[str, str]] = field(default_factory=set)
    studies: set[str] = field(default_factory=set)


class Vault:
    """Rows and trail with their keys."""

    def __init__(
        self, rows: Rows, trail: Trail, keys: VaultKeys, clock: Callable[[], float] = time.time
    ) -> None:
        self._rows = rows
        self._trail = trail
        self._keys = keys
        self._clock = clock
        self._at_hand: OrderedDict[tuple[str, str], _AtHand] = OrderedDict()

    def close(self) -> None:
        """Close the rows."""
        self._rows.close()

    def keep(self, project: str, clean: Reversible, part10: memoryview) -> Kept:
        """Keep the way back of one object, given with its original bytes; synced on return."""
        return self.keep_all(project, [(clean, part10)])

    def keep_all(self, project: str, objects: Iterable[tuple[Reversible, memoryview]]) -> Kept:
        """Keep the way back of several objects in one transaction; synced on return.

        What is known already is skipped, so that a repeated object adds nothing; of a study's
        modules the first object's stay. Raises DeidFault when an original cannot be read,
        StorageFault when the rows cannot be written: the objects must not leave then.
        """
        originals: dict[tuple[str, str, str], SealedOriginal] = {}
        studies: dict[tuple[str, str], SealedStudy] = {}
        forgotten: set[str] = set()
        for clean, part10 in objects:
            patient, study = clean.patient_pseudonym, clean.study_instance_uid
            hand = self._hand(project, patient)
            if hand.key is None:
                forgotten.add(patient)
                continue
            for kind, pseudonym, value in facts_of(clean):
                place = (patient, kind, pseudonym)
                if place[1:] not in hand.originals and place not in originals:
                    originals[place] = hand.key.seal_original(kind, pseudonym, value)
            if study not in hand.studies and (patient, study) not in studies:
                studies[patient, study] = hand.key.seal_study(study, snapshot.take(part10))
        if not originals and not studies:
            return Kept(0, frozenset(forgotten))
        added = self._rows.add(list(originals.values()), list(studies.values()))
        for patient, kind, pseudonym in originals:
            self._hand(project, patient).originals.add((kind, pseudonym))
        for patient, study in studies:
            self._hand(project, patient).studies.add(study)
        return Kept(added, frozenset(forgotten))

    def lookup(self, pseudonym: str, asker: Asker, project: str | None = None) -> list[Found]:
        """Give what stands behind a pseudonym or UID. Raises NoWayBack where nothing does."""
        rows = self._rows.find(pseudonym, project)
        forgotten = not rows and self._rows.is_forgotten(project, pseudonym)
        subject = pseudonym if rows or forgotten else UNKNOWN
        self._note(asker, "lookup", project or "", subject)
        if forgotten:
            raise NoWayBack(f"the patient {pseudonym} was forgotten")
        if not rows:
            raise NoWayBack(
                "the vault does not know this pseudonym: see that it was copied whole, and that"
                " its profile was reversible when the object left"
            )
        return list(self._opened(rows))

    def export(self, project: str, asker: Asker) -> Iterator[Found]:
        """Give everything that the vault knows of a project; the audit entry is made at once."""
        self._note(asker, "export", project, "everything")
        return self._opened(self._rows.every(project, None))

    def forget(
        self, patient: str, asker: Asker, project: str | None = None
    ) -> list[tuple[str, str]]:
        """Forget a patient, named by pseudonym or by the original ID, for good.

        Returns project and pseudonym of whom was forgotten; objects of theirs that leave later
        have no way back. Raises NoWayBack for a stranger, and where several patients of one
        project have this ID.
        """
        found = set(self._rows.patients(patient, project))
        if not found:
            self._note(asker, "search", project or "", "every patient, by ID")
            found = self._known_as(patient.strip(), project)
        if not found:
            raise NoWayBack("the vault knows no patient of this pseudonym or ID")
        for each in sorted(found):
            self._note(asker, "forget", *each)
            self._rows.forget(*each, self._clock())
            self._at_hand.pop(each, None)
        return sorted(found)

    def _known_as(self, identifier: str, project: str | None) -> set[tuple[str, str]]:
        """Find patients by their original ID, which no index knows: every row is opened."""
        found = {
            (each.project, each.patient)
            for each in self._opened(self._rows.every(project, account.PATIENT))
            if each.value.strip() == identifier and each.pseudonym == each.patient
        }
        if len({each for each, _ in found}) < len(found):
            named = ", ".join(pseudonym for _, pseudonym in sorted(found))
            raise NoWayBack(f"several patients have this ID; name one by pseudonym: {named}")
        return found

    def rotate(self, asker: Asker, progress: Callable[[int], None] = lambda _: None) -> int:
        """Wrap every key anew under the current vault key, and say how many were.

        May be stopped and repeated at any moment: each key is under one vault key or the other.
        Raises NoVaultKey for a key that is under neither the current nor an older one.
        """
        self._note(asker, "rotate", "", self._keys.current.id)
        count = 0
        while rows := self._rows.keys_not_under(self._keys.current.id, _BATCH):
            fresh = [self._keys.current.wrap(self._keys.unwrap(row)) for row in rows]
            self._rows.rewrap(fresh)
            count += len(fresh)
            progress(len(fresh))
        return count

    def to_rotate(self) -> int:
        """Count the keys that `rotate` would wrap anew."""
        return self._rows.count_keys_not_under(self._keys.current.id)

    def reidentify(self, project: str, part10: memoryview, asker: Asker) -> Reidentified:
        """Give a result its identity back; see deid.vault.reidentify."""
        return reidentify(part10, _AuditedWay(self, project, asker))

    def entries(self) -> Iterator[AuditEntry]:
        """Give the audit trail, oldest first."""
        return self._trail.entries()

    def verify(self, head: str = "") -> Verdict:
        """See that the audit trail is whole, and holds the MAC that was noted before."""
        return self._chain().verify(self._trail.entries(), head)

    def study(self, project: str, patient: str, study: str, asker: Asker) -> Snapshot:
        """Open a study's modules, for the record. Raises NoWayBack."""
        key = self._rows.key(project, patient) if patient != _TRAIL else None
        row = self._rows.study(project, patient, study) if key else None
        forgotten = key is None and self._rows.is_forgotten(project, patient)
        subject = f"{patient if key or forgotten else UNKNOWN} {study if row else UNKNOWN}"
        self._note(asker, "reidentify", project, subject)
        if forgotten:
            raise NoWayBack("the patient was forgotten: this result cannot be given back")
        if key is None:
            raise NoWayBack("the vault does not know the patient of this result")
        if row is None:
            raise NoWayBack("the vault does not know the study of this result for its patient")
        return snapshot.read(self._keys.unwrap(key).open_study(row))

    def uids(self, project: str, patient: str, pseudonyms: Collection[str]) -> dict[str, str]:
        """Give the originals of a patient's UIDs, whose study was opened for the record."""
        rows = self._rows.originals(project, patient, account.UID, list(pseudonyms))
        return {each.pseudonym: each.value for each in self._opened(rows)}

    def _hand(self, project: str, patient: str) -> _AtHand:
        """Give what is at hand of a patient; whoever is new gets a key."""
        place = (project, patient)
        hand = self._at_hand.get(place)
        if hand is None:
            if patient == _TRAIL:
                raise NoWayBack("an object without a patient's pseudonym has no way back")
            hand = self._at_hand[place] = _AtHand(self._claimed(project, patient))
            if len(self._at_hand) > _PATIENTS_AT_HAND:
                self._at_hand.popitem(last=False)
        self._at_hand.move_to_end(place)
        return hand

    def _claimed(self, project: str, patient: str) -> DataKey | None:
        row = self._rows.key(project, patient)
        if row is None:
            fresh = self._keys.fresh(project, patient)
            row = self._rows.claim_key(self._keys.current.wrap(fresh), self._keys.ids)
        return None if row is None else self._keys.unwrap(row)

    def _opened(self, rows: Iterable[SealedOriginal]) -> Iterator[Found]:
        """Open rows; those of one patient stand together, so that each key is unwrapped once."""
        key: DataKey | None = None
        for row in rows:
            if key is None or (key.project, key.patient) != (row.project, row.patient):
                wrapped = self._rows.key(row.project, row.patient)
                if wrapped is None:
                    continue  # forgotten since the row was read
                key = self._keys.unwrap(wrapped)
            value = key.open_original(row)
            yield Found(row.project, row.patient, row.kind, row.pseudonym, value)

    def _chain(self) -> Chain:
        key = self._claimed(_TRAIL, _TRAIL)
        if key is None:
            raise VaultTampered("the key of the audit trail is gone; restore vault.db")
        return Chain(key.secret)

    def _note(self, asker: Asker, action: str, project: str, subject: str) -> None:
        chain, at = self._chain(), self._clock()

        def entry(number: int, previous: str) -> AuditEntry:
            facts = (number, at, asker.who, action, project, subject, asker.purpose)
            return chain.link(AuditEntry(*facts, mac=""), previous)

        self._trail.append(entry)


@dataclass(frozen=True, slots=True)
class _AuditedWay:
    """The way back within one project, for one asker."""

    vault: Vault
    project: str
    asker: Asker

    def study(self, patient: str, study_instance_uid: str) -> Snapshot:
        return self.vault.study(self.project, patient, study_instance_uid, self.asker)

    def uids(self, patient: str, pseudonyms: Collection[str]) -> Mapping[str, str]:
        return self.vault.uids(self.project, patient, pseudonyms)
