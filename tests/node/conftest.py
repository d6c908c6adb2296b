"""The door on a free port with a real receiver behind it, and peers that call it."""

import contextlib
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import AllTransferSyntaxes
from pynetdicom.presentation import AllStoragePresentationContexts, build_context

from config import certificates
from config.model import Settings, Tls
from dicom import part10
from dicom.entity import Arrival, Instance
from dicom.errors import SpoolFull
from examples.peers import raw_scu
from examples.peers.certificates import Pki
from examples.peers.process import wait_until
from examples.peers.raw_scu import CALLER, RawPeer
from examples.peers.tls_peer import TlsPeer
from node.admission import AssociationFacts, AssociationRequest, Reject
from node.associations import AssociationBook
from node.conversation import Ending
from node.handshake import Failure
from node.listener import Listener
from node.negotiation import Negotiated
from node.services.echo import EchoService
from node.services.find import FindService
from node.services.store import StoreService
from node.settler import Settler
from node.traits import Traits
from node.transport_tls import Secure
from node.watermarks import Marks, Watermarks
from routing.rules import Rule
from routing.settle import Timing
from storage.index.database import Index
from storage.ledger.arriving import ReadingHere
from storage.ledger.follow import Follower
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.recording import Recording
from storage.spool.spool import Spool

OFF = Marks(0, 0, 0)
TIMING = Timing(1, 1, study_quiet_s=1e12)


class GatedSpool:
    """A real spool. `gate` holds commits back, `fault` makes the next ones fail."""

    def __init__(self, root: Path) -> None:
        self.spool = Spool.open(root, segment_bytes=1 << 26, reserve_bytes=0)
        self.reader = SpoolReader(root)
        self.abandoned = 0
        self.gate = threading.Event()
        self.gate.set()
        self.committing = threading.Event()
        self.fault: Exception | None = None

    def begin(self, arrival: Arrival) -> "GatedRecording":
        return GatedRecording(self, self.spool.begin(arrival))

    def instances(self) -> list[Instance]:
        """What is on disk, as the ledger's follower would find it."""
        return [self.reader.identify(record) for record in self.spool.records({})]

    def bytes_of(self, instance: Instance) -> bytes:
        with self.reader.open(instance.location) as stream:
            return stream.read()


class GatedRecording:
    def __init__(self, owner: GatedSpool, recording: Recording) -> None:
        self._owner, self._recording = owner, recording
        self._open = True

    def write(self, chunk: bytes | memoryview) -> None:
        self._recording.write(chunk)

    def room(self, wanted: int) -> memoryview:
        return self._recording.room(wanted)

    def advance(self, count: int) -> None:
        self._recording.advance(count)

    def commit(self) -> Instance:
        self._owner.committing.set()
        assert self._owner.gate.wait(20)
        if self._owner.fault is not None:
            raise self._owner.fault
        self._open = False
        return self._recording.commit()

    def abandon(self) -> None:
        self._recording.abandon()
        self._owner.abandoned += self._open
        self._open = False


class Diary:
    """A watcher that writes everything down."""

    def __init__(self) -> None:
        self.opened: list[AssociationFacts] = []
        self.closed: list[tuple[AssociationFacts, Ending]] = []
        self.rejected: list[tuple[AssociationRequest, Reject]] = []
        self.statuses: list[int] = []
        self.negotiated: list[Negotiated] = []
        self.failed_handshakes: list[tuple[str, str]] = []

    def on_opened(self, association: AssociationFacts) -> None:
        self.opened.append(association)

    def on_stored(self, association: AssociationFacts, status: int, size_bytes: int) -> None:
        self.statuses.append(status)

    def on_closed(self, association: AssociationFacts, ending: Ending) -> None:
        self.closed.append((association, ending))

    def on_rejected(self, request: AssociationRequest, verdict: Reject) -> None:
        self.rejected.append((request, verdict))

    def on_negotiated(self, association: AssociationFacts, negotiated: Negotiated) -> None:
        self.negotiated.append(negotiated)

    def on_failed_handshake(self, address: str, words: str) -> None:
        self.failed_handshakes.append((address, words))


