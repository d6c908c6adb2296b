"""The registry of models: which versions there are, which is live, who decided that and when."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, select, update

from dicom.errors import Refused
from storage.ledger import events
from storage.ledger.database import Database
from storage.ledger.inferences_schema import model_moves, model_versions

MOVED: Final = "penumbra.model.moved"


class Stage(StrEnum):
    """Where a version stands."""

    CANDIDATE = "candidate"
    """Known, and never asked."""
    SHADOW = "shadow"
    """Asked beside the live one, and goes nowhere but into the record; at most one of a model."""
    LIVE = "live"
    """Asked for results; at most one version of a model."""
    RETIRED = "retired"
    """Was live or a shadow, and is not asked any more."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model."""

    model: str
    """By its name in the config."""
    version: str
    """As its server counts."""
    digest: str
    """SHA-256 (hex) of the model's file; empty where nobody said."""
    stage: Stage
    algorithm: str
    source: str
    added_at: float
    added_by: str


@dataclass(frozen=True, slots=True)
class Move:
    """One decision about a version."""

    model: str
    version: str
    before: str
    after: str
    reason: str
    by: str
    at: float


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides, why and when."""

    by: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Asked:
    """Which versions of a model are to be asked."""

    live: str
    """Empty for what its server takes for the newest."""
    shadow: str
    """Empty for none."""
    digests: Mapping[str, str]


_ALONE: Final = frozenset({Stage.LIVE, Stage.SHADOW})


class Registry:
    """Versions of models and the decisions about them. A model without any is asked as ever."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, version: Version) -> bool:
        """Write a version down; says whether it is new. Raises Refused.

        The same again is nothing new. A version that is known with another digest is refused: a
        number stands for one file for ever.
        """
        with self._database.write() as db:
            known = {one.version: one for one in _of(db, version.model, to_change=True)}.get(
                version.version
            )
            if known is not None:
                if version.digest and known.digest and known.digest != version.digest:
                    words = f"{version.model} version {version.version} is registered with SHA-256"
                    raise Refused(f"{words} {known.digest[:16]}..., and this is another file")
                if version.digest and not known.digest:
                    here = _is(version.model, version.version)
                    db.execute(update(model_versions).where(*here).values(digest=version.digest))
                return False
            db.execute(model_versions.insert().values(**asdict(version)))
            decision = Decision(version.added_by, version.source, version.added_at)
            _note(db, version, version.stage, decision)
            return True

    def move(self, model: str, version: str, stage: Stage, decision: Decision) -> Version:
        """Bring a version to a stage; a live version or a shadow that it replaces is retired.

        Raises Refused where there is no such version, or it stands there already.
        """
        with self._database.write() as db:
            versions = {one.version: one for one in _of(db, model, to_change=True)}
            found = versions.get(version)
            if found is None:
                raise Refused(f"{model} has no version {version}: `penumbra model list` says which")
            if found.stage is stage:
                raise Refused(f"{model} version {version} is {stage} already")
            because = replace(decision, reason=f"version {version} is {stage}")
            for other in versions.values():
                if other.stage is stage and stage in _ALONE:
                    _set(db, other, Stage.RETIRED, because)
            _set(db, found, stage, decision)
        return replace(found, stage=stage)

    def rollback(self, model: str, decision: Decision) -> Version:
        """Bring back the version that was live before the one that is. Raises Refused."""
        live = {one.version for one in self.versions(model) if one.stage is Stage.LIVE}
        for move in self.moves(model):
            if move.after == Stage.LIVE and move.version not in live:
                return self.move(model, move.version, Stage.LIVE, decision)
        raise Refused(f"{model} has had no other live version to go back to")

    def versions(self, model: str = "") -> list[Version]:
        """List the versions of a model, or of all, in the order in which they came."""
        with self._database.read() as db:
            return _of(db, model)

    def moves(self, model: str = "", limit: int = 1000) -> list[Move]:
        """List decisions, newest first."""
        query = select(*(model_moves.c[name] for name in Move.__dataclass_fields__))
        if model:
            query = query.where(model_moves.c.model == model)
        with self._database.read() as db:
            found = db.execute(query.order_by(model_moves.c.id.desc()).limit(limit)).mappings()
            return [Move(**row) for row in found]

    def asked(self, model: str) -> Asked:
        """Say which versions are to be asked now."""
        versions = self.versions(model)
        return Asked(
            next((one.version for one in versions if one.stage is Stage.LIVE), ""),
            next((one.version for one in versions if one.stage is Stage.SHADOW), ""),
            {one.version: one.digest for one in versions},
        )


def _is(model: str, version: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return model_versions.c.model == model, model_versions.c.version == version


def _of(db: Connection, model: str, *, to_change: bool = False) -> list[Version]:
    """Read versions; whoever else would change them waits for this transaction's end."""
    query = select(model_versions).order_by(model_versions.c.added_at, model_versions.c.version)
    if model:
        query = query.where(model_versions.c.model == model)
    if to_change:
        query = query.with_for_update()
    return [_read(row) for row in db.execute(query).mappings()]


def _read(row: Mapping[Any, Any]) -> Version:
    return Version(**{**row, "stage": Stage(row["stage"])})


def _set(db: Connection, found: Version, stage: Stage, decision: Decision) -> None:
    here = _is(found.model, found.version)
    db.execute(update(model_versions).where(*here).values(stage=stage))
    _note(db, found, stage, decision, before=found.stage)


def _note(
    db: Connection, one: Version, after: Stage, decision: Decision, *, before: str = ""
) -> None:
    who = asdict(decision)
    facts = {"version": one.version, "before": before, "after": after}
    db.execute(model_moves.insert().values(model=one.model, **facts, **who))
    told = {**facts, "by": decision.by, "reason": decision.reason}
    events.record(db, [events.NewEvent(MOVED, one.model, told)], decision.at)
