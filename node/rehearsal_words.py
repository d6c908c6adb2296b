"""Say what came of holding rules against Series: lines for people, plain facts for programs."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydicom.datadict import tag_for_keyword

from deid.table import table
from dicom.entity import Origin
from node import moments
from node.rehearsal import Rehearsed, Replayed
from routing.explain import Check, Values
from routing.job import NewJob
from routing.rules import Rule

_MARKS: Final = {True: "holds", False: "does not", None: "unknown"}


def rehearsed_lines(one: Rehearsed, *, show_values: bool) -> Iterator[str]:
    """Say how each rule fared, and what the Series would owe."""
    yield f"Series {one.key.series_instance_uid} of Study {one.key.study_instance_uid}"
    if one.origin is Origin.AI:
        yield "  a model's result: it goes where results_to of its rule says"
    for account in one.accounts:
        yield f"  rule {account.rule.name!r}{_terms(account.rule)} {account.verdict}"
        for check in account.checks:
            values = "; ".join(_values(check.values, show_values=show_values))
            fault = f" ({_fault(check, show_values=show_values)})" if check.fault else ""
            yield f"    {_MARKS[check.held]:<9}{check.words}{fault}   [{values}]"
    yield f"  owes: {_owed(one.owed)}"
    if one.made is not None:
        why = f" ({one.why})" if one.why else ""
        yield f"  made, revision {one.revision}{why}: {_owed(one.made)}"


def _terms(rule: Rule) -> str:
    """Say of a rule what is not usual."""
    terms = ["per study"] if rule.per == "study" else []
    terms += [f"priority {rule.priority}"] if rule.priority else []
    terms += ["stop"] if rule.stop else []
    terms += ["at certain hours"] if rule.during else []
    return f" ({', '.join(terms)})" if terms else ""


def replayed_lines(one: Replayed) -> Iterator[str]:
    """Say what would be different for a Series of the past."""
    key = one.past.key
    head = f"Series {key.series_instance_uid} of Study {key.study_instance_uid}"
    if one.change is None:
        yield f"{head}: cannot be read ({one.fault.code if one.fault else ''})"
        return
    before, after = one.change.rules_before, one.change.rules_after
    yield f"{head}, {one.past.modality or '?'}, {one.past.instances} objects"
    yield f"  rules before: {', '.join(before) or 'none'}; after: {', '.join(after) or 'none'}"
    yield from (f"  + {job_words(job)}" for job in one.change.added)
    yield from (f"  - {job_words(job)}" for job in one.change.missing)


def _owed(jobs: Iterable[NewJob]) -> str:
    return "; ".join(map(job_words, jobs)) or "nothing"


def job_words(job: NewJob) -> str:
    """Say a job in words."""
    under = f" under {job.profile}" if job.profile else ""
    begins = f", not before {moments.local(job.not_before)}" if job.not_before else ""
    return f"{job.kind} to {job.target}{under}, rule {job.rule!r}{begins}"


def _values(values: Values, *, show_values: bool) -> Iterator[str]:
    for keyword, each in values.items():
        if not each:
            yield f"{keyword} is absent"
        elif show_values or not _is_identifying(keyword):
            yield f"{keyword} is {', '.join(each)}"
        else:
            yield f"{keyword} is there"


def _fault(check: Check, *, show_values: bool) -> str:
    return check.fault if show_values else "CEL ended in an error; --show-values tells it"


def _is_identifying(keyword: str) -> bool:
    """Whether the Basic Profile does anything to an attribute (PS3.15 Table E.1-1)."""
    tag = tag_for_keyword(keyword)
    return tag is not None and table.load().row(tag) is not None


def plain(one: Rehearsed, *, show_values: bool) -> dict[str, Any]:
    """Give what rehearsed_lines says as JSON takes it."""
    return {
        "study": one.key.study_instance_uid,
        "series": one.key.series_instance_uid,
        "origin": str(one.origin),
        "rules": [
            {
                "rule": account.rule.name,
                "per": str(account.rule.per),
                "verdict": account.verdict.name.lower(),
                "conditions": [
                    {
                        "words": check.words,
                        "held": check.held,
                        "values": {
                            keyword: list(each)
                            if show_values or not _is_identifying(keyword)
                            else None
                            for keyword, each in check.values.items()
                        },
                        "fault": _fault(check, show_values=show_values) if check.fault else "",
                    }
                    for check in account.checks
                ],
            }
            for account in one.accounts
        ],
        "owes": [_plain_job(job) for job in one.owed],
        "complete": one.why,
        "made": None if one.made is None else [_plain_job(job) for job in one.made],
    }


def plain_replayed(one: Replayed) -> dict[str, Any]:
    """Give what replayed_lines says as JSON takes it."""
    found: dict[str, Any] = {
        "study": one.past.key.study_instance_uid,
        "series": one.past.key.series_instance_uid,
        "revision": one.past.revision,
        "settled_at": one.past.settled_at,
    }
    if one.change is None:
        return found | {"fault": one.fault.code if one.fault else ""}
    return found | {
        "rules_before": list(one.change.rules_before),
        "rules_after": list(one.change.rules_after),
        "added": [_plain_job(job) for job in one.change.added],
        "missing": [_plain_job(job) for job in one.change.missing],
        "undecided": [rule.name for rule, _ in one.undecided],
    }


def _plain_job(job: NewJob) -> dict[str, str]:
    return {
        "kind": str(job.kind),
        "target": job.target,
        "profile": job.profile,
        "rule": job.rule,
    }