class NothingThere:
    """An index without an answer."""

    @contextlib.contextmanager
    def finding(self, query: Any, limit: int) -> Iterator["NothingThere"]:
        yield self

    def page(self, size: int) -> list[tuple[str, ...]]:
        return []

    def interrupt(self) -> None: ...

    def let_go(self) -> None: ...


class Door:
    """A running listener with what stands behind it."""

    def __init__(self, listener: Listener, receiver: GatedSpool, diary: Diary) -> None:
        self.listener, self.receiver, self.diary = listener, receiver, diary

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def tls_port(self) -> int:
        return self.listener.tls_port

    @property
    def stored(self) -> list[Instance]:
        return self.receiver.instances()

    def datasets(self) -> list[bytes]:
        """The dataset bytes of every stored object, in order, without the file meta."""
        return [
            self.receiver.bytes_of(one)[len(part10.file_meta(one.arrival)) :] for one in self.stored
        ]

    def ended(self, count: int = 1) -> list[tuple[AssociationFacts, Ending]]:
        """Wait until so many associations have ended, and return them."""
        wait_until(lambda: len(self.diary.closed) >= count, 15, f"the end of {count} associations")
        return self.diary.closed

    def connections(self) -> int:
        return len(self.listener._connections)

    def is_quiet(self) -> None:
        """Wait until no connection is left."""
        wait_until(lambda: not self.connections(), 15, "the end of all connections")


class Wire:
    """What tests of raw bytes build with."""

    CT, IMPLICIT, EXPLICIT = raw_scu.CT, raw_scu.IMPLICIT, raw_scu.EXPLICIT
    CALLER, VERIFICATION = raw_scu.CALLER, raw_scu.VERIFICATION
    RELEASE, ABORT = raw_scu.RELEASE, raw_scu.ABORT
    associate_rq = staticmethod(raw_scu.associate_rq)
    p_data = staticmethod(raw_scu.p_data)
    pdv = staticmethod(raw_scu.pdv)
    store_rq = staticmethod(raw_scu.store_rq)
    element = staticmethod(raw_scu.element)
    dataset_of = staticmethod(raw_scu.dataset_of)
    Full = SpoolFull


@pytest.fixture(scope="session")
def wire() -> type[Wire]:
    """Builders of raw PDUs, commands and datasets."""
    return Wire


def settings_of(**node: Any) -> Settings:
    peers = node.pop("peers", {CALLER: {"may": ["store", "find"]}, "NOSTORE": {"may": ["find"]}})
    tls, destinations = node.pop("tls", None), node.pop("destinations", {})
    node = {"host": "127.0.0.1", "port": 0, **node}
    return Settings.model_validate(
        {
            "node": node,
            "peers": peers,
            "tls": tls and {"port": 0, **tls},
            "destinations": destinations,
        }
    )


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., Settings]:
    """Settings of a node on a free loopback port that knows SCANNER and NOSTORE."""
    return settings_of


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    """Start a listener; keys are those of [node], `peers`, `tls`, and more.

    `watchers`, `watermarks`; `services` makes further services of the settings.
    """
    doors: list[Door] = []

    def start(**node: Any) -> Door:
        watchers, marks = node.pop("watchers", []), node.pop("watermarks", Watermarks(OFF, int))
        more = node.pop("services", lambda _settings: [])
        settings = settings_of(**node)
        receiver = GatedSpool(tmp_path / f"spool{len(doors)}")
        diary = Diary()
        contexts = [
            build_context(one.abstract_syntax, AllTransferSyntaxes)
            for one in AllStoragePresentationContexts
        ] + [build_context(one, AllTransferSyntaxes) for one in settings.node.private_sop_classes]
        store = StoreService(receiver, settings, contexts, lambda: 1_700_000_000.0, marks)
        services = [EchoService(), FindService(settings, NothingThere()), *more(settings)]
        watchers = [diary, *watchers]
        listener = Listener(
            settings, store, services, watchers, door_watchers=watchers, disk=lambda: marks.state
        )
        door = Door(listener, receiver, diary)
        door.listener.start()
        doors.append(door)
        return door

    yield start
    for door in doors:
        door.receiver.gate.set()
        door.listener.stop(0)
        door.receiver.spool.close()
        assert not door.connections()


