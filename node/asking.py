"""Ask peers that send whole Studies how many Instances these have (C-FIND), on a thread of its own.

Nothing waits for an answer: it is noted in the ledger when it comes, and settling finds it there.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import structlog
from pydicom.dataset import Dataset

from config.model import Settings
from dicom import part10, scu
from dicom.errors import Fault
from dicom.uid import STUDY_ROOT_FIND
from node.calling import calling
from storage.ledger.expectations import Expectations, Expected

TIMEOUT_S = 5.0
"""So long an answer is waited for."""
AGAIN_S = 10.0
"""While Instances of a Study come, its number is asked for so seldom: it may grow as well."""
RESPITE_S = 60.0
"""A peer that could not answer is not asked for so long."""
MOST = 1000
"""So many Studies may wait to be asked about; those beyond settle without."""
SOURCE = "query"

Find = Callable[[Dataset, str], Iterator[Dataset]]
"""Sends an identifier by an information model, and yields the matches."""

log = structlog.get_logger()


class Asking:
    """One thread that asks; `ask` is called from another, and returns at once."""

    def __init__(
        self,
        settings: Settings,
        expectations: Expectations,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._expectations = expectations
        self._clock = clock
        self._peers = frozenset(title for title, peer in settings.peers.items() if peer.ask_counts)
        self._wanted: dict[tuple[str, str], None] = {}
        self._not_before: dict[tuple[str, str], float] = {}
        self._news = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="asking", daemon=True)
        self.outcomes: Counter[str] = Counter(answered=0, failed=0)

    @property
    def is_of_use(self) -> bool:
        """Whether any peer is to be asked."""
        return bool(self._peers)

    def start(self) -> None:
        """Start the thread, where there is anybody to ask."""
        if self.is_of_use:
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ask no more; an answer that is still out is not waited for longer."""
        with self._news:
            self._stopping = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def ask(self, peer: str, study_instance_uid: str) -> None:
        """Have a peer asked about a Study, if it is one that is asked and was not just now."""
        if peer not in self._peers:
            return
        this = peer, study_instance_uid
        now = self._clock()
        with self._news:
            rested = now >= max(self._not_before.get((peer, ""), 0), self._not_before.get(this, 0))
            if rested and len(self._wanted) < MOST and this not in self._wanted:
                self._wanted[this] = None
                self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._stopping or self._wanted)
                if self._stopping:
                    return
                peer, study = this = next(iter(self._wanted))
                now = self._clock()
                past = [each for each, at in self._not_before.items() if at <= now]
                for each in past:
                    del self._not_before[each]
                self._not_before[this] = now + AGAIN_S
            self._answer(peer, study)
            with self._news:
                self._wanted.pop(this, None)

    def _answer(self, peer: str, study: str) -> None:
        try:
            with calling(
                self._settings, peer, scu.proposing(STUDY_ROOT_FIND), timeout_s=TIMEOUT_S
            ) as association:
                announced = list(counts(partial(scu.find, association), study))
            self._expectations.note(announced, self._clock())
        except Fault as fault:
            log.warning("counts unknown", peer=peer, fault=fault.code, words=str(fault))
        except Exception as bug:  # one strange answer shall not end the asking
            log.error("counts unknown", peer=peer, exc_info=bug)
        else:
            self.outcomes["answered"] += 1
            return
        self.outcomes["failed"] += 1
        with self._news:
            self._not_before[peer, ""] = self._clock() + RESPITE_S


def counts(find: Find, study_instance_uid: str) -> Iterator[Expected]:
    """Ask for the numbers of Instances of a Study and of each of its Series (PS3.4 C.6.2.1).

    What the peer does not count is left out. Raises as `find` does.
    """
    of_study = identifier("STUDY", "NumberOfStudyRelatedInstances", study_instance_uid)
    of_series = identifier("SERIES", "NumberOfSeriesRelatedInstances", study_instance_uid)
    of_series.SeriesInstanceUID = None
    for wanted, keyword in (
        (of_study, "NumberOfStudyRelatedInstances"),
        (of_series, "NumberOfSeriesRelatedInstances"),
    ):
        for match in find(wanted, STUDY_ROOT_FIND):
            number, uid = part10.text(match, keyword), part10.text(match, "SeriesInstanceUID")
            uid = "" if wanted is of_study else uid
            is_ours = part10.text(match, "StudyInstanceUID") in {"", study_instance_uid}
            if number.isascii() and number.isdigit() and is_ours and (uid or wanted is of_study):
                yield Expected(study_instance_uid, uid, SOURCE, int(number))


def identifier(level: str, keyword: str, study_instance_uid: str) -> Dataset:
    """Make an identifier that asks for one attribute."""
    wanted = Dataset()
    wanted.QueryRetrieveLevel = level
    wanted.StudyInstanceUID = study_instance_uid
    setattr(wanted, keyword, None)
    return wanted
