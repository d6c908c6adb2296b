"""Hold rules against Series, those of files and those of the past, without owing anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from config.conditions import Attributes, Undecided
from config.model import Settings
from dicom import part10
from dicom.entity import Arrival, Origin, SeriesKey
from dicom.errors import CannotUnderstand, DoesNotMatch, Fault, StorageFault
from node.keys import spool_keys
from node.traits import Traits, attributes, route
from routing.explain import Account, explain
from routing.job import NewJob
from routing.plan import Settled, plan
from routing.replay import Change, compare
from routing.rules import Rule, compile_rules
from storage.ledger.ledger import Ledger
from storage.ledger.past import Past, PastSeries
from storage.spool.reader import SpoolReader


@dataclass(frozen=True, slots=True)
class Sender:
    """Who is taken to have sent files, and when."""

    calling_ae: str
    called_ae: str
    at: float


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A Series, how each rule fared with it, and what it would owe."""

    key: SeriesKey
    revision: int
    """The one that has settled last, or that would be the first."""
    origin: Origin
    accounts: tuple[Account, ...]
    owed: tuple[NewJob, ...]
    made: tuple[NewJob, ...] | None = None
    """What the node made of it; None for files, and for a Series that has not settled."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A Series of the past under other rules."""

    past: PastSeries
    change: Change | None
    """None where the Series could not be read."""
    undecided: tuple[tuple[Rule, Undecided], ...] = ()
    fault: Fault | None = None


def of_files(settings: Settings, files: Sequence[Path], sender: Sender) -> Iterator[Rehearsed]:
    """Hold the rules against the Series of Part 10 files; each Series' first file speaks for it.

    Raises CannotUnderstand for what is no DICOM file, naming it.
    """
    rules = compile_rules(settings.rules)
    arrival = Arrival("", "", "", sender.calling_ae, sender.called_ae, "", "", sender.at)
    seen: set[SeriesKey] = set()
    for file in files:
        with file.open("rb") as stream:
            try:
                head = part10.read_head(stream)
            except CannotUnderstand as fault:
                raise CannotUnderstand(f"{file}: {fault}") from fault
        uids = (part10.text(head, f"{level}InstanceUID") for level in ("Study", "Series"))
        key = SeriesKey(*uids)
        if key in seen:
            continue
        seen.add(key)
        asked = attributes(route(arrival, settings.peers), lambda head=head: head)  # type: ignore[misc]  # (bound in the loop)
        yield _rehearsed(Settled(key, 1, Origin.DIMSE, "", asked), rules)


def of_study(settings: Settings, study_instance_uid: str) -> list[Rehearsed]:
    """Hold the rules against the Series of a Study that the node has; it may run meanwhile.

    Raises DoesNotMatch where there is none, StorageFault where its bytes cannot be read.
    """
    with _Archive(settings) as archive:
        found = [
            _rehearsed(archive.settled(one), archive.rules, one.jobs if one.revision else None)
            for one in archive.past.of_study(study_instance_uid)
        ]
    if not found:
        raise DoesNotMatch(f"study {study_instance_uid} is not known here")
    return found


def replay(settings: Settings, since: float) -> Iterator[Replayed]:
    """Say of each Series that settled since a time what other rules would change; sends nothing."""
    with _Archive(settings) as archive:
        for one in archive.past.settled_since(since):
            try:
                owed = plan(archive.settled(one), archive.rules)
            except (StorageFault, CannotUnderstand) as fault:
                yield Replayed(one, None, fault=fault)
            else:
                yield Replayed(one, compare(one.jobs, owed.jobs), owed.undecided)


def _rehearsed(
    series: Settled, rules: Sequence[Rule], made: tuple[NewJob, ...] | None = None
) -> Rehearsed:
    is_result = series.origin is Origin.AI
    accounts = () if is_result else tuple(explain(rules, series.attributes))
    owed = plan(series, rules).jobs
    return Rehearsed(series.key, series.revision, series.origin, accounts, owed, made)


class _Archive:
    """What the node of a config file has kept, opened to be looked at."""

    def __init__(self, settings: Settings) -> None:
        data_dir = settings.node.data_dir
        self.rules = compile_rules(settings.rules)
        reader = SpoolReader(data_dir / "spool", spool_keys(settings.node))
        self._traits = Traits(reader, self.rules, settings.peers)
        self._ledger = Ledger.open_existing(data_dir)
        self.past = Past(self._ledger.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.close()

    def settled(self, one: PastSeries) -> Settled:
        """Make of a Series of the past what is planned for. Raises as Traits.read."""
        asked: Attributes = self._traits.read(one.example)
        return Settled(one.key, one.revision or 1, one.origin, one.rule, asked)
