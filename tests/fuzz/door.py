"""Fuzz a real listener over loopback: vandals send damaged streams while an honest sender stores.

Time is cut into epochs. At the end of each, everything has gone quiet and is counted: what lies in
the spool, what the log said, threads, descriptors, memory.
"""

import contextlib
import gc
import hashlib
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import structlog

from config.model import Settings
from dicom import part10
from dicom.context import storage_contexts
from examples.peers.process import wait_until
from node.listener import Listener
from node.services.echo import EchoService
from node.services.store import StoreService
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool
from tests.fuzz import golden
from tests.fuzz.parser import Finding
from tests.fuzz.senders import Honest, Key, Vandal

VANDALS = 4
IDLE_S = 5.0
QUIET_S = 30.0
GROWTH_BYTES = 24 << 20
"""How much more memory than after the first epochs the process may come to hold."""
SETTLED = 2
"""Epochs until caches and thread stacks have grown to what they stay at."""
EXPECTED_EVENTS = {
    "association", "association rejected", "no association asked for", "object refused",
    "connection refused", "contexts refused", "listening",
}  # fmt: skip
UNTOLD = "the connection broke off"
"""What the listener says of an association whose end nobody explained."""


@dataclass
class Epoch:
    """One stretch of fuzzing, with what was seen in it."""

    seed: int
    streams: int = 0
    honest: int = 0
    stored: int = 0
    words: list[str] = field(default_factory=list)


class Watch:
    """What must be the same after an epoch as before: threads, descriptors; and memory, nearly."""

    def __init__(self) -> None:
        self.threads = threading.active_count()
        self.descriptors = descriptors()
        self.resident_bytes: list[int] = []

    def faults(self) -> Iterator[str]:
        """Name what did not come back, after some patience."""
        with contextlib.suppress(TimeoutError):
            wait_until(
                lambda: threading.active_count() <= self.threads
                and descriptors() <= self.descriptors,
                10, "rest",
            )  # fmt: skip
        if threading.active_count() > self.threads:
            yield f"threads left: {[one.name for one in threading.enumerate()]}"
        if descriptors() > self.descriptors:
            yield f"{descriptors() - self.descriptors} descriptors left open"
        gc.collect()
        self.resident_bytes.append(resident_bytes())
        if len(self.resident_bytes) > SETTLED:
            grown = self.resident_bytes[-1] - self.resident_bytes[SETTLED - 1]
            if grown > GROWTH_BYTES:
                yield f"memory grew by {grown >> 20} MB: {self.resident_bytes}"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@contextlib.contextmanager
def opened(root: Path) -> Iterator[tuple[Listener, Spool]]:
    """A listener with a real spool, for anyone."""
    settings = Settings.model_validate({
        "node": {
            "host": "127.0.0.1", "port": 0, "accept_unknown_callers": True,
            "max_associations": 200, "idle_timeout_s": IDLE_S,
        },
    })  # fmt: skip
    spool = Spool.open(root, segment_bytes=1 << 26, reserve_bytes=0)
    store = StoreService(spool, settings, storage_contexts(), time.time)
    listener = Listener(settings, store, [EchoService()])
    listener.start()
    try:
        yield listener, spool
    finally:
        listener.stop(0)
        spool.close()


def run(seed: int, seconds: float, epoch_s: float = 5.0) -> Iterator[Finding | Epoch]:
    """Yield each epoch when it is over, and findings."""
    until = time.monotonic() + seconds
    number = 0
    watch: Watch | None = None
    while time.monotonic() < until:
        epoch = Epoch(seed + number)
        with crashes(epoch.words), tempfile.TemporaryDirectory() as folder:
            play(epoch, Path(folder), min(epoch_s, max(0.5, until - time.monotonic())))
        if watch is None:
            watch = Watch()  # what is imported and opened once is there now
        epoch.words += watch.faults()
        if epoch.words:
            yield Finding(epoch.words, epoch.seed, number)
        yield epoch
        number += 1


@contextlib.contextmanager
def crashes(words: list[str]) -> Iterator[None]:
    """Note every exception that ends a thread."""
    before = threading.excepthook

    def note(crash: Any) -> None:
        words.append(f"{crash.exc_type.__name__} ended {crash.thread}: {crash.exc_value}")

    threading.excepthook = note
    try:
        yield
    finally:
        threading.excepthook = before


def play(epoch: Epoch, folder: Path, seconds: float) -> None:
    """Let them loose on a fresh node for a while, and count."""
    with structlog.testing.capture_logs() as lines:
        with opened(folder / "spool") as (listener, spool):
            port = listener.port
            assert port is not None
            stopping = threading.Event()
            recordings = golden.load_all()
            honest = Honest(port, Random(f"{epoch.seed}/honest"), stopping)
            vandals = [
                Vandal(port, Random(f"{epoch.seed}/{n}"), stopping, recordings)
                for n in range(VANDALS)
            ]
            for one in (honest, *vandals):
                one.start()
            stopping.wait(seconds)
            stopping.set()
            for one in (honest, *vandals):
                one.join(QUIET_S)
            try:
                wait_until(lambda: not listener._connections, QUIET_S, "the end of connections")
            except TimeoutError as late:
                epoch.words.append(str(late))
        epoch.words += honest.words
        kept = Counter(keys(spool, folder / "spool"))
        epoch.words += spool_faults(kept, honest, vandals)
        shutil.rmtree(folder / "spool")
    epoch.words += log_faults(lines)
    epoch.streams = sum(one.count for one in vandals)
    epoch.honest, epoch.stored = len(honest.sent), kept.total()


def keys(spool: Spool, root: Path) -> Iterator[Key]:
    """What is in the spool: (SOP Instance UID, digest of the dataset)."""
    reader = SpoolReader(root)
    for record in spool.records({}):
        instance = reader.identify(record)
        with reader.open(instance.location) as stream:
            data = stream.read()[len(part10.file_meta(instance.arrival)) :]
        yield instance.arrival.sop_instance_uid, hashlib.sha256(data).hexdigest()


def spool_faults(kept: Counter[Key], honest: Honest, vandals: list[Vandal]) -> Iterator[str]:
    """Name what is in the spool and was never sent whole, and what is not and should be."""
    sent = Counter(honest.sent)
    whole: Counter[Key] = sum((one.whole for one in vandals), Counter())
    if sent - kept:
        yield f"{(sent - kept).total()} honest objects are not in the spool"
    if kept - sent - whole:
        yield f"in the spool, and not sent whole: {list(kept - sent - whole)[:3]}"
    successes = sum(one.successes for one in vandals)
    if successes > (kept - sent).total():
        yield f"{successes} Successes for {(kept - sent).total()} damaged streams' objects"


def log_faults(lines: list[Any]) -> Iterator[str]:
    """Name what the log should not hold."""
    for line in lines:
        if line["event"] not in EXPECTED_EVENTS:
            yield f"logged: {line}"
            continue
        if line["event"] == "association" and line["words"] == UNTOLD:
            yield f"an association ended for no reason that was told: {line}"
