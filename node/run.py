"""Run the front: start every part in order, wait for a signal, stop in order within 10 s."""

import gc
import signal
import sys
import threading
from pathlib import Path

import structlog

from config.model import Settings
from node.assemble import Front, assemble
from node.logs import configure

DRAIN_S = 4.0
"""How long associations in flight may go on after the door closed."""
WORKERS_S = 3.0
RETENTION_S = 1.0
FILING_S = 1.5
SOURCES_S = 2.0
WORKLIST_S = 1.0
TURN_S = 0.001
"""After so long a thread that computes lets another one on; Python's own 5 ms show in p99."""
NOTIFY_S = 1.0
ASKING_S = 0.5
ACCOUNT_S = 0.5

log = structlog.get_logger()


def serve(settings: Settings, config_file: Path) -> None:
    """Run the node until SIGTERM or SIGINT. Raises ConfigFault, StorageFault at the start."""
    configure(settings.log.level)
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    front = assemble(settings, config_file)
    signal.signal(signal.SIGHUP, lambda *_: reread(front))
    try:
        start(front)
        # What was made until here lives as long as the process: the collector need not look.
        gc.freeze()
        # The lanes hold the interpreter for microseconds; what computes longer gives it up sooner.
        sys.setswitchinterval(TURN_S)
        log.info("ready", port=front.listener.port, workers=settings.node.workers)
        stopping.wait()
        log.info("stopping")
    finally:
        stop(front)
    log.info("stopped")


def start(front: Front) -> None:
    """Start the parts so that each finds what it needs; the DICOM door opens last."""
    front.watermarks.start()
    front.supervisor.start()
    front.asking.start()
    front.filing.start()
    front.account.start()
    front.retention.start()
    front.committing.start()
    front.news.start()
    if front.notifier is not None:
        front.notifier.start()
    for server in front.servers:
        server.start()
    front.sources.start()
    front.worklist.start()
    front.listener.start()


def reread(front: Front) -> None:
    """Take up new certificates; nothing else is read again while the node runs."""
    if front.listener.credentials is not None:
        front.listener.credentials.hasten()


def stop(front: Front) -> None:
    """Close the door, let what is in flight end, then end the rest; safe after a failed start."""
    front.listener.stop(DRAIN_S)
    front.retrievals.close()
    front.sources.stop(SOURCES_S)
    front.worklist.stop(WORKLIST_S)
    front.watermarks.stop()
    front.retention.stop(RETENTION_S)
    front.committing.stop(FILING_S)
    front.supervisor.stop(WORKERS_S)
    front.filing.stop(FILING_S)
    front.account.stop(ACCOUNT_S)
    front.asking.stop(ASKING_S)
    front.news.stop()
    if front.notifier is not None:
        front.notifier.stop(NOTIFY_S)
    for server in front.servers:
        server.stop()
    front.index.close()
    front.spool.close()
    front.ledger.close()
    gc.unfreeze()
