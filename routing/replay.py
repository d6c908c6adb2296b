"""What other rules would have made of a Series: the difference between two plans."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from routing.job import NewJob


@dataclass(frozen=True, slots=True)
class Change:
    """What would be different for one revision of a Series."""

    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]
    added: tuple[NewJob, ...]
    """Jobs that would be made, and were not."""
    missing: tuple[NewJob, ...]
    """Jobs that were made, and would not be."""

    def __bool__(self) -> bool:
        """Whether anything would be different; a rule's new name alone is nothing."""
        return bool(self.added or self.missing)


def compare(before: Sequence[NewJob], after: Sequence[NewJob]) -> Change:
    """Compare the jobs that were made with those that would be.

    Two jobs are the same when they do the same to the same target under a profile of the same
    name, whichever rule asked for them.
    """
    were, would = {_debt(job) for job in before}, {_debt(job) for job in after}
    return Change(
        _rules(before),
        _rules(after),
        tuple(job for job in after if _debt(job) not in were),
        tuple(job for job in before if _debt(job) not in would),
    )


def _debt(job: NewJob) -> tuple[str, str, str]:
    return job.kind, job.target, job.profile


def _rules(jobs: Iterable[NewJob]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(job.rule for job in jobs))
