"""Keep the certificate of the TLS port: take up a new one while connections go on, warn of its end.

A connection keeps what it began with. Files that cannot be used never take the place of those
in use.
"""

import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from config.model import Tls
from dicom.errors import ConfigFault
from node.handshake import Failure, explain

if TYPE_CHECKING:
    from config.certificates import Certificates

LOOK_S: Final = 2.0
"""Between looks at the files. New ones are taken up when two looks find them the same: whoever
writes them writes several, one after the other."""
WARN_DAYS: Final = 30
DAY_S: Final = 86_400

_Stamp = tuple[tuple[int, int, int], ...]

log = structlog.get_logger()


class Credentials:
    """What the node shows of itself, and whom it believes."""

    def __init__(
        self, tls: Tls, *, look_s: float = LOOK_S, clock: Callable[[], float] = time.time
    ) -> None:
        """Read the files. Raises ConfigFault with everything that is wrong with them."""
        self._tls = tls
        self._look_s = look_s
        self._clock = clock
        self._seen = self._used = self._stamp()
        self._current = self._load()
        self._trouble = ""
        self._warned_at: float | None = None
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._asked = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def expires_at(self) -> float:
        """When the certificate in use ends; seconds since the epoch, UTC."""
        return self._current.expires_at

    @property
    def context(self) -> ssl.SSLContext:
        """What a new connection is put under at this moment."""
        return self._current.context

    def facts(self) -> Mapping[str, object]:
        """Tell how long the certificate lasts, and the handshakes that failed by kind."""
        with self._lock:
            failures = dict(self._failures)
        left_s = round(self.expires_at - self._clock())
        return {"certificate_left_s": left_s, "handshakes_failed": failures}

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Put a new connection under TLS; its handshake is still to be made.

        Raises OSError, and counts it, when the peer has reset it already.
        """
        try:
            # Wrapping would fail half way, and leave the closing to the collector.
            connection.getpeername()
            return self._current.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        except OSError as fault:
            self.count(explain(fault))
            raise

    def count(self, failure: Failure) -> None:
        """Count a handshake that failed."""
        with self._lock:
            self._failures[failure.kind] += 1

    def start(self) -> None:
        """Look at the files from now on, in a thread of its own."""
        self.warn()
        self._thread = threading.Thread(target=self._keep_looking, name="tls", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def hasten(self) -> None:
        """Take new files up at the next look: whoever asks says that they are complete.

        For a signal's handler, which must not wait for a lock.
        """
        self._asked = True

    def look(self, *, at_once: bool = False) -> None:
        """Take the files up if they changed and can be used; otherwise say why not, once."""
        seen, before = self._stamp(), self._seen
        self._seen = seen
        if seen == self._used or not (at_once or seen == before):
            return
        try:
            self._current = self._load()
        except ConfigFault as fault:  # tried again: a certificate may become valid by waiting
            if str(fault) != self._trouble:
                log.error("new certificate refused, the old one stays in use", words=str(fault))
            self._trouble = str(fault)
            return
        self._used, self._trouble, self._warned_at = seen, "", None
        log.info("certificate taken up", file=str(self._tls.certificate), days=self._days_left())

    def _load(self) -> "Certificates":
        from config import certificates  # 8 MB that a node without TLS need not have

        return certificates.load(self._tls, self._clock())

    def _keep_looking(self) -> None:
        while not self._stopping.wait(self._look_s):
            asked, self._asked = self._asked, False
            try:
                self.look(at_once=asked)
                self.warn()
            except Exception as fault:  # noqa: BLE001  (the thread shall outlive a bug: who
                # would notice, before the certificate has ended, that nobody looks?)
                log.error("cannot look at the certificate", fault=type(fault).__name__)

    def warn(self) -> None:
        """Say once a day that the certificate is near its end, or past it."""
        now = self._clock()
        days = self._days_left()
        recently = self._warned_at is not None and now - self._warned_at < DAY_S
        if days >= WARN_DAYS or recently:
            return
        self._warned_at = now
        ended = self.expires_at <= now
        log.log(
            40 if ended else 30,
            "certificate has ended" if ended else "certificate ends soon",
            file=str(self._tls.certificate),
            days=days,
            fix="have it issued anew, and put the new files in the place of the old ones",
        )

    def _days_left(self) -> int:
        return int((self.expires_at - self._clock()) // DAY_S)

    def _stamp(self) -> _Stamp:
        return tuple(_stamp(file) for file in self._files())

    def _files(self) -> Iterator[Path]:
        for file in (self._tls.certificate, self._tls.key, self._tls.client_ca):
            if file is not None:
                yield file


def _stamp(file: Path) -> tuple[int, int, int]:
    """Tell one state of a file from another; following links, since mounted secrets are links."""
    try:
        facts = file.stat()
    except OSError:
        return 0, 0, 0
    return facts.st_mtime_ns, facts.st_ino, facts.st_size
