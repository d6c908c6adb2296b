"""Judge the requests for storage commitment that are due, and see that each gets its report.

The report goes on the association that asked while that is open and quiet, which is how an SCU
without a port of its own hears it. Otherwise a job owes it, on an association of its own.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from config.destinations import DicomDestination
from config.model import Settings
from dicom import commitment_wire, status
from dicom.commitment import Request
from dicom.commitment_wire import OpenAssociation
from dicom.entity import SeriesKey
from dicom.errors import Fault
from routing.commitment import Kept, Terms, judge
from routing.job import Kind, NewJob
from storage.ledger.commitments import Asked, State
from storage.ledger.expectations import Expected
from storage.ledger.ledger import Ledger

LOOK_EVERY_S: Final = 0.25
LONGEST_WAIT_S: Final = 10.0
"""A request that waits is looked at less and less often, but at least so often."""
REFERENCES_PER_S: Final = 5000
"""A long list is looked at so much less often: the front has better things to do."""
QUIET_S: Final = 0.2
"""A requester that releases right after the answer wants its report on another association."""
ANSWER_S: Final = 10.0
"""So long a requester may take to answer a report on its own association."""
LEASE_S: Final = 15.0
"""A verdict whose report is not through by then, because the front died, goes to a job."""
KEPT_S: Final = 30 * 86_400.0
"""What was asked and what came of it is kept for so long, to look up what was said."""
FORGET_EVERY_S: Final = 600.0
AT_ONCE: Final = 4
"""So many requesters may be slow to answer before another one has to wait."""
NO_SERIES: Final = SeriesKey("", "")

log = structlog.get_logger()


def report_job(asked: Asked) -> NewJob:
    """Make the job that owes a report."""
    return NewJob(Kind.REPORT, NO_SERIES, 0, "", asked.peer, digest=str(asked.id))


def _wait_s(asked: Asked, now: float) -> float:
    """Say when a request is looked at again: the later the older it is, and the longer its list."""
    by_age = min(max((now - asked.received_at) / 5, LOOK_EVERY_S), LONGEST_WAIT_S)
    return max(by_age, len(asked.request.references) / REFERENCES_PER_S)


class Committing:
    """One thread between requests and their reports."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        storage_classes: Collection[str],
        *,
        lag: Callable[[], int],
        ring: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`lag` counts what is stored and not filed yet; `ring` tells workers of a job."""
        self._settings = settings
        self._ledger = ledger
        self._storage_classes = frozenset(storage_classes)
        self._lag = lag
        self._ring = ring
        self._clock = clock
        self._open: dict[int, OpenAssociation] = {}
        self._telling: set[int] = set()
        self._announced: dict[int, SeriesKey] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._forgot_at = 0.0
        self._tellers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="commitment")
        self._thread = threading.Thread(target=self._run, name="committing", daemon=True)

    def start(self) -> None:
        """Start the thread; requests of an earlier run of the node are taken up first."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End; what is not reported is when the node runs again."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._tellers.shutdown(wait=False, cancel_futures=True)

    def receive(self, request: Request, peer: str, association: OpenAssociation) -> int:
        """Write a request down, synced, and remember who waits for it."""
        request_id = self._ledger.commitments.receive(request, peer, self._clock())
        with self._lock:
            self._open[request_id] = association
        self._wake.set()
        return request_id

    def step(self) -> int:
        """Look at what is due; returns how many requests were judged."""
        judged = 0
        for asked in self._ledger.commitments.due(self._clock()):
            if asked.id in self._telling:
                continue
            if asked.state is State.PENDING:
                if not self._judged(asked):
                    continue
                judged += 1
            self._report(asked.id)
        self._forget()
        return judged

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step()
            except Fault as fault:
                log.error("commitments wait", fault=fault.code, words=str(fault))
                self._stopping.wait(LONGEST_WAIT_S / 10)
            except Exception as bug:  # no request is answered any more if this loop ends
                log.error("commitments wait", exc_info=bug)
                self._stopping.wait(LONGEST_WAIT_S / 10)
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()

    def _judged(self, asked: Asked) -> bool:
        """Judge one request; returns whether its verdict is written now."""
        now = self._clock()
        kept = self._kept(asked.request)
        self._announce(asked, kept, now)
        failures = self._failures(asked, kept, now)
        if failures is None:
            self._ledger.commitments.look_again(asked.id, now + _wait_s(asked, now))
            return False
        self._announced.pop(asked.id, None)
        if not self._ledger.commitments.conclude(asked, failures, now, LEASE_S):
            return False
        log.info(
            "commitment judged",
            request=asked.id,
            peer=asked.peer,
            instances=len(asked.request.references),
            failed=len(failures),
            seconds=round(now - asked.received_at, 3),
        )
        return True

    def _kept(self, request: Request) -> Mapping[str, Kept]:
        committing = {
            name
            for name, each in self._settings.destinations.items()
            if isinstance(each, DicomDestination) and each.commit
        }
        uids = list(dict.fromkeys(each.sop_instance_uid for each in request.references))
        awaits_study = any(rule.per == "study" for rule in self._settings.rules)
        return self._ledger.safekeeping.of(uids, committing, awaits_study=awaits_study)

    def _failures(
        self, asked: Asked, kept: Mapping[str, Kept], now: float
    ) -> list[tuple[int, int]] | None:
        terms = self._terms(asked, now)
        failures: list[tuple[int, int]] = []
        for place, each in enumerate(asked.request.references):
            verdict = judge(
                each.sop_class_uid,
                kept.get(each.sop_instance_uid),
                terms,
                is_storage=each.sop_class_uid in self._storage_classes,
            )
            if verdict is None:
                return None
            if verdict.reason is not None:
                failures.append((place, int(verdict.reason)))
        return failures

    def _terms(self, asked: Asked, now: float) -> Terms:
        settings, peer = self._settings.commitment, self._settings.peers.get(asked.peer)
        waited_s = now - asked.received_at
        return Terms(
            when=(peer.commitment if peer else None) or settings.when,
            unknown_is_final=waited_s >= settings.grace_s and self._lag() == 0,
            is_over=waited_s >= settings.wait_s,
        )

    def _announce(self, asked: Asked, kept: Mapping[str, Kept], now: float) -> None:
        """Say of what more is to come: the Series, or the Study, of which all is that is there.

        Nothing is said while objects wait to be filed: those that are missing may be among them.
        """
        series = {one.series for one in kept.values() if one.series}
        studies = {one.study_instance_uid for one in series}
        references = asked.request.references
        uids = tuple(dict.fromkeys(each.sop_instance_uid for each in references))
        if len(studies) != 1 or len(kept) == len(uids) or self._lag():
            return
        (study,) = studies
        about = SeriesKey(study, series.pop().series_instance_uid if len(series) == 1 else "")
        if self._announced.get(asked.id) != about:
            uid = about.series_instance_uid
            expected = Expected(study, uid, "commitment", len(uids), uids)
            self._ledger.expectations.note([expected], now)
            self._announced[asked.id] = about

    def _report(self, request_id: int) -> None:
        """Report on the association that asked, once it is quiet; or leave it to a job."""
        with self._lock:
            association = self._open.get(request_id)
        if association is None or not association.is_established:
            self._owe(request_id)
        elif commitment_wire.quiet_s(association) < QUIET_S:
            self._ledger.commitments.look_again(request_id, self._clock())
        else:
            self._telling.add(request_id)
            self._ledger.commitments.look_again(request_id, self._clock() + LEASE_S)
            self._tellers.submit(self._tell, request_id, association)

    def _tell(self, request_id: int, association: OpenAssociation) -> None:
        try:
            asked = self._ledger.commitments.get(request_id)
            if asked is None:
                return
            code = commitment_wire.tell(association, asked.report(), ANSWER_S)
            if code is not None and (code == status.SUCCESS or status.is_warning(code)):
                self._ledger.commitments.reported(request_id, self._clock())
                log.info("commitment told", request=request_id, peer=asked.peer)
            else:
                log.warning(
                    "commitment not taken", request=request_id, peer=asked.peer, status=code
                )
                self._owe(request_id)
        except Exception as bug:  # a job takes it over when its lease ends
            log.error("commitment not told", request=request_id, exc_info=bug)
        finally:
            with self._lock:
                self._open.pop(request_id, None)
            self._telling.discard(request_id)

    def _owe(self, request_id: int) -> None:
        with self._lock:
            self._open.pop(request_id, None)
        asked = self._ledger.commitments.get(request_id)
        if asked is not None and self._ledger.commitments.owe(
            asked, report_job(asked), self._clock()
        ):
            self._ring()

    def _forget(self) -> None:
        now = self._clock()
        if now - self._forgot_at >= FORGET_EVERY_S:
            self._forgot_at = now
            self._ledger.commitments.forget(now - KEPT_S)
            self._ledger.committed.forget(now - KEPT_S)
            self._ledger.steps.forget(now - KEPT_S)
