"""Put the front together: the only file that knows every part."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from config.model import Node, Settings
from dicom.context import storage_contexts
from node.associations import AssociationBook
from node.control_client import SOCKET_NAME
from node.filing import Filing
from node.history import History
from node.keys import require_keys, spool_keys
from node.listener import Listener
from node.metrics import Metrics
from node.notify import Notifier
from node.reading import ReadingProcess
from node.services.echo import EchoService
from node.services.find import FindService
from node.services.store import StoreService
from node.settler import Settler
from node.status import Status
from node.supervisor import Supervisor
from node.traits import Traits
from node.watermarks import Marks, Watermarks
from node.web.control import control_app
from node.web.server import Server
from node.web.signs import signs_app
from routing.rules import compile_rules
from routing.settle import Timing
from storage.index.database import Index
from storage.ledger.events import NewEvent
from storage.ledger.follow import Follower
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.sealing import SpoolKeys
from storage.spool.spool import Spool

MB = 1 << 20
DISK_CHANGED = "penumbra.disk.changed"
"""The type of the event about the room on the spool's disk."""


@dataclass(frozen=True, slots=True)
class Front:
    """Every part of the front process, made but not started."""

    spool: Spool
    ledger: Ledger
    index: Index
    filing: Filing
    listener: Listener
    supervisor: Supervisor
    watermarks: Watermarks
    servers: tuple[Server, ...]
    notifier: Notifier | None


def assemble(settings: Settings, config_file: Path) -> Front:
    """Open what is on disk and connect the parts; nothing runs yet.

    Raises StorageFault when another node uses the data directory or the disk fails, ConfigFault
    when the spool's keys do not open it.
    """
    data_dir = settings.node.data_dir
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = data_dir / "spool"
    keys = spool_keys(settings.node)
    require_keys(keys, root)
    spool = _spool(settings.node, root, keys)
    ledger = Ledger.open(data_dir)
    index = Index.open(data_dir / "index.duckdb")
    reader = SpoolReader(root, keys)
    book = AssociationBook()
    metrics, history = Metrics(settings.peers), History(time.time)
    supervisor = Supervisor(config_file, settings.node.workers, _expire(ledger, settings))
    readings = ReadingProcess(root, keys)
    filing = Filing(
        spool,
        Follower(spool, reader, ledger.intake, index, readings),
        _settler(settings, ledger, reader),
        ledger,
        book,
        attempts=settings.jobs.attempts,
        pid=os.getpid(),
        ring=supervisor.ring,
    )
    readings.beat = filing.beat
    watermarks = _watermarks(settings, spool, ledger)
    contexts = storage_contexts(settings.node.private_sop_classes)
    listener = Listener(
        settings,
        StoreService(spool, settings, contexts, time.time, watermarks),
        [EchoService(), FindService(settings, index)],
        [book, metrics, history],
        door_watchers=[metrics, history],
        disk=lambda: watermarks.state,
    )
    status = Status(
        settings, spool, ledger, index, filing, listener, supervisor, watermarks, time.time()
    )
    metrics.read_from(status.facts)
    signs = signs_app(status.checks(), metrics, status.is_alive)
    control = control_app(
        status=status.facts, sql=index.sql, events=_events(ledger), associations=history.recall
    )
    servers = (
        Server.on_port(signs, settings.http.host, settings.http.port),
        Server.on_socket(control, data_dir / SOCKET_NAME),
    )
    notifier = (
        Notifier(settings.mqtt, ledger.outbox, settings.node.ae_title) if settings.mqtt else None
    )
    return Front(spool, ledger, index, filing, listener, supervisor, watermarks, servers, notifier)


def _spool(node: Node, root: Path, keys: SpoolKeys) -> Spool:
    """Open the spool to write to."""
    return Spool.open(
        root,
        segment_bytes=node.segment_mb * MB,
        reserve_bytes=node.reserve_mb * MB,
        key=keys.current,
    )


def _events(ledger: Ledger) -> Callable[[int, int], list[dict[str, object]]]:
    """Give the control app its events as plain facts."""
    return lambda after, limit: [asdict(event) for event in ledger.outbox.after(after, limit)]


def _settler(settings: Settings, ledger: Ledger, reader: SpoolReader) -> Settler:
    """Settle Series, and plan what the rules ask for."""
    timing = Timing(settings.settle.quiet_s, settings.settle.release_s)
    rules = compile_rules(settings.rules)
    traits = Traits(reader, rules, settings.peers)
    return Settler(ledger.settling, traits, rules, timing)


def _watermarks(settings: Settings, spool: Spool, ledger: Ledger) -> Watermarks:
    """Watch the room on the spool's disk, and tell of changes as events."""

    def tell(state: str, facts: Mapping[str, object]) -> None:
        event = NewEvent(DISK_CHANGED, settings.node.ae_title, {"state": state, **facts})
        ledger.outbox.record([event], time.time())

    return Watermarks(Marks.of(settings.node), spool.free_bytes, tell)


def _expire(ledger: Ledger, settings: Settings) -> Callable[[str], object]:
    """Give the supervisor what to do about a worker that died: its jobs go back at once."""
    attempts = settings.jobs.attempts
    return lambda owner: ledger.jobs.expire(time.time(), attempts, owner=owner)
