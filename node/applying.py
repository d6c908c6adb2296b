"""Plan again for Series that have settled: what rules would make now, and did not then."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from config.model import Settings
from dicom.entity import SeriesKey
from dicom.errors import DoesNotMatch
from node.ledger import open_ledger
from node.rehearsal import replay
from routing.job import Kind, NewJob
from routing.plan import with_staging
from storage.ledger.events import NewEvent
from storage.ledger.unplanned import Unplanned

RULES_APPLIED = "penumbra.rules.applied"
"""The type of the event that somebody had jobs written afterwards."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What a Series would owe by the rules as they are, and was never written."""

    key: SeriesKey
    jobs: tuple[NewJob, ...]
    failed: tuple[str, ...] = ()
    """Rules of which nobody can say."""
    unread: str = ""
    """Why its first object cannot be read, as a fault's code."""
    decided: tuple[Unplanned, ...] = ()
    """Rules that could not say when it was planned, where all that is owed is among `jobs`."""


def missed(
    settings: Settings, since: float, *, study: str = "", rule: str = ""
) -> Iterator[Missed]:
    """Yield what Series that settled since a time lack, of one Study and one rule if named.

    Raises DoesNotMatch where there is no such rule.
    """
    if rule and rule not in {one.name for one in settings.rules}:
        raise DoesNotMatch(f"there is no rule {rule!r} in the config file")
    for one in replay(settings, since, study):
        if one.change is None:
            yield Missed(one.past.key, (), unread=one.fault.code if one.fault else "unknown")
            continue
        jobs = tuple(job for job in one.change.added if rule in {"", job.rule})
        undecided = {each.name for each, _ in one.undecided}
        failed = tuple(sorted(name for name in undecided if rule in {"", name}))
        # What an undecided rule says stop to, no other rule was asked about.
        is_all = one.is_whole and len(jobs) == len(one.change.added) and not undecided
        decided = one.past.undecided if is_all else ()
        if jobs or failed or decided:
            yield Missed(one.past.key, jobs, failed, decided=decided)


def write(settings: Settings, found: Sequence[Missed], by: str) -> int:
    """Write the jobs, and record who had them written; returns how many were not there yet.

    A Series of which every rule can say now is free to leave the spool again.
    """
    staging = settings.staging.destination if settings.staging else ""
    written = 0
    with closing(open_ledger(settings)) as ledger:
        for one in found:
            facts = {"study": one.key.study_instance_uid, "by": by, "jobs": len(one.jobs)}
            told = NewEvent(RULES_APPLIED, one.key.series_instance_uid, facts)
            jobs = with_staging(one.jobs, staging)
            fresh = ledger.settling.add(jobs, ledger.database.now(), told, one.decided)
            written += sum(job.kind is not Kind.STAGE for job in fresh)
    return written
