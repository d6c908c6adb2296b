"""Settle complete Series and Studies and write what they owe; the only caller of rules at run time.

A step costs what has changed: a Series or a Study is looked at when there is news of it, and when
a time is over after which it may be complete.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from config.fhir import TARGET
from dicom.entity import Origin, SeriesKey
from node.associations import Closed
from node.traits import Traits, with_study
from routing.job import Kind, NewJob
from routing.plan import ALL, Plan, Settled, Taken, plan, timed, with_staging
from routing.rules import Per, Rule
from routing.settle import Completion, Timing, due, due_study
from storage.ledger.settling import OpenSeries, Settling
from storage.ledger.studies import OpenStudy, Studies, StudySeries
from storage.ledger.unplanned import Unplanned

FRESH_S: Final = 2.0
"""What came so lately was filed in the meantime, also in a burst."""
Ask = Callable[[str, str], None]
"""Has a peer, by its title, asked how many Instances a Study has; returns at once."""

log = structlog.get_logger()


class Settler:
    """Looks at the Series and Studies with news, and closes those that are complete."""

    def __init__(
        self,
        settling: Settling,
        studies: Studies,
        traits: Traits,
        rules: Sequence[Rule],
        timing: Timing,
        *,
        ask: Ask | None = None,
        staging: str = "",
        tells_fhir: bool = False,
        taken: Taken = ALL,
    ) -> None:
        self._settling = settling
        self._studies = studies
        self._traits = traits
        self._rules = rules
        self._timing = timing
        self._soonest_s = timing.soonest_s
        self._ask = ask
        self._staging = staging
        """Where Series are put for the workers of other machines; "" for nowhere."""
        self._tells_fhir = tells_fhir
        """Whether a FHIR server is told of each settled Study."""
        self._taken = taken
        """Which kinds of results destinations are sent."""
        self._waiting_for: dict[str, set[SeriesKey]] = {}
        """Series that were looked at, by each association that had not been released then."""
        self._closed: Closed | None = None
        self.failed: Counter[str] = Counter()
        """How often each rule could not be evaluated since the start."""

    def step(self, now: float, closed: Closed) -> int:
        """Settle what is due; returns the number of Series and Studies settled.

        `closed` says how associations had ended before the follower last went to the log's end:
        with a later view, the last Instances of a released association would be missed.
        """
        self._look_again(closed)
        soonest = now - self._soonest_s
        self._have_asked(now)
        until = now + self._timing.longest_s
        later: list[tuple[OpenSeries, float]] = []
        settled = 0
        for one in self._settling.candidates(soonest, closed.was_released, until=until):
            if self._ask is not None and one.pending.origin is not Origin.AI:
                self._ask(one.example.arrival.calling_ae, one.pending.key.study_instance_uid)
            complete = due(one.pending, self._timing)
            if complete.at <= now:
                settled += self._settle(one, complete, now)
            else:
                later.append((one, _by(now, complete.at, one.pending.last_at) - self._soonest_s))
                for association in one.unreleased:
                    self._waiting_for.setdefault(association, set()).add(one.pending.key)
        self._settling.postpone(later, now)
        return settled + self._settle_studies(now, until)

    def _have_asked(self, now: float) -> None:
        """Ask about what has just come, so that the answer is there when it is judged."""
        if self._ask is not None:
            for key, caller in self._settling.fresh(now - FRESH_S):
                self._ask(caller, key.study_instance_uid)

    def _look_again(self, closed: Closed) -> None:
        """Have the Series looked at whose associations were released since the last step."""
        if closed == self._closed:
            return
        self._closed = closed
        released = [one for one in self._waiting_for if closed.was_released(one)]
        self._settling.look_again(
            {key for association in released for key in self._waiting_for.pop(association)}
        )

    def _settle(self, one: OpenSeries, complete: Completion, now: float) -> bool:
        key = one.pending.key
        owed = self._plan(one)
        if one.pending.origin is Origin.AI and not owed.jobs:
            # The rule was renamed or lost its results_to, or nobody takes this kind; it stays here.
            log.warning("result goes nowhere", rule=one.rule, result=one.example.digest)
        undecided = _unplanned(key, owed, now)
        jobs = with_staging(timed(owed.jobs, self._rules, now), self._staging)
        if not self._settling.settle(one, complete, jobs, now, undecided):
            return False
        self._forget(one)
        self._tell(undecided)
        log.info(
            "series settled",
            series=key.series_instance_uid,
            revision=one.revision,
            reason=str(complete.reason),
            words=complete.words,
            instances=one.instances,
            jobs=len(owed.jobs),
            rules_failed=len(undecided),
        )
        return True

    def _forget(self, one: OpenSeries) -> None:
        for association in one.unreleased & self._waiting_for.keys():
            self._waiting_for[association].discard(one.pending.key)
            if not self._waiting_for[association]:
                del self._waiting_for[association]

    def _plan(self, one: OpenSeries) -> Plan:
        key, origin = one.pending.key, one.pending.origin
        attributes = self._traits.of(one.example)
        sop_class = one.example.arrival.sop_class_uid
        settled = Settled(key, one.revision, origin, one.rule, attributes, sop_class)
        return plan(settled, self._rules, taken=self._taken)

    def _settle_studies(self, now: float, until: float) -> int:
        later: list[tuple[OpenStudy, float]] = []
        settled = 0
        for one in self._studies.candidates(now, until):
            complete = due_study(one.pending, self._timing)
            if complete is None:  # the Series that it waits for will have it looked at
                later.append((one, until))
            elif complete.at > now:
                later.append((one, _by(now, complete.at, one.pending.last_at)))
            else:
                settled += self._settle_study(one, complete, now)
        self._studies.postpone(later, now)
        return settled

    def _settle_study(self, one: OpenStudy, complete: Completion, now: float) -> bool:
        study = one.pending.study_instance_uid
        covered = self._studies.series_of(study)
        plans = [(each.key, self._plan_study(one, each)) for each in covered]
        jobs = timed([job for _, each in plans for job in each.jobs], self._rules, now)
        owed = with_staging(jobs, self._staging)
        if self._tells_fhir:
            owed.append(NewJob(Kind.FHIR, SeriesKey(study, ""), one.revision, "", TARGET))
        undecided = [fail for key, each in plans for fail in _unplanned(key, each, now)]
        if not self._studies.settle(one, covered, complete, owed, now, undecided=undecided):
            return False
        self._tell(undecided)
        log.info(
            "study settled",
            study=study,
            revision=one.revision,
            reason=str(complete.reason),
            words=complete.words,
            series=one.pending.series,
            instances=one.pending.instances,
            jobs=len(owed),
            rules_failed=len(undecided),
        )
        return True

    def _plan_study(self, one: OpenStudy, each: StudySeries) -> Plan:
        """Plan what is new; for what is not, only rules whose answer may have changed."""
        per_study = [rule for rule in self._rules if rule.per is Per.STUDY]
        asked = {rule.name for rule in per_study if each.is_new or rule.asks_of_study}
        if not asked or not (each.is_new or each.is_here):
            return Plan(())
        attributes = with_study(self._traits.of(each.example), one.traits)
        settled = Settled(each.key, each.revision, each.origin, "", attributes)
        # All are asked: what one of the others says stop to is kept from these.
        owed = plan(settled, self._rules, Per.STUDY)
        return Plan(
            tuple(job for job in owed.jobs if job.rule in asked),
            tuple(fail for fail in owed.undecided if fail[0].name in asked),
        )

    def _tell(self, undecided: Sequence[Unplanned]) -> None:
        for one in undecided:
            self.failed[one.rule] += 1
            uid = one.key.series_instance_uid
            log.error("rule failed", rule=one.rule, series=uid, words=one.words)


def _by(now: float, at: float, last_at: float) -> float:
    """Say when to look again; where the newest Instance is of a time to come, quiet begins now."""
    return at - max(0.0, last_at - now)


def _unplanned(key: SeriesKey, owed: Plan, now: float) -> list[Unplanned]:
    """Say which rules could not say whether they mean a Series, without values."""
    return [Unplanned(key, rule.name, str(fault), now) for rule, fault in owed.undecided]
