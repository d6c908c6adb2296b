"""Settle complete Series and write what they owe; the only caller of rules at run time."""

from collections.abc import Sequence
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
"""The type of the event about a rule of which nobody could say whether it means a Series."""

log = structlog.get_logger()


class Settler:
    """Looks at the Series with news, and closes those that are complete."""

    def __init__(
        self, settling: Settling, traits: Traits, rules: Sequence[Rule], timing: Timing
    ) -> None:
        self._settling = settling
        self._traits = traits
        self._rules = rules
        self._timing = timing

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
            if self._settling.settle(one, reason, owed.jobs, now, _alarms(one, owed)):
                settled += 1
                series = one.pending.key.series_instance_uid
                for rule, fault in owed.undecided:
                    log.error("rule failed", rule=rule.name, series=series, words=str(fault))
                log.info(
                    "series settled",
                    series=series,
                    revision=one.revision,
                    reason=str(reason),
                    instances=one.instances,
                    jobs=len(owed.jobs),
                    rules_failed=len(owed.undecided),
                )
        return settled

    def _plan(self, one: OpenSeries) -> Plan:
        key, origin = one.pending.key, one.pending.origin
        attributes = self._traits.of(one.example)
        return plan(Settled(key, one.revision, origin, one.rule, attributes), self._rules)


def _alarms(one: OpenSeries, owed: Plan) -> list[NewEvent]:
    """Say which rules failed, without values: a Series may not have gone where it should."""
    key = one.pending.key
    facts = [
        {"study": key.study_instance_uid, "rule": rule.name, "words": str(fault)}
        for rule, fault in owed.undecided
    ]
    return [NewEvent(RULE_FAILED, key.series_instance_uid, each) for each in facts]
