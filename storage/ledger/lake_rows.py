"""The ledger's rows that go into a lake, with what belongs to each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, select

from dicom.entity import Instance
from storage.ledger.database import Database
from storage.ledger.intake import instance_of
from storage.ledger.lakes import Step
from storage.ledger.schema import events, instances, receipts, series

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class LakeInstance:
    """An Instance as a lake shows it."""

    id: int
    instance: Instance
    study_instance_uid: str
    """"" while nobody could file it."""
    series_instance_uid: str
    modality: str
    conflict: bool
    is_released: bool


@dataclass(frozen=True, slots=True)
class LakeReceipt:
    """A receipt with where its original came from."""

    receipt: Mapping[str, Any]
    study_instance_uid: str
    """Of the original, as the next one; "" where it is not known any more."""
    series_instance_uid: str
    modality: str
    received_at: float | None


class LakeRows:
    """Reads what a step is about, some rows in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def instances(self, step: Step) -> Iterator[LakeInstance]:
        """Give the Instances of a step in the order in which they came."""
        mine = instances.c.node == step.node
        query = select(instances, series.c.modality).outerjoin(series, _SAME_SERIES).where(mine)
        for row in self._pages(query, instances.c.id, step):
            yield LakeInstance(
                row.id, instance_of(row), row.study_instance_uid, row.series_instance_uid,
                row.modality or "", row.conflict, row.released_at is not None,
            )  # fmt: skip

    def receipts(self, step: Step) -> Iterator[LakeReceipt]:
        """Give the receipts of a step in the order in which they were written."""
        origin = (
            instances.c.study_instance_uid.label("of_study"),
            instances.c.series_instance_uid.label("of_series"),
            instances.c.received_at.label("of_received_at"),
            series.c.modality.label("of_modality"),
        )
        beside = receipts.outerjoin(instances, _ORIGINAL).outerjoin(series, _SAME_SERIES)
        query = select(receipts, *origin).select_from(beside)
        for row in self._pages(query, receipts.c.id, step):
            own = {column.name: row._mapping[column] for column in receipts.c}  # noqa: SLF001  (SQLAlchemy's public name for it)
            yield LakeReceipt(
                own, row.of_study or "", row.of_series or "", row.of_modality or "",
                row.of_received_at,
            )  # fmt: skip

    def events(self, step: Step) -> Iterator[Mapping[str, Any]]:
        """Give the events of a step: id, type, subject, data, and at in seconds."""
        for row in self._pages(select(events), events.c.id, step):
            yield {name: row._mapping[name] for name in ("id", "type", "subject", "data", "at")}  # noqa: SLF001  (as above)

    def _pages(self, query: Any, key: Any, step: Step) -> Iterator[Any]:
        after = step.first
        while True:
            some = query.where(key > after, key <= step.last).order_by(key).limit(_PAGE)
            with self._database.read() as db:
                rows = db.execute(some).all()
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1]._mapping[key]  # noqa: SLF001  (as above)


_SAME_SERIES: Final = and_(
    series.c.study_instance_uid == instances.c.study_instance_uid,
    series.c.series_instance_uid == instances.c.series_instance_uid,
)
_ORIGINAL: Final = and_(
    instances.c.sop_instance_uid == receipts.c.source_uid,
    instances.c.digest == receipts.c.source_digest,
)
