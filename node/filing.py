"""The front's own loop: follow the log, settle Series, file held objects again, expire leases."""

import threading
import time
from collections.abc import Callable

import structlog

from dicom.errors import Fault
from node.associations import AssociationBook
from node.settler import Settler
from node.supervisor import owner_of
from routing.job import Job, Kind
from storage.ledger.follow import Follower
from storage.ledger.ledger import Ledger
from storage.spool.spool import Spool

PAUSE_S = 0.1
"""How long the loop sleeps when the log is quiet; a quiet Series settles this much later."""
EXPIRE_EVERY_S = 1.0
PATIENCE_S = 0.5
"""While objects follow one another, filing stays so long behind: it takes turns with the door for
the interpreter, and a burst is better received first and filed then."""
BETWEEN_S = 0.01
"""Objects of a burst follow one another more closely than this."""
QUIET_S = 0.3
"""The log is quiet when nothing was stored for so long; heads are made then."""
TEND_EVERY_S = 1.0
"""So often heads are made while objects arrive without end."""
TEND_AGAIN_S = 10.0
"""So long after a fault the index is left alone."""
TROUBLE_S = 1.0
"""So long the loop waits after a fault before it tries the same again."""
LEASE_S = 60.0
"""An intake takes milliseconds; its lease only matters if the front dies within them."""

log = structlog.get_logger()


class Filing:
    """One thread between log and ledger."""

    def __init__(
        self,
        spool: Spool,
        follower: Follower,
        settler: Settler,
        ledger: Ledger,
        book: AssociationBook,
        *,
        attempts: int,
        pid: int,
        ring: Callable[[], None],
    ) -> None:
        self._spool = spool
        self._follower = follower
        self._settler = settler
        self._ledger = ledger
        self._book = book
        self._caught_up = 0
        self._attempts = attempts
        self._owner = owner_of(pid)
        self._ring = ring
        self._stopping = threading.Event()
        self._expired_at = 0.0
        self._tended_s = 0.0
        self._thread = threading.Thread(target=self._run, name="filing", daemon=True)
        self.beat_at = time.monotonic()
        """When the loop last came around; it stops moving when the loop hangs."""
        self.trouble = ""
        """Why the loop cannot go on at the moment; "" when all is well."""

    def beat(self) -> None:
        """Show that the loop comes around, or waits for something that ends by itself."""
        self.beat_at = time.monotonic()

    def start(self) -> None:
        """Start the loop."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Absorb what the log holds, then end; what is left is absorbed at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        """Whether the loop's thread runs."""
        return self._thread.is_alive()

    def lag_records(self) -> int:
        """Count what is stored and not filed yet."""
        return self._follower.lag_records()

    def index_is_behind(self) -> bool:
        """Whether the index still has to read of the log what the ledger has filed."""
        return self._follower.index_is_behind()

    def _run(self) -> None:
        while True:
            last_round = self._stopping.is_set()
            try:
                self._round()
                is_busy = self._follower.index_is_behind() or self._tend_index(last_round)
                if not last_round and not is_busy:
                    self._spool.wait(PAUSE_S)
            except Fault as fault:
                self.trouble = f"{fault.code}: {fault}"
                log.error("filing stands", fault=fault.code, words=str(fault))
                self._stopping.wait(TROUBLE_S)
            except Exception as bug:  # nothing is filed any more if this loop ends
                self.trouble = f"bug: {type(bug).__name__}, see the node's log"
                log.error("filing stands", exc_info=bug)
                self._stopping.wait(TROUBLE_S)
            else:
                self.trouble = ""
            self.beat()
            if last_round:
                return

    def _let_the_door_go_first(self) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while self._spool.quiet_s() < BETWEEN_S and time.monotonic() < deadline_s:
            if self._stopping.wait(BETWEEN_S):
                return

    def _catch_up(self) -> None:
        """Bring the index a little nearer to the log; with a new one, rebuild it step by step."""
        if not self._follower.index_is_behind():
            return
        self._caught_up += self._follower.catch_up_index()
        if not self._follower.index_is_behind() and self._caught_up:
            log.info("index caught up", records=self._caught_up)
            self._caught_up = 0

    def _tend_index(self, is_last: bool) -> bool:  # noqa: FBT001  (the loop's own)
        """Give rows their heads, or read some of the spool again; says whether more is to do.

        What is stored at the moment goes first, but not for ever.
        """
        now_s = time.monotonic()
        is_busy = self._spool.quiet_s() < QUIET_S
        if is_last or now_s < self._tended_s + (TEND_EVERY_S if is_busy else 0.0):
            return False
        self._tended_s = now_s
        try:
            return bool(self._follower.fill_heads()) or bool(self._follower.renew_index())
        except Fault as fault:  # deliveries do not wait for an index
            self._tended_s = now_s + TEND_AGAIN_S
            log.error("index not tended", fault=fault.code, words=str(fault))
            return False

    def _round(self) -> None:
        self._let_the_door_go_first()
        # Read before the log: what an association sent before its end is then in it.
        closed = self._book.closed()
        moved = False
        while self._follower.step() is not None:
            moved = True
            self.beat()
        now = time.time()
        settled = self._settler.step(now, closed)
        refiled = self._file_again(now)
        if now - self._expired_at >= EXPIRE_EVERY_S:
            self._expired_at = now
            settled += self._ledger.jobs.expire(self._ledger.database.now(), self._attempts)
        if settled:
            self._ring()
        if moved or settled or refiled:
            self._ledger.outbox.notify()
        self._catch_up()

    def _file_again(self, now: float) -> bool:
        job = self._ledger.jobs.claim(self._owner, {Kind.INTAKE}, now, LEASE_S)
        if job is None:
            return False
        self._intake(job, now)
        return True

    def _intake(self, job: Job, now: float) -> None:
        try:
            self._follower.file_again(job.spec.target, job.spec.digest)
        except Fault as fault:
            self._ledger.jobs.hold(job, fault.code, str(fault), now)
        except Exception as bug:  # a bug about this object holds this one, not all
            log.error("intake failed", job=job.id, exc_info=bug)
            words = f"{type(bug).__name__}, see the node's log"
            self._ledger.jobs.hold(job, "bug", words, now)
        else:
            self._ledger.jobs.finish(job, now, words="filed")
