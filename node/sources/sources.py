"""All doors of [sources.NAME]: a thread for each, that looks, waits, and can be woken."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from config import secrets
from config.model import Settings
from config.sources import BucketSource, FolderSource, Source, title_of
from dicom.context import storage_contexts
from dicom.entity import Origin
from dicom.errors import DoesNotMatch, Fault
from node.services.store import Receiver
from node.sources.bucket import BucketPlace
from node.sources.door import Door
from node.sources.folder import FolderPlace
from node.sources.place import Place
from node.sources.terms import Brake, Tally, Tell, Terms
from storage.ledger.taken import Taken

LONGEST_WAIT_S: Final = 300.0
"""Between tries while a place or the spool is in trouble."""
AT_MOST_A: Final = 10
"""A look takes at most one part in so many of the time: a folder of a million files is looked
through less often than one of ten."""
MOST_KEYS: Final = 10_000
"""More keys than these at once, and the next look goes through the whole place."""
STOP_S: Final = 5.0

log = structlog.get_logger()


class Watch:
    """The thread of one source."""

    def __init__(
        self, name: str, poll_s: float, make: Callable[[Callable[[], bool]], Door]
    ) -> None:
        self._name = name
        self._poll_s = poll_s
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._keys: set[str] = set()
        self._is_overrun = False
        self._totals: Counter[str] = Counter()
        self._trouble = ""
        self._looked_at = 0.0
        self._door = make(self._stopping.is_set)
        self._thread = threading.Thread(target=self._run, name=f"from-{name}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Have the thread end after the object that it has in hand."""
        self._stopping.set()
        self._bell.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end. Safe before start."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def wake(self, keys: Iterable[str]) -> None:
        """Have these keys looked at now."""
        with self._lock:
            self._keys.update(keys)
            if len(self._keys) > MOST_KEYS:
                self._keys, self._is_overrun = set(), True
        self._bell.set()

    def facts(self) -> dict[str, object]:
        """Tell what was taken and rejected since the start, what waits, and what is in the way."""
        tally = self._door.tally
        return {
            "taken": self._totals["taken"] + tally.taken,
            "rejected": self._totals["rejected"] + sum(tally.rejected.values()),
            "waiting": tally.waiting,
            "looked_at": self._looked_at,
            "trouble": self._trouble,
        }

    def _run(self) -> None:
        wait_s, whole_at = 0.0, 0.0
        try:
            while not self._stopping.is_set():
                keys = self._woken()
                is_due = time.monotonic() >= whole_at
                if keys or is_due:
                    wait_s = self._look(None if is_due else keys, wait_s)
                    next_at = time.monotonic() + wait_s
                    if is_due:
                        whole_at = next_at
                    elif self._trouble:  # a whole look finds what these keys named, and soon
                        whole_at = min(whole_at, next_at)
                self._bell.wait(max(0.0, whole_at - time.monotonic()))
                self._bell.clear()
        finally:
            self._door.close()

    def _woken(self) -> set[str]:
        with self._lock:
            keys, self._keys = self._keys, set()
            if self._is_overrun:
                self._is_overrun = False
                return {""}
            return keys

    def _look(self, keys: set[str] | None, before_s: float) -> float:
        """Look once; returns how long to wait until the next look through everything."""
        begun = time.monotonic()
        try:
            tally = self._door.look(None if keys is None or "" in keys else keys)
        except Fault as fault:
            self._troubled(f"{fault.code}: {fault}")
            return min(max(self._poll_s, before_s * 2), LONGEST_WAIT_S)
        except Exception as bug:  # nothing is taken any more if this loop ends
            self._troubled(f"bug: {type(bug).__name__}, see the node's log")
            log.error("source stands", source=self._name, exc_info=bug)
            return min(max(self._poll_s, before_s * 2), LONGEST_WAIT_S)
        finally:
            self._count(self._door.tally)
        self._looked_at = time.time()
        self._troubled(tally.trouble or _unreadable(tally))
        if tally.taken or tally.rejected:
            log.info(
                "source", source=self._name, taken=tally.taken, waiting=tally.waiting,
                rejected=dict(tally.rejected), seconds=round(time.monotonic() - begun, 3),
            )  # fmt: skip
        return max(self._poll_s, (time.monotonic() - begun) * (0 if tally.taken else AT_MOST_A))

    def _count(self, tally: Tally) -> None:
        self._totals["taken"] += tally.taken
        self._totals["rejected"] += sum(tally.rejected.values())
        self._door.tally = Tally(waiting=tally.waiting)

    def _troubled(self, words: str) -> None:
        if words != self._trouble:
            write = log.error if words else log.info
            write("source in trouble" if words else "source mended", source=self._name, words=words)
        self._trouble = words


def _unreadable(tally: Tally) -> str:
    if not tally.unreadable:
        return ""
    return f"{tally.unreadable} files or folders may not be read by the node's user; they wait"


@dataclass(frozen=True, slots=True)
class Sources:
    """Every source of the config file; without any, does nothing."""

    watches: Mapping[str, Watch]

    def start(self) -> None:
        """Begin to look."""
        for watch in self.watches.values():
            watch.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """End all, each after the object that it has in hand."""
        deadline = time.monotonic() + timeout_s
        for watch in self.watches.values():
            watch.ask_to_stop()
        for watch in self.watches.values():
            watch.join(max(0.0, deadline - time.monotonic()))

    def wake(self, name: str, keys: Iterable[str]) -> None:
        """Have keys of a source looked at now. Raises DoesNotMatch for an unknown source."""
        if name not in self.watches:
            raise DoesNotMatch("there is no such source")
        self.watches[name].wake(keys)

    def facts(self) -> dict[str, dict[str, object]]:
        """Tell of each source."""
        return {name: watch.facts() for name, watch in self.watches.items()}


def open_sources(
    settings: Settings,
    receiver: Receiver,
    memory: Taken,
    brake: Brake,
    tell: Tell,
    *,
    machine: str = "",
) -> Sources:
    """Make the doors of the config file; nothing looks yet. Raises ConfigFault, Refused.

    `machine` tells this node's folders from those of other nodes that share its ledger.
    """
    classes = frozenset(
        str(one.abstract_syntax) for one in storage_contexts(settings.node.private_sop_classes)
    )
    watches: dict[str, Watch] = {}
    for name, source in settings.sources.items():
        scratch = settings.node.data_dir / "sources" / name
        terms = Terms(
            name=name,
            origin=Origin(source.kind),
            ae_title=title_of(name, source.ae_title),
            called_ae=settings.node.ae_title,
            after=source.after,
            sidecar_wait_s=source.sidecar_wait_s,
            largest_bytes=source.largest_mb << 20,
            classes=classes,
            scratch=scratch,
            machine=machine if _is_of_this_machine(source) else "",
        )
        place = _place(name, source, scratch)

        def make(
            is_stopping: Callable[[], bool], terms: Terms = terms, place: Place = place
        ) -> Door:
            return Door(
                terms, place, receiver, memory, brake=brake, tell=tell, is_stopping=is_stopping
            )

        watches[name] = Watch(name, source.poll_s, make)
    return Sources(watches)


def _is_of_this_machine(source: Source) -> bool:
    return isinstance(source, FolderSource) or source.url.startswith("file:")


def _place(name: str, source: Source, scratch: Path) -> Place:
    if isinstance(source, FolderSource):
        return FolderPlace(source.path, source.quiet_s)
    assert isinstance(source, BucketSource)
    return BucketPlace(name, source, scratch, secrets.read)
