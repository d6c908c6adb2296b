"""Hear at once what another process wrote, on whichever machine: LISTEN on PostgreSQL.

A ledger on SQLite tells nothing; whoever waits looks again after a while, as it does where a
connection to the server is lost. So what is told here is only sooner, never more.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from dicom.errors import Fault
from storage.ledger.database import Database

if TYPE_CHECKING:
    import psycopg

LOOK_EVERY_S: Final = 0.5
"""How long a stop may take to be noticed."""
PAUSE_S: Final = 1.0
"""The wait before a lost connection is made anew."""

log = structlog.get_logger()


class News:
    """A thread that calls whoever waits, each time something is told on its channel."""

    def __init__(self, database: Database, wake: Mapping[str, Callable[[], object]]) -> None:
        self._database = database
        self._wake = wake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="news", daemon=True)

    def start(self) -> None:
        """Begin to listen; on SQLite there is nothing to hear."""
        if self._database.is_shared:
            self._thread.start()

    def stop(self) -> None:
        """End the thread. Safe before start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except Fault as fault:
                log.warning("news wait", fault=fault.code, words=str(fault))
                self._stopping.wait(PAUSE_S)

    def _listen(self) -> None:
        with self._database.listening(list(self._wake)) as connection:
            log.info("listening")
            # What was told before the connection was there is found by looking.
            for call in self._wake.values():
                call()
            while not self._stopping.is_set():
                self._hear(connection)

    def _hear(self, connection: "psycopg.Connection[Any]") -> None:
        for told in connection.notifies(timeout=LOOK_EVERY_S, stop_after=1):
            self._wake[told.channel]()
