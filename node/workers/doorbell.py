"""What a worker hears from its front: a byte is the doorbell, the end of the pipe means stop."""

import os
import threading
from collections.abc import Callable


class Doorbell:
    """Listens on standard input from the first moment on, long before the worker can work.

    A worker takes seconds to load what it needs. One whose front goes away meanwhile has claimed
    nothing and ends at once, so that a node stops quickly soon after it started too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ring: Callable[[], None] | None = None
        self._stop: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._listen, name="doorbell", daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def attach(self, ring: Callable[[], None], stop: Callable[[], None]) -> None:
        """Have bytes call `ring` and the end call `stop`, from now on."""
        with self._lock:
            self._ring, self._stop = ring, stop

    def _listen(self) -> None:
        while os.read(0, 4096):
            with self._lock:
                if self._ring:
                    self._ring()
        with self._lock:
            if self._stop is None:
                os._exit(0)
            self._stop()
