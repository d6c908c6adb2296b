"""Hold rules against Series, those of files and those of the past, without owing anything."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydicom.dataset import Dataset

from config.conditions import Undecided
from config.destinations import results_taken
from config.model import Settings
from dicom import part10
from dicom.entity import Arrival, Origin, SeriesKey
from dicom.errors import CannotUnderstand, DoesNotMatch, Fault, StorageFault
from node.keys import spool_keys
from node.ledger import open_ledger
from node.traits import Traits, attributes, route, with_study
from routing.explain import Account, explain
from routing.job import NewJob
from routing.plan import ALL, Plan, Settled, Taken, plan, plan_both, timed
from routing.replay import Change, compare
from routing.rules import Per, Rule, compile_rules
from storage.ledger.past import Past, PastSeries
from storage.ledger.studies import StudyTraits
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
    why: str = ""
    """Why it counted as complete."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A Series of the past under other rules."""

    past: PastSeries
    change: Change | None
    """None where the Series could not be read."""
    undecided: tuple[tuple[Rule, Undecided], ...] = ()
    fault: Fault | None = None
    is_whole: bool = False
    """Whether every rule was asked: those per Study are once their Study has settled."""


def of_files(settings: Settings, files: Sequence[Path], sender: Sender) -> Iterator[Rehearsed]:
    """Hold the rules against the Series of Part 10 files; each Series' first file speaks for it.

    Raises CannotUnderstand for what is no DICOM file, naming it.
    """
    rules = compile_rules(settings.rules)
    arrival = Arrival("", "", "", sender.calling_ae, sender.called_ae, "", "", sender.at)
    firsts: dict[SeriesKey, Dataset] = {}
    counts: Counter[str] = Counter()
    for file in files:
        with file.open("rb") as stream:
            try:
                head: Dataset = part10.read_head(stream)
            except CannotUnderstand as fault:
                raise CannotUnderstand(f"{file}: {fault}") from fault
        uids = (part10.text(head, f"{level}InstanceUID") for level in ("Study", "Series"))
        key = SeriesKey(*uids)
        counts[key.study_instance_uid] += 1
        firsts.setdefault(key, head)
    for key, head in firsts.items():
        own = attributes(route(arrival, settings.peers), lambda head=head: head)  # type: ignore[misc]  # (bound in the loop)
        asked = with_study(own, _study_of(firsts, key.study_instance_uid, counts))
        yield _rehearsed(Settled(key, 1, Origin.DIMSE, "", asked), rules)


def _study_of(firsts: Mapping[SeriesKey, Dataset], study: str, counts: Counter[str]) -> StudyTraits:
    """Take files for a whole Study."""
    heads = [head for key, head in firsts.items() if key.study_instance_uid == study]
    modalities = {part10.text(head, "Modality") for head in heads}
    return StudyTraits(tuple(sorted(modalities - {""})), len(heads), counts[study])


def of_study(settings: Settings, study_instance_uid: str) -> list[Rehearsed]:
    """Hold the rules against the Series of a Study that the node has; it may run meanwhile.

    Raises DoesNotMatch where there is none, StorageFault where its bytes cannot be read.
    """
    with _Archive(settings) as archive:
        why = archive.reasons(study_instance_uid)
        found = [
            replace(
                _rehearsed(
                    archive.settled(one),
                    archive.rules,
                    one.jobs if one.revision else None,
                    archive.taken,
                ),
                why=why.get(one.key.series_instance_uid, ""),
            )
            for one in archive.past.of_study(study_instance_uid)
        ]
    if not found:
        raise DoesNotMatch(f"study {study_instance_uid} is not known here")
    return found


def replay(settings: Settings, since: float, study: str = "") -> Iterator[Replayed]:
    """Say of each Series that settled since a time what other rules would change; sends nothing.

    With a Study, of its Series alone.
    """
    with _Archive(settings) as archive:
        for one in archive.settled_since(since, study):
            is_whole = archive.asks_all(one.key.study_instance_uid)
            try:
                owed = archive.plan(one, whole=is_whole)
            except (StorageFault, CannotUnderstand) as fault:
                yield Replayed(one, None, fault=fault)
            else:
                change = compare(one.jobs, owed.jobs)
                yield Replayed(one, change, owed.undecided, is_whole=is_whole)


def _rehearsed(
    series: Settled,
    rules: Sequence[Rule],
    made: tuple[NewJob, ...] | None = None,
    taken: Taken = ALL,
) -> Rehearsed:
    is_result = series.origin is Origin.AI
    accounts = () if is_result else tuple(explain(rules, series.attributes))
    owed = timed(plan_both(series, rules, taken).jobs, rules, time.time())
    return Rehearsed(series.key, series.revision, series.origin, accounts, owed, made)


class _Archive:
    """What the node of a config file has kept, opened to be looked at."""

    def __init__(self, settings: Settings) -> None:
        data_dir = settings.node.data_dir
        self.rules = compile_rules(settings.rules)
        self.taken = results_taken(settings.destinations)
        reader = SpoolReader(data_dir / "spool", spool_keys(settings.node))
        self._traits = Traits(reader, self.rules, settings.peers)
        self._ledger = open_ledger(settings)
        self.past = Past(self._ledger.database)
        self._traits_of_study = lru_cache(maxsize=1)(self._ledger.studies.traits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.close()

    def settled(self, one: PastSeries) -> Settled:
        """Make of a Series of the past what is planned for. Raises as Traits.read."""
        study = self._traits_of_study(one.key.study_instance_uid)
        asked = with_study(self._traits.read(one.example), study)
        sop_class = one.example.arrival.sop_class_uid
        return Settled(one.key, one.revision or 1, one.origin, one.rule, asked, sop_class)

    def settled_since(self, since: float, study: str) -> Iterator[PastSeries]:
        """Yield the Series that settled since a time, of a Study if one is named."""
        if not study:
            return self.past.settled_since(since)
        found = self.past.of_study(study)
        return (one for one in found if one.settled_at is not None and one.settled_at >= since)

    def reasons(self, study_instance_uid: str) -> dict[str, str]:
        """Say of each Series of a Study why it counted as complete, the last time."""
        found = self._ledger.revisions.of_study(study_instance_uid)
        return {uid: revisions[-1].completion.words for uid, revisions in found.items()}

    def asks_all(self, study_instance_uid: str) -> bool:
        """Whether rules per Study can be asked now, or there are none."""
        if all(rule.per is Per.SERIES for rule in self.rules):
            return True
        return self._ledger.studies.is_settled(study_instance_uid)

    def plan(self, one: PastSeries, *, whole: bool) -> Plan:
        """Say what a Series owes, by rules per Study too if `whole`. Raises as `settled`."""
        series = self.settled(one)
        if whole:
            owed = plan_both(series, self.rules, self.taken)
        else:
            owed = plan(series, self.rules, taken=self.taken)
        return Plan(timed(owed.jobs, self.rules, time.time()), owed.undecided)
