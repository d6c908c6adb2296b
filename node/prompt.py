"""Have an association's two threads wake when something comes, not at their next look.

pynetdicom looks at its queues and its socket once a millisecond, on each thread: a question waited
for both. Here the upper layer's thread waits at the socket, and the association's at its queue.
"""

import queue
import time
from typing import Any, Final

from pynetdicom.association import Association

LOOK_MS: Final = 1
"""So long the upper layer's thread waits at the socket; what the other one sends waits as long."""
PAUSE_S: Final = LOOK_MS / 1000
"""The same, where the socket must not be looked at."""
REST_S: Final = 0.005
"""So long the association's thread waits for a message, before it looks at its timers."""
_LOOP_S: Final = 0.000_02

_NOTHING: Final = (None, None)


def pause() -> bool:
    """Wait as a look at the socket does; returns that there was nothing."""
    time.sleep(PAUSE_S)
    return False


def install(association: Association) -> None:
    """Put the waiting in the place of pynetdicom's sleeping; the association is not started yet."""
    dul, dimse = association.dul, association.dimse
    dul._run_loop_delay = _LOOP_S  # noqa: SLF001  (node/lane.py waits between its rounds)
    get, put = dimse.get_msg, dul.to_user_queue.put

    def wait(block: bool = False) -> Any:  # noqa: FBT001, FBT002  (pynetdicom's signature)
        if block:
            return get(block=True)
        try:
            return dimse.msg_queue.get(timeout=REST_S)
        except queue.Empty:
            return _NOTHING

    def put_and_wake(item: Any) -> None:
        put(item)
        dimse.msg_queue.put(_NOTHING)  # a release, an abort, the end: looked at after messages

    dimse.get_msg = wait  # type: ignore[method-assign]
    dul.to_user_queue.put = put_and_wake  # type: ignore[method-assign, assignment]
