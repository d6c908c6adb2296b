"""Settle complete Series and write what they owe; the only caller of rules at run time."""

from collections.abc import Sequence

import structlog
from pydicom.dataset import Dataset

from dicom import part10
from dicom.entity import Origin
from dicom.errors import Fault
from node.associations import Closed
from routing.plan import Settled, plan
from routing.rules import Attributes, Rule
from routing.settle import Timing, judge
from storage.ledger.settling import OpenSeries, Settling
from storage.spool.reader import SpoolReader

log = structlog.get_logger()


class Settler:
    """Looks at the Series with news, and closes those that are complete."""

    def __init__(
        self,
        settling: Settling,
        reader: SpoolReader,
        rules: Sequence[Rule],
        timing: Timing,
    ) -> None:
        self._settling = settling
        self._reader = reader
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
            jobs = plan(
                Settled(
                    one.pending.key,
                    one.revision,
                    one.pending.origin,
                    one.rule,
                    self._attributes(one),
                ),
                self._rules,
            )
            if one.pending.origin is Origin.AI and not jobs:
                # The rule was renamed or lost its results_to; the report stays in the spool.
                log.warning("result goes nowhere", rule=one.rule, result=one.example.digest)
            if self._settling.settle(one, reason, jobs, now):
                settled += 1
                log.info(
                    "series settled",
                    series=one.pending.key.series_instance_uid,
                    revision=one.revision,
                    reason=str(reason),
                    instances=one.instances,
                    jobs=len(jobs),
                )
        return settled

    def _attributes(self, one: OpenSeries) -> Attributes:
        arrival = one.example.arrival
        route = {"calling_ae": arrival.calling_ae, "called_ae": arrival.called_ae}
        head: Dataset | None = None

        def values(keyword: str) -> list[str]:
            nonlocal head
            if keyword in route:
                return [route[keyword]]
            if head is None:
                head = self._head(one)
            found = part10.text(head, keyword)
            return found.split("\\") if found else []

        return values

    def _head(self, one: OpenSeries) -> Dataset:
        try:
            with self._reader.open(one.example.location) as stream:
                return part10.read_head(stream)
        except Fault as fault:
            # It could be read when it was filed; a rule then sees no attributes, matches only
            # where it asks for none, and the delivery meets the same fault and is held.
            log.error("head lost", series=one.pending.key.series_instance_uid, fault=fault.code)
            return Dataset()