@pytest.fixture
def door(open_door: Callable[..., Door]) -> Door:
    """A running listener with default settings."""
    return open_door()


@pytest.fixture
def call(request: pytest.FixtureRequest) -> Iterator[Callable[..., RawPeer]]:
    """Connect raw peers to a door, by default to the fixture `door`; closed afterwards.

    With a TLS context to its TLS port; `plain_to_tls` calls that port without TLS.
    """
    peers: list[RawPeer] = []

    def connect(
        to: Door | None = None, tls: ssl.SSLContext | None = None, *, plain_to_tls: bool = False
    ) -> RawPeer:
        door = to or request.getfixturevalue("door")
        peers.append(RawPeer(door.tls_port if tls or plain_to_tls else door.port, tls))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates, made once."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection: our end and the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname(), 10)
        theirs.settimeout(10)
        ours = server.accept()[0]
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def secure(
    ends: tuple[socket.socket, socket.socket], pki: Pki
) -> Iterator[Callable[..., tuple[Secure, TlsPeer]]]:
    """Put a connection under TLS, before its handshake; and its peer, of a TLS version."""
    made: list[Secure] = []
    server = certificates.load(Tls.model_validate(pki.tls()), time.time()).context

    def start(
        version: str,
        timeout_s: float = 5,
        on_failure: Callable[[Failure], object] = lambda _: None,
    ) -> tuple[Secure, TlsPeer]:
        wrapped = server.wrap_socket(ends[0], server_side=True, do_handshake_on_connect=False)
        made.append(Secure(wrapped, timeout_s, 5, on_failure))
        return made[-1], TlsPeer(ends[1], pki.authority.client(pki.client, newest=version))

    yield start
    for one in made:
        one.close()


@dataclass
class Front:
    """The parts of the front that take an object from the spool to its jobs."""

    data_dir: Path
    spool: Spool
    ledger: Ledger
    follower: Follower
    reader: SpoolReader
    peers: tuple[str, ...] = ()
    timing: Timing = TIMING

    def receive(
        self,
        dataset: bytes | Dataset,
        transfer_syntax_uid: str = "1.2.840.10008.1.2.1",
        **arrival: Any,
    ) -> None:
        """File an object as CT1 sends it by default."""
        if isinstance(dataset, Dataset):
            uid, stream = dataset.SOPInstanceUID, io.BytesIO()
            dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
            dataset = stream.getvalue()
        else:
            uid = "1.2.3"
        facts = {"calling_ae": "CT1", "called_ae": "PENUMBRA", "received_at": 10.0, **arrival}
        facts = {"association": "a1", **facts}
        told = Arrival(
            "1.2.840.10008.5.1.4.1.1.2", uid, transfer_syntax_uid, address="h", **facts
        )  # fmt: skip
        with self.spool.begin(told) as recording:
            recording.write(part10.file_meta(told))
            recording.write(dataset)
            recording.commit()
        while self.follower.step() is not None:
            pass

    def settle(self, rules: Sequence[Rule], now: float = 99.0) -> int:
        """Settle what was received; returns how many Series that were."""
        return self.settler(rules).step(now, AssociationBook().closed())

    def settler(self, rules: Sequence[Rule], **more: Any) -> Settler:
        """Make a settler of its own."""
        traits = Traits(self.reader, rules, self.peers)
        ledger = self.ledger
        return Settler(ledger.settling, ledger.studies, traits, rules, self.timing, **more)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """What stands behind the door, over a data directory `var`."""
    data_dir = tmp_path / "var"
    with Spool.open(data_dir / "spool", segment_bytes=1 << 28, reserve_bytes=0) as spool:
        ledger, index = Ledger.open(data_dir), Index.open(data_dir / "index.duckdb")
        reader = SpoolReader(spool.root)
        follower = Follower(spool, reader, ledger.intake, index, ReadingHere(reader))
        yield Front(data_dir, spool, ledger, follower, reader)
        index.close()
        ledger.close()
