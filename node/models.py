"""What people see and decide about models: versions, drift, and agreement of shadows."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ai.agreement import Agreement, agreement
from ai.drift import ALARM, Drift, compare
from config.model import Settings
from dicom.errors import DoesNotMatch, Refused
from node.moments import utc
from storage.ledger.inferences import Kept
from storage.ledger.ledger import Ledger
from storage.ledger.models import Decision, Move, Stage, Version

REFERENCE: Final = 200
"""The first inferences of a version on a scanner's protocol: later ones are held against them."""
WINDOW: Final = 100
"""The newest of them, none of which is among the first."""


@dataclass(frozen=True, slots=True)
class Group:
    """One version of a model on one scanner's protocol."""

    model: str
    version: str
    scanner: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Watched:
    """What has moved in a group."""

    group: Group
    newer: int
    """Inferences in the newer sample; 0 while there are no more than the reference."""
    drifts: tuple[Drift, ...]
    """What moved most comes first."""


class Models:
    """The models of one node. Every method raises StorageFault where the ledger does not answer."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger

    def versions(self, model: str = "") -> list[Version]:
        """List the versions that are registered, of a model or of all. Raises DoesNotMatch."""
        if model:
            self._require(model)
        return self._ledger.registry.versions(model)

    def moves(self, model: str) -> list[Move]:
        """List the decisions about a model, newest first. Raises DoesNotMatch."""
        self._require(model)
        return self._ledger.registry.moves(model)

    def register(self, version: Version) -> bool:
        """Write a version down; says whether it is new. Raises DoesNotMatch, Refused."""
        self._require(version.model)
        return self._ledger.registry.add(version)

    def move(self, model: str, version: str, stage: Stage, decision: Decision) -> Version:
        """Bring a version to a stage. Raises DoesNotMatch, Refused."""
        self._require(model)
        fixed = self._settings.models[model].version
        if stage is Stage.LIVE and fixed not in {"", version}:
            raise Refused(
                f'[models.{model}] version = "{fixed}" fixes which one is asked: take it out of'
                " the config file, so that the registry decides"
            )
        return self._ledger.registry.move(model, version, stage, decision)

    def rollback(self, model: str, decision: Decision) -> Version:
        """Bring back the version that was live before. Raises DoesNotMatch, Refused."""
        self._require(model)
        return self._ledger.registry.rollback(model, decision)

    def history(self, model: str, limit: int) -> list[Kept]:
        """List the newest inferences of a model, newest first. Raises DoesNotMatch."""
        self._require(model)
        return self._ledger.inferences.newest(model, limit=limit)

    def drifts(self, model: str) -> list[Watched]:
        """Hold the newest inferences of each group against its first. Raises DoesNotMatch."""
        self._require(model)
        groups = self._ledger.inferences.groups(model)
        return [watch(self._ledger, Group(model, *group)) for group in groups]

    def agreements(self, model: str) -> dict[str, list[Agreement]]:
        """Compare each version that was a shadow with the live one beside it.

        Raises DoesNotMatch.
        """
        self._require(model)
        versions = dict.fromkeys(one for one, _, _ in self._ledger.inferences.groups(model))
        found = {}
        for version in versions:
            if pairs := self._ledger.inferences.pairs(model, version):
                numbers = [(live.said.outputs, shadow.said.outputs) for live, shadow in pairs]
                found[version] = agreement(numbers)
        return found

    def _require(self, model: str) -> None:
        if model not in self._settings.models:
            known = ", ".join(sorted(self._settings.models)) or "none"
            raise DoesNotMatch(f"the config has no [models.{model}]; it has {known}")


def watch(ledger: Ledger, group: Group) -> Watched:
    """Hold the newest inferences of a group against its first. Raises StorageFault."""
    key = (group.model, group.version, group.scanner, group.protocol)
    first = ledger.inferences.of_group(*key, limit=REFERENCE, newest=False)
    newest = ledger.inferences.of_group(*key, limit=WINDOW, newest=True)
    last = first[-1].id if first else 0
    later = [one for one in newest if one.id > last]
    return Watched(group, len(later), tuple(compare(_numbers(first), _numbers(later))))


def digest_of(file: Path) -> str:
    """Compute the SHA-256 (hex) of a model's file. Raises Refused where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as fault:
        raise Refused(f"{file}: {fault.strerror}") from fault


def _numbers(rows: Sequence[Kept]) -> list[Mapping[str, float]]:
    return [{**one.said.features, **one.said.outputs} for one in rows]


def plain_version(one: Version) -> dict[str, Any]:
    """Give a version as JSON has it."""
    return {**asdict(one), "stage": str(one.stage), "added_at": utc(one.added_at)}


def plain_move(one: Move) -> dict[str, Any]:
    """Give a decision as JSON has it."""
    return {**asdict(one), "at": utc(one.at)}


def plain_watched(one: Watched) -> dict[str, Any]:
    """Give what has moved in a group as JSON has it."""
    drifts = [
        {**{name: _finite(value) for name, value in asdict(each).items()}, "name": each.name}
        for each in one.drifts
    ]
    is_alarm = any(each.psi > ALARM for each in one.drifts)
    return {**asdict(one.group), "newer": one.newer, "alarm": is_alarm, "numbers": drifts}


def _finite(value: Any) -> Any:
    return value if not isinstance(value, float) or math.isfinite(value) else None
