"""Keep the worklist: the folder looked through, the port for orders open, old entries dropped."""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from config.model import Settings
from dicom.errors import Fault
from node.worklist.folder import REASONS, Folder
from node.worklist.hl7 import Hl7Listener, Responder
from storage.ledger.worklist import Worklist

PRUNE_EVERY_S: Final = 3600.0
LONGEST_WAIT_S: Final = 60.0

log = structlog.get_logger()


class WorklistKeeper:
    """What of the worklist runs by itself."""

    def __init__(
        self, settings: Settings, entries: Worklist, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings.worklist
        self._entries = entries
        self._clock = clock
        self._stopping = threading.Event()
        self._trouble = ""
        self._prune_at = 0.0
        self._folder = self._listener = None
        if self._settings.folder is not None:
            reasons = settings.node.data_dir / REASONS
            self._folder = Folder(self._settings.folder, entries, reasons, self._stopping.is_set)
        if self._settings.hl7 is not None:
            hl7 = self._settings.hl7
            responder = Responder(entries, self._settings.stations, hl7.charset, clock)
            self._listener = Hl7Listener(hl7, responder)
        self._thread = threading.Thread(target=self._run, name="worklist", daemon=True)

    @property
    def hl7_port(self) -> int | None:
        """The port for orders, if one is open."""
        return self._listener.port if self._listener else None

    def start(self) -> None:
        """Begin. Raises ConfigFault when the port for orders cannot be had."""
        if self._listener:
            self._listener.start()
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End all. Safe before start."""
        self._stopping.set()
        if self._listener:
            self._listener.stop(timeout_s)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def facts(self) -> dict[str, object]:
        """Tell of the entries by state, of the folder, and of what orders were answered.

        Raises StorageFault while the ledger cannot be asked.
        """
        told: dict[str, object] = {"entries": self._entries.counts(), "trouble": self._trouble}
        if self._folder:
            told |= {"files": self._folder.count, "files_rejected": self._folder.rejected}
        if self._listener:
            told["hl7"] = self._listener.facts()
        return told

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            wait_s = self._settings.poll_s if self._folder else LONGEST_WAIT_S
            try:
                self._once()
            except Fault as fault:
                self._troubled(f"{fault.code}: {fault}")
            except Exception as bug:  # nothing is read any more if this loop ends
                self._troubled(f"bug: {type(bug).__name__}, see the node's log")
                log.error("worklist stands", exc_info=bug)

    def _once(self) -> None:
        if self._folder:
            self._folder.look(self._clock())
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_EVERY_S
            today = time.strftime("%Y%m%d")
            if dropped := self._entries.prune(self._settings.keep_days, self._clock(), today):
                log.info("worklist", dropped=dropped)
        rejected = self._folder.rejected if self._folder else 0
        self._troubled(
            f"{rejected} files of [worklist] folder cannot be read: {REASONS} in data_dir says why"
            if rejected
            else ""
        )

    def _troubled(self, words: str) -> None:
        if words != self._trouble:
            write = log.error if words else log.info
            write("worklist in trouble" if words else "worklist mended", words=words)
        self._trouble = words
