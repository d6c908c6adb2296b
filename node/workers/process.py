"""The life of one worker process: set up, listen for the doorbell, work, end."""

import os
import signal
import threading
from collections.abc import Callable

from ai.pipeline import Pool
from config.model import Settings
from node.keys import spool_keys
from node.logs import configure
from node.supervisor import owner_of
from node.workers.handlers import HANDLERS
from node.workers.loop import Loop
from node.workers.workshop import Workshop
from routing.retry import Policy
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader

NICENESS = 10
"""The front's own workers: whoever waits at the door comes first."""


def work(settings: Settings, *, until_eof: bool) -> None:
    """Work until SIGTERM, SIGINT, or, if asked, the end of standard input."""
    configure(settings.log.level)
    if until_eof:
        os.nice(NICENESS)
    data_dir = settings.node.data_dir
    reader = SpoolReader(data_dir / "spool", spool_keys(settings.node))
    workshop = Workshop(settings, Ledger.open_existing(data_dir), reader, Pool())
    policy = Policy(settings.jobs.attempts, settings.jobs.first_wait_s)
    loop = Loop(workshop, HANDLERS, owner_of(os.getpid()), policy)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: loop.stop())
    if until_eof:
        listen = threading.Thread(
            target=_listen, args=(loop.ring, loop.stop), name="doorbell", daemon=True
        )
        listen.start()
    try:
        loop.run()
    finally:
        workshop.close()


def _listen(ring: Callable[[], None], stop: Callable[[], None]) -> None:
    """Read the front's pipe: any byte is the doorbell, its end means that the front is gone."""
    while os.read(0, 4096):
        ring()
    stop()
