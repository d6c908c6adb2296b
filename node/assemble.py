"""Put the front together: the only file that knows every part."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from config.destinations import results_taken
from config.model import Node, Settings
from dicom.context import storage_contexts
from node.account import AccountKeeper
from node.asking import Asking
from node.associations import AssociationBook
from node.committing import Committing
from node.control_client import SOCKET_NAME
from node.fhir.desk import Desk
from node.filing import Filing
from node.front_api import abilities
from node.front_pages import Looking
from node.front_retrieve import Retrievals, retrievals
from node.front_sql import sql_desk
from node.front_web import WebParts, web_routes
from node.history import History
from node.keys import index_keys, require_keys, spool_keys
from node.ledger import open_front_ledger
from node.listener import Listener
from node.metrics import Metrics
from node.notify import Notifier
from node.reading import ReadingProcess
from node.retention import Retention
from node.services.commitment import CommitmentService
from node.services.echo import EchoService
from node.services.find import FindService
from node.services.mpps import MppsService
from node.services.store import StoreService
from node.services.table import Service
from node.services.worklist import WorklistService
from node.settler import Settler
from node.sources.sources import Sources, open_sources
from node.sql_desk import SqlDesk
from node.status import Status
from node.supervisor import Supervisor
from node.traits import Traits
from node.watermarks import Marks, Watermarks
from node.web.api import api_routes
from node.web.control import control_app
from node.web.control_reindex import control_routes as reindex_routes
from node.web.dicomweb.stow import titles_of
from node.web.fhir import control_route, fhir_routes
from node.web.https import credentials_of
from node.web.origins import allow_origins
from node.web.pages.routes import PageParts, page_routes
from node.web.server import Server
from node.web.signs import signs_app
from node.web.sql_door import SqlDoor
from node.web.tokens import Tokens
from node.worklist.keeper import WorklistKeeper
from routing.rules import compile_rules
from routing.settle import Timing
from storage.index.database import Index
from storage.ledger.events import NewEvent
from storage.ledger.follow import Follower
from storage.ledger.ledger import Ledger
from storage.ledger.news import News
from storage.ledger.schema import EVENTS_CHANNEL
from storage.spool.identity import identity
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
    committing: Committing
    sources: Sources
    asking: Asking
    retention: Retention
    news: News
    account: AccountKeeper
    retrievals: Retrievals
    worklist: WorklistKeeper


def assemble(settings: Settings, config_file: Path) -> Front:
    """Open what is on disk and connect the parts; nothing runs yet.

    Raises StorageFault when another node uses the data directory or the disk fails, ConfigFault
    when the spool's keys do not open it.
    """
    stores = _open(settings)
    spool, ledger, index = stores.spool, stores.ledger, stores.index
    book, metrics, history = AssociationBook(), _metrics(settings), History(time.time)
    supervisor = Supervisor(config_file, settings.node.workers, _expire(ledger, settings))
    asking = Asking(settings, ledger.expectations)
    settler = _settler(settings, ledger, stores.reader(), asking)
    filing = _filing(settings, stores, settler, book, supervisor.ring)
    watermarks = _watermarks(settings, spool, ledger)
    committing = _committing(settings, ledger, filing, supervisor)
    contexts = storage_contexts(settings.node.private_sop_classes)
    retrieved = retrievals(settings, ledger, index, (spool, stores.reader()), watcher=metrics)
    listener = Listener(
        settings,
        StoreService(spool, settings, contexts, time.time, watermarks),
        [*_services(settings, ledger, index, committing), *retrieved.services],
        [book, metrics, history],
        door_watchers=[metrics, history],
        disk=lambda: watermarks.state,
    )
    sources = _sources(settings, spool, ledger, watermarks)
    account = _account(stores, history)
    worklist = WorklistKeeper(settings, ledger.worklist, ledger.database.now)
    behind = filing.index_is_behind
    retention = Retention(settings, spool, stores.reader(), ledger, index, index_is_behind=behind)
    status = Status(
        settings, spool, ledger, index, filing, listener, supervisor, watermarks, time.time(),
        sources=sources.facts, settling=lambda: _settling_facts(settler, asking),
        retention=retention.facts, worklist=worklist.facts, account=lambda: account.trouble,
    )  # fmt: skip
    metrics.read_from(status.facts)
    servers = (
        _http(settings, stores, sources, status, metrics, watermarks=watermarks, book=book,
              retrieved=retrieved, history=history),
        _control(settings, stores, status, history),
    )  # fmt: skip
    return Front(
        spool,
        ledger,
        index,
        filing,
        listener,
        supervisor,
        watermarks,
        servers,
        _notifier(settings, ledger),
        committing,
        sources,
        asking,
        retention,
        News(ledger.database, {EVENTS_CHANNEL: ledger.outbox.notify}),
        account,
        retrieved,
        worklist,
    )


@dataclass(frozen=True, slots=True)
class _Stores:
    """What is on disk, opened."""

    root: Path
    keys: SpoolKeys
    spool: Spool
    ledger: Ledger
    index: Index
    desk: SqlDesk
    """Where index and ledger are asked in SQL."""

    def reader(self) -> SpoolReader:
        """Make a reader of its own: each maps and lets go of segments by itself."""
        return SpoolReader(self.root, self.keys)


def _open(settings: Settings) -> _Stores:
    """Open spool, ledger and index. Raises as `assemble`."""
    data_dir = settings.node.data_dir
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    root, keys = data_dir / "spool", spool_keys(settings.node)
    require_keys(keys, root)
    spool = _spool(settings.node, root, keys)
    ledger = open_front_ledger(settings)
    index = Index.open(data_dir / "index.duckdb", index_keys(settings.node, keys))
    desk = sql_desk(settings.sql, index, ledger, data_dir)
    return _Stores(root, keys, spool, ledger, index, desk)


def _filing(
    settings: Settings,
    stores: _Stores,
    settler: Settler,
    book: AssociationBook,
    ring: Callable[[], None],
) -> Filing:
    """Follow the log into ledger and index, and settle."""
    readings = ReadingProcess(stores.root, stores.keys)
    intake, reader = stores.ledger.intake, stores.reader()
    filing = Filing(
        stores.spool,
        Follower(stores.spool, reader, intake, stores.index, readings),
        settler,
        stores.ledger,
        book,
        attempts=settings.jobs.attempts,
        pid=os.getpid(),
        ring=ring,
    )
    readings.beat = filing.beat
    return filing


def _notifier(settings: Settings, ledger: Ledger) -> Notifier | None:
    """Tell of events by MQTT, where that is wanted."""
    if settings.mqtt is None:
        return None
    return Notifier(settings.mqtt, ledger.outbox, settings.node.ae_title)


def _control(settings: Settings, stores: _Stores, status: Status, history: History) -> Server:
    """Bind the socket by which commands on this machine ask the running node."""
    app = control_app(
        status=status.facts,
        sql=stores.index.sql,
        events=_events(stores.ledger),
        associations=history.recall,
        desk=stores.desk,
    )
    app.router.routes.append(control_route(_fhir(settings, stores)))
    app.router.routes.extend(reindex_routes(stores.index))
    return Server.on_socket(app, settings.node.data_dir / SOCKET_NAME)


def _fhir(settings: Settings, stores: _Stores) -> Desk:
    """Make what answers for FHIR."""
    return Desk(settings.fhir, stores.index, stores.ledger.studies)


def _account(stores: _Stores, history: History) -> AccountKeeper:
    """Keep the account of what the node does, from the history of associations on."""
    keeper = AccountKeeper(stores.ledger, stores.index, stores.spool.quiet_s)
    history.tell = keeper.note
    return keeper


def _sources(settings: Settings, spool: Spool, ledger: Ledger, watermarks: Watermarks) -> Sources:
    """Make the doors beside DICOM."""
    return open_sources(
        settings, spool, ledger.taken, watermarks,
        lambda told: ledger.outbox.record(told, time.time()), machine=identity(spool.root),
    )  # fmt: skip


def _http(
    settings: Settings,
    stores: _Stores,
    sources: Sources,
    status: Status,
    metrics: Metrics,
    *,
    watermarks: Watermarks,
    book: AssociationBook,
    retrieved: Retrievals,
    history: History,
) -> Server:
    """Bind the HTTP port: signs of life, and what there is for whoever has a token."""
    app, http = signs_app(status.checks(), metrics, status.is_alive), settings.http
    tokens = Tokens(settings.tokens, origins=http.origins)
    asked = abilities(settings, stores.ledger, sources, status.facts)
    door = SqlDoor(stores.desk)
    asked = replace(asked, sql=door)
    parts = WebParts(
        stores.index, stores.ledger.holdings.released, stores.spool, watermarks,
        (book, metrics, history), asked.audit, retrieved,
    )  # fmt: skip
    app.router.routes.extend(api_routes(tokens, asked))
    app.router.routes.extend(web_routes(settings, tokens, parts))
    fhir = _fhir(settings, stores)
    app.router.routes.extend(fhir_routes(tokens, fhir, behind_proxy=http.behind_proxy))
    looking = Looking(settings, stores.index, status.facts, history.recall)
    shown = PageParts(settings.node.ae_title, door, looking)
    app.router.routes.extend(page_routes(tokens, shown))
    if http.origins:
        allow_origins(app, http.origins)
    return Server.on_port(app, http.host, http.port, credentials_of(http))


def _metrics(settings: Settings) -> Metrics:
    """Count by the titles of peers, and of tokens, whose holders store over the web."""
    return Metrics({*settings.peers, *titles_of(settings.tokens).values()})


def _committing(
    settings: Settings, ledger: Ledger, filing: Filing, supervisor: Supervisor
) -> Committing:
    """Judge requests for storage commitment, and report on them."""
    contexts = storage_contexts(settings.node.private_sop_classes)
    return Committing(
        settings,
        ledger,
        [str(each.abstract_syntax) for each in contexts],
        lag=filing.lag_records,
        ring=supervisor.ring,
        clock=ledger.database.now,
    )


def _services(
    settings: Settings, ledger: Ledger, index: Index, committing: Committing
) -> list[Service]:
    """List what is served beside C-STORE."""
    now = ledger.database.now
    return [
        EchoService(),
        FindService(settings, index, ledger.holdings.released),
        CommitmentService(settings, committing, ledger.committed, now),
        MppsService(settings, ledger.steps, ledger.expectations, now),
        WorklistService(settings, ledger.worklist),
    ]


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


def _settling_facts(settler: Settler, asking: Asking) -> dict[str, dict[str, int]]:
    """Say what went wrong in judging and planning, for `penumbra status` and the metrics."""
    found = {"rules_failed": dict(settler.failed)}
    return found | ({"asked": dict(asking.outcomes)} if asking.is_of_use else {})


def _settler(settings: Settings, ledger: Ledger, reader: SpoolReader, asking: Asking) -> Settler:
    """Settle Series and Studies, and plan what the rules ask for."""
    timing = Timing(**settings.settle.model_dump())
    rules = compile_rules(settings.rules)
    traits = Traits(reader, rules, settings.peers)
    ask = asking.ask if asking.is_of_use else None
    return Settler(
        ledger.settling,
        ledger.studies,
        traits,
        rules,
        timing,
        ask=ask,
        staging=settings.staging.destination if settings.staging else "",
        tells_fhir=settings.fhir.server is not None,
        taken=results_taken(settings.destinations),
    )


def _watermarks(settings: Settings, spool: Spool, ledger: Ledger) -> Watermarks:
    """Watch the room on the spool's disk, and tell of changes as events."""

    def tell(state: str, facts: Mapping[str, object]) -> None:
        event = NewEvent(DISK_CHANGED, settings.node.ae_title, {"state": state, **facts})
        ledger.outbox.record([event], time.time())

    return Watermarks(Marks.of(settings.node), spool.free_bytes, tell)


def _expire(ledger: Ledger, settings: Settings) -> Callable[[str], object]:
    """Give the supervisor what to do about a worker that died: its jobs go back at once."""
    attempts = settings.jobs.attempts
    return lambda owner: ledger.jobs.expire(ledger.database.now(), attempts, owner=owner)
