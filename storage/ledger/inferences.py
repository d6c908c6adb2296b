"""What models were asked and what they answered: one row for each inference, live or shadow."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sqlalchemy import Select, and_, select

from storage.ledger.database import Database, node_of
from storage.ledger.inferences_schema import inferences

LIVE: Final = "live"
SHADOW: Final = "shadow"
FOUND: Final = "found"
NOTHING: Final = "nothing"
REFUSED: Final = "refused"
"""The Series is not what the model wants, or the model said so."""
FAILED: Final = "failed"
"""The answer breaks the contract, or a shadow did not answer."""
HELD: Final = "held"
"""The gate let no result of it pass."""


@dataclass(frozen=True, slots=True)
class Inference:
    """One question to a model. No patient's data: UIDs, numbers, and words of ours."""

    job: int
    model: str
    """By its name in the config."""
    served_model: str
    version: str
    digest: str
    stage: str
    """LIVE or SHADOW."""
    server: str
    endpoint: str
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    rule: str
    outcome: str
    """FOUND, NOTHING, REFUSED, FAILED or HELD."""
    words: str
    images: int
    is_cached: bool
    input_digest: str
    scanner: str
    """Manufacturer, model and station: what drift is watched by, with the protocol."""
    protocol: str
    began_at: float
    """Seconds since the epoch."""
    read_s: float
    model_s: float
    report_s: float
    outputs: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, float] = field(default_factory=dict)
    results: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """An inference as it stands in the ledger."""

    id: int
    beside: int | None
    """Of a shadow: the live inference beside which it was asked."""
    said: Inference


class Inferences:
    """Written by workers; read by whoever watches models, and by the index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, live: Inference, shadows: Sequence[Inference] = ()) -> int:
        """Write an inference down with its shadows; returns its id. Raises StorageFault.

        A job that is done again has a row for each time.
        """
        with self._database.write() as db:
            here = {"node": node_of(db)}
            made = db.execute(inferences.insert().values(**_row(live), **here))
            (number,) = made.inserted_primary_key or (0,)
            if shadows:
                beside = {**here, "beside": number}
                db.execute(inferences.insert(), [{**_row(one), **beside} for one in shadows])
        return int(number)

    def newest(
        self, model: str, *, version: str = "", limit: int = 100, stage: str = ""
    ) -> list[Kept]:
        """Give the newest inferences of a model, or of a version of it, newest first."""
        query = select(inferences).where(inferences.c.model == model)
        if version:
            query = query.where(inferences.c.version == version)
        if stage:
            query = query.where(inferences.c.stage == stage)
        return self._kept(query.order_by(inferences.c.id.desc()).limit(limit))

    def of_group(
        self, model: str, version: str, scanner: str, protocol: str, *, limit: int, newest: bool
    ) -> list[Kept]:
        """Give the first or the newest inferences on one scanner's protocol that found something.

        Oldest first, whichever they are.
        """
        order = inferences.c.id.desc() if newest else inferences.c.id
        query = select(inferences).where(
            and_(
                inferences.c.model == model,
                inferences.c.version == version,
                inferences.c.scanner == scanner,
                inferences.c.protocol == protocol,
                inferences.c.outcome.in_([FOUND, NOTHING]),
            )
        )
        found = self._kept(query.order_by(order).limit(limit))
        return found[::-1] if newest else found

    def groups(self, model: str) -> list[tuple[str, str, str]]:
        """List the versions, scanners and protocols that a model was asked about."""
        columns = (inferences.c.version, inferences.c.scanner, inferences.c.protocol)
        query = select(*columns).where(inferences.c.model == model).distinct().order_by(*columns)
        with self._database.read() as db:
            return [(row[0], row[1], row[2]) for row in db.execute(query)]

    def pairs(self, model: str, shadow: str, limit: int = 1000) -> list[tuple[Kept, Kept]]:
        """Give the newest pairs of a live inference and that of a shadow version beside it."""
        query = select(inferences).where(
            inferences.c.model == model,
            inferences.c.version == shadow,
            inferences.c.beside.is_not(None),
        )
        shadows = self._kept(query.order_by(inferences.c.id.desc()).limit(limit))
        lives = self._kept(
            select(inferences).where(inferences.c.id.in_({one.beside for one in shadows}))
        )
        by_id = {one.id: one for one in lives}
        return [(by_id[one.beside], one) for one in shadows if one.beside in by_id]

    def _kept(self, query: Select[Any]) -> list[Kept]:
        with self._database.read() as db:
            return [_read(row) for row in db.execute(query).mappings()]


def _row(one: Inference) -> dict[str, object]:
    row = asdict(one)
    return {**row, "results": {kind: list(uids) for kind, uids in one.results.items()}}


def _read(row: Mapping[Any, Any]) -> Kept:
    facts = {name: row[name] for name in Inference.__dataclass_fields__}
    return Kept(row["id"], row["beside"], Inference(**facts))
