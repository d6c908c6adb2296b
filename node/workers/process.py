"""The life of one worker process: set up, listen for the doorbell, work, end."""

import os
import signal
from collections.abc import Collection

from config.model import Settings
from node.keys import spool_keys
from node.ledger import open_ledger
from node.logs import configure
from node.supervisor import owner_of
from node.workers.doorbell import Doorbell
from node.workers.handlers import HANDLERS, load_models
from node.workers.loop import Loop
from node.workers.stage import fetcher
from node.workers.watch import Watch
from node.workers.workshop import Workshop
from routing.job import Kind
from routing.retry import Policy
from storage.ledger.ledger import Ledger
from storage.ledger.news import News
from storage.ledger.schema import JOBS_CHANNEL
from storage.spool.reader import SpoolReader
from storage.spool.staged import StagedReader

NICENESS = 10
"""The front's own workers: whoever waits at the door comes first."""


def work(settings: Settings, doorbell: Doorbell | None, only: Collection[str] = ()) -> None:
    """Work until SIGTERM, SIGINT, or, for a worker of the front, until that hangs up.

    `only` names kinds of jobs; without it all of them are done.
    """
    configure(settings.log.level)
    if doorbell:
        os.nice(NICENESS)
    if settings.models and (not only or Kind.INFER in only):
        load_models()  # while the front's end still ends this worker at once
    ledger = open_ledger(settings)
    workshop = Workshop(settings, ledger, _reader(settings, ledger))
    jobs = settings.jobs
    policy = Policy(jobs.attempts, jobs.first_wait_s, give_up_s=jobs.give_up_h * 3600)
    handlers = {kind: each for kind, each in HANDLERS.items() if not only or kind in only}
    loop = Loop(workshop, handlers, owner_of(os.getpid()), policy)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: loop.stop())
    if doorbell:
        doorbell.attach(loop.ring, loop.stop)
    news = News(workshop.ledger.database, {JOBS_CHANNEL: loop.ring})
    news.start()
    watch = Watch(settings, workshop.ledger, loop.ring)
    watch.start()
    try:
        loop.run()
    finally:
        watch.stop()
        news.stop()
        workshop.close()


def _reader(settings: Settings, ledger: Ledger) -> SpoolReader:
    """Read the spool at hand, and what other nodes staged where they do."""
    root, keys = settings.node.data_dir / "spool", spool_keys(settings.node)
    if settings.staging is None:
        return SpoolReader(root, keys)
    return StagedReader(root, keys, fetch=fetcher(settings, ledger))
