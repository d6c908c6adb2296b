"""Export what is new to a lake: step by step, each put there whole before it is noted as done.

Rows come from the ledger and heads from the spool, so that an export needs no running front and
costs the index nothing. A step's rows are fixed before any is read, and its files are named by
them: a worker that is killed leaves files that the next one replaces by the same, never a second
copy.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from config.destinations import FolderDestination, ObjectStoreDestination
from config.lake import Lake
from dicom.errors import ConfigFault, DeidFault, Fault
from node.workers.lake_veil import Veiled
from node.workers.lake_view import Named, View
from node.workers.workshop import Done, Workshop
from routing.job import Job
from storage.destinations.folder import Folder
from storage.destinations.object_store import ObjectStore
from storage.lake.parts import File, Placed, files_of
from storage.lake.paths import part_name
from storage.ledger.events import NewEvent
from storage.ledger.lake_rows import LakeInstance
from storage.ledger.lakes import Part, Step, Written

T = TypeVar("T")

EXPORTED = "penumbra.lake.exported"
"""The type of the event that a lake has news."""


def export(job: Job, workshop: Workshop) -> Done:
    """Export everything that a lake does not have yet.

    Raises a DeliveryFault of the destination, and, once everything else is there, the fault of the
    first row that may not leave. A job that was held for such rows and is tried again tries them
    again.
    """
    name = job.spec.rule
    lake = workshop.settings.lakes.get(name)
    if lake is None:
        return Done(f"[lakes.{name}] is not in the config any more", is_answer=False)
    lakes = workshop.ledger.lakes
    if job.fault:
        lakes.repeat_withheld(name)
    lakes.repeat_filed(name)
    run = _Run(job, workshop, name, lake, view_of(lake, workshop))
    if lake.destination not in workshop.settings.destinations:
        raise ConfigFault([(f"lakes.{name}.destination", "is not in the config any more")])
    with closing(workshop.destination(lake.destination)) as place:
        assert isinstance(place, (ObjectStore, Folder))  # config/lake_checks.py
        for table in lake.exported:
            while step := lakes.begin(name, table, lake.rows):
                run.do(step, place)
    run.require_all()
    return run.done()


def view_of(lake: Lake, workshop: Workshop) -> View:
    """Choose what a lake shows. Raises ConfigFault for a profile that the config lost."""
    if lake.profile is not None:
        return Veiled(workshop, workshop.profile(lake.profile))
    if not lake.identity:  # config/lake_checks.py does not let it come to this
        raise ConfigFault([("lakes", "has neither profile nor identity = true")])
    return Named(workshop.reader)


def is_a_place(settings: object) -> bool:
    """Whether files can be put to a destination of these settings."""
    return isinstance(settings, (FolderDestination, ObjectStoreDestination))


@dataclass(slots=True)
class _Run:
    """One run of an export."""

    job: Job
    workshop: Workshop
    name: str
    lake: Lake
    view: View
    rows: Counter[str] = field(default_factory=Counter)
    files: int = 0
    withheld: int = 0
    first: Fault | None = None
    """Why the first of these was withheld."""

    def do(self, step: Step, place: ObjectStore | Folder) -> None:
        """Put the files of a step, then note it."""
        refused: Counter[str] = Counter()
        unfiled: list[int] = []
        placed = self._placed(step, refused, unfiled)
        orders_by = self.view.orders_by if step.part == "metadata" else ""
        parts = [
            self._put(step, file, place)
            for file in files_of(step.part, placed, orders_by=orders_by)
        ]
        lying = {part.location for part in parts}
        place.remove([each for each in step.stale if each not in lying])
        now = self.workshop.ledger.database.now()
        written = Written(parts, refused, unfiled, self.view.profile)
        self.workshop.check_stop()
        self.workshop.ledger.lakes.finish(step, written, self.job.id, now)
        self.rows[step.part] += sum(part.rows for part in parts)
        self.files += len(parts)

    def _put(self, step: Step, file: File, place: ObjectStore | Folder) -> Part:
        self.workshop.check_stop()
        partition, rows = (file.date, file.modality), (step.first, step.last)
        key = part_name(self.name, step.part, partition, rows, file.number)
        location = place.replace(key, file.content)
        digest = hashlib.sha256(file.content).hexdigest()
        return Part(location, file.date, file.modality, file.rows, len(file.content), digest)

    def _placed(self, step: Step, refused: Counter[str], unfiled: list[int]) -> Iterator[Placed]:
        """Give the rows of a step, and count those that stay behind."""
        rows = self.workshop.ledger.lake_rows
        if step.part == "lineage":
            yield from map(self.view.receipt, self._heeding(rows.receipts(step)))
            return
        if step.part == "events":
            yield from map(self.view.event, self._heeding(rows.events(step)))
            return

        def filed() -> Iterator[LakeInstance]:
            for one in self._heeding(rows.instances(step)):
                if one.study_instance_uid:
                    yield one
                else:
                    unfiled.append(one.id)

        for _, shown in self.view.instances(filed()):
            if isinstance(shown, Placed):
                yield shown
            else:
                refused[shown.code] += 1
                self.withheld += 1
                self.first = self.first or shown

    def _heeding(self, rows: Iterator[T]) -> Iterator[T]:
        """Give rows on, and stop where the worker shall."""
        for row in rows:
            self.workshop.check_stop()
            yield row

    def require_all(self) -> None:
        """Raise the first fault of a row that may not leave."""
        first = self.first
        if first is None:
            return
        whole = self.withheld + self.rows["metadata"]
        words = f"{self.withheld} of {whole} Instances are not in the lake: {first}"
        raise (type(first) if isinstance(first, DeidFault) else DeidFault)(words)

    def done(self) -> Done:
        """Say what was exported; of events alone there is no event, or there were always news."""
        told = ", ".join(f"{self.rows[table]} {table}" for table in self.lake.exported)
        facts: dict[str, object] = {
            "lake": self.name, "destination": self.lake.destination, "files": self.files,
        }  # fmt: skip
        facts |= {table: self.rows[table] for table in self.lake.exported}
        is_news = self.rows["metadata"] or self.rows["lineage"]
        return Done(
            f"{told} in {self.files} files",
            [NewEvent(EXPORTED, self.name, facts)] if is_news else [],
            is_answer=bool(self.files),
        )
