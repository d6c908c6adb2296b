"""Settle complete Series and write what they owe; the only caller of rules at run time."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from dicom.entity import Origin
from node.associations import Closed
from node.traits import Traits
from routing.plan import Plan, Settled, plan
from routing.rules import Rule
from routing.settle import Timing, judge
from storage.ledger.events import NewEvent
from storage.ledger.settling import OpenSeries, Settling

RULE_FAILED: Final = "penumbra.rule.failed"
"""The type of the event about a rule whose expression could not be evaluated."""

log = structlog.get_logger()


class Settler:
    """Looks at the Series with news, and closes those that are complete."""

    def __init__(
        self,
        settling: Settling,
        traits: Traits,
        rules: Sequence[Rule],
        timing: Timing,
        tell: Callable[[Sequence[NewEvent]], object],
    ) -> None:
        self._settling = settling
        self._traits = traits
        self._rules = rules
        self._timing = timing
        self._tell = tell

    def step(self, now: float, closed: Closed) -> int:
        """Settle what is due; returns the number of Series settled.

        `closed` says how associations had ended before the follower last went to the log's end:
        with a later view, the last Instances of a released association would be missed.
        """
        soonest = now - min(self._timing.quiet_s, self._timing.release_s)
        settled = 0
        for one in self._settling.candidates(soonest, closed.was_released):
            reason = judge(one.pending, self._timing, now)
            if reason is None:
                continue
            owed = self._plan(one)
            if one.pending.origin is Origin.AI and not owed.jobs:
                # The rule was renamed or lost its results_to; the report stays in the spool.
                log.warning("result goes nowhere", rule=one.rule, result=one.example.digest)
            if self._settling.settle(one, reason, owed.jobs, now):
                settled += 1
                self._tell_undecided(one, owed)
                log.info(
                    "series settled",
                    series=one.pending.key.series_instance_uid,
                    revision=one.revision,
                    reason=str(reason),
                    instances=one.instances,
                    jobs=len(owed.jobs),
                )
        return settled

    def _plan(self, one: OpenSeries) -> Plan:
        key, origin = one.pending.key, one.pending.origin
        attributes = self._traits.of(one.example)
        return plan(Settled(key, one.revision, origin, one.rule, attributes), self._rules)

    def _tell_undecided(self, one: OpenSeries, owed: Plan) -> None:
        """Say which rules failed, without values: a Series may not have gone where it should."""
        series = one.pending.key.series_instance_uid
        for rule, fault in owed.undecided:
            log.error("rule failed", rule=rule.name, series=series, words=str(fault))
        if owed.undecided:
            facts = [{"rule": rule.name, "words": str(fault)} for rule, fault in owed.undecided]
            self._tell([NewEvent(RULE_FAILED, series, each) for each in facts])
