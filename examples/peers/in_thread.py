"""A server of Python's own that answers in a thread of this process."""

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator

POLL_S = 0.02
"""So soon it notices that it is to end."""


@contextlib.contextmanager
def answering(
    server: socketserver.BaseServer, release: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Answer until the block ends, and close the server then.

    `release` is called first, to let go of whoever is kept waiting on purpose.
    """
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_S})
    with server:
        thread.start()
        try:
            yield
        finally:
            release()
            server.shutdown()
            thread.join()
