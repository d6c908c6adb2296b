"""What became of a Study: its Series, when each was complete, why, and the jobs that followed."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from config.model import Settings
from dicom.errors import DoesNotMatch
from node import moments
from node.ledger import open_ledger
from routing.job import Job
from storage.ledger.expectations import Expected
from storage.ledger.past import Past, PastSeries
from storage.ledger.revisions import Revision


@dataclass(frozen=True, slots=True)
class SeriesAccount:
    """A Series and what became of it."""

    facts: PastSeries
    announced: tuple[Expected, ...]
    revisions: tuple[Revision, ...]
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class StudyAccount:
    """A Study and what became of it."""

    study_instance_uid: str
    announced: tuple[Expected, ...]
    revisions: tuple[Revision, ...]
    series: tuple[SeriesAccount, ...]
    jobs: tuple[Job, ...]
    """Those about the whole Study."""


def read(settings: Settings, study_instance_uid: str) -> StudyAccount:
    """Gather what the ledger has of a Study; the node may run meanwhile.

    Raises DoesNotMatch where there is none.
    """
    with closing(open_ledger(settings)) as ledger:
        past = Past(ledger.database)
        found = list(past.of_study(study_instance_uid))
        if not found:
            raise DoesNotMatch(f"study {study_instance_uid} is not known here")
        announced = ledger.expectations.of_study(study_instance_uid)
        revisions = ledger.revisions.of_study(study_instance_uid)
        jobs = past.jobs_of_study(study_instance_uid)

    def said(uid: str) -> tuple[Expected, ...]:
        return tuple(one for one in announced if one.series_instance_uid == uid)

    def made(uid: str) -> tuple[Job, ...]:
        return tuple(one for one in jobs if one.spec.series.series_instance_uid == uid)

    def settled(uid: str) -> tuple[Revision, ...]:
        return tuple(revisions.get(uid, ()))

    uids = [one.key.series_instance_uid for one in found]
    series = (
        SeriesAccount(one, said(uid), settled(uid), made(uid))
        for one, uid in zip(found, uids, strict=True)
    )
    return StudyAccount(study_instance_uid, said(""), settled(""), tuple(series), made(""))


def lines(one: StudyAccount) -> Iterator[str]:
    """Say it for people."""
    objects = sum(each.facts.instances for each in one.series)
    yield f"Study {one.study_instance_uid}: {len(one.series)} Series, {_count(objects, 'object')}"
    yield from _told(one.announced, one.revisions, one.jobs, "  ")
    for each in one.series:
        facts = each.facts
        result = f", a result of rule {facts.rule!r}" if facts.rule else ""
        uid, modality = facts.key.series_instance_uid, facts.modality or "?"
        yield f"  Series {uid}: {modality}, {_count(facts.instances, 'object')}{result}"
        yield from _told(each.announced, each.revisions, each.jobs, "    ")
        for fail in facts.undecided:
            yield (
                f"    rule {fail.rule!r} failed, {moments.local(fail.at)}: {fail.words}; stays in"
                " the spool until the rule is mended and `penumbra rules apply --study"
                f" {one.study_instance_uid}` was run"
            )


def _told(
    announced: Sequence[Expected],
    revisions: Sequence[Revision],
    jobs: Sequence[Job],
    indent: str,
) -> Iterator[str]:
    for said in announced:
        yield f"{indent}announced: {_count(said.count, 'object')} ({said.source})"
    if not revisions:
        yield f"{indent}not complete yet"
    for one in revisions:
        when = f"revision {one.revision}, {moments.local(one.settled_at)}"
        counts = f"{_count(one.instances, 'object')}, {_count(one.jobs, 'job')}"
        yield f"{indent}{when}: {one.completion.words}; {counts}"
    for job in jobs:
        rule = f", rule {job.spec.rule!r}" if job.spec.rule else ""
        what = f"{job.spec.kind} to {job.spec.target}{rule}, revision {job.spec.revision}"
        waits = job.not_before if job.not_before > time.time() else 0
        state = f"{job.state}, not before {moments.local(waits)}" if waits else str(job.state)
        yield f"{indent}job {job.id}: {what}: {state}" + (f" ({job.words})" if job.words else "")


def _count(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def plain(one: StudyAccount) -> dict[str, Any]:
    """Give it as JSON takes it."""
    return {
        "study": one.study_instance_uid,
        **_plain(one.announced, one.revisions, one.jobs),
        "series": [
            {
                "series": each.facts.key.series_instance_uid,
                "modality": each.facts.modality,
                "origin": str(each.facts.origin),
                "instances": each.facts.instances,
                **_plain(each.announced, each.revisions, each.jobs),
                "rules_failed": [
                    {"rule": fail.rule, "words": fail.words, "at": fail.at}
                    for fail in each.facts.undecided
                ],
            }
            for each in one.series
        ],
    }


def _plain(
    announced: Sequence[Expected], revisions: Sequence[Revision], jobs: Sequence[Job]
) -> dict[str, Any]:
    return {
        "announced": [{"source": one.source, "count": one.count} for one in announced],
        "revisions": [{**one.facts(), "settled_at": one.settled_at} for one in revisions],
        "jobs": [
            {
                "job": job.id,
                "kind": str(job.spec.kind),
                "rule": job.spec.rule,
                "target": job.spec.target,
                "revision": job.spec.revision,
                "state": str(job.state),
                "words": job.words,
            }
            for job in jobs
        ],
    }
