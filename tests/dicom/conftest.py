"""Peers that answer as a test wants: pynetdicom's SCP, and bare sockets that misbehave."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial

import pytest
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context

from dicom.context import TRANSFER_SYNTAXES
from dicom.store_scu import RemoteAe, StoreScu

CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("2", "4", "7"))
VERIFICATION = "1.2.840.10008.1.1"


@dataclass
class Scp:
    """A running SCP, and what it was sent."""

    port: int
    server: object
    stored: list[tuple[str, str, bytes]] = field(default_factory=list)
    """(SOP Instance UID, transfer syntax UID, dataset) in order."""
    associations: list[object] = field(default_factory=list)
    """Its side of every association, in order."""

    def peer(self, **changes) -> RemoteAe:
        facts = {"called_ae": "PACS", "calling_ae": "NODE", "timeout_s": 5.0} | changes
        return RemoteAe("127.0.0.1", self.port, **facts)


def start(stack, *, contexts=None, answer=lambda event: 0, **attributes) -> Scp:
    """Start an SCP: what it accepts, and what it does with an object (by default: store it)."""
    entity = ApplicationEntity("PACS")
    entity.supported_contexts = contexts or [
        build_context(VERIFICATION),
        *(build_context(one, list(TRANSFER_SYNTAXES)) for one in CLASSES),
    ]
    for name, value in attributes.items():
        setattr(entity, name, value)
    facts = Scp(0, None)

    def store(event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        syntax = str(event.context.transfer_syntax)
        dataset = event.request.DataSet.getvalue()
        code = answer(event)
        facts.stored.append((uid, syntax, dataset))
        return code

    handlers = [
        (evt.EVT_C_STORE, store),
        (evt.EVT_ACCEPTED, lambda event: facts.associations.append(event.assoc)),
    ]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    stack.callback(server.shutdown)
    facts.port, facts.server = server.socket.getsockname()[1], server
    return facts


@pytest.fixture
def scp() -> Iterator[Callable[..., Scp]]:
    """Start SCPs of this test's own."""
    with contextlib.ExitStack() as stack:
        yield partial(start, stack)


@pytest.fixture(scope="session")
def lasting_scp() -> Iterator[Callable[..., Scp]]:
    """Give one SCP per maximum PDU length, shared by tests that tell their objects by UID."""
    with contextlib.ExitStack() as stack:
        yield cache(partial(start, stack))


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def blurting() -> Iterator[Callable[[bytes], int]]:
    """A port that says something and closes."""
    with contextlib.ExitStack() as stack:

        def start(words: bytes) -> int:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(1 << 16)
                        connection.sendall(words)

            thread = threading.Thread(target=serve)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            return server.getsockname()[1]

        yield start


@pytest.fixture
def store_scu() -> Iterator[Callable[[RemoteAe], StoreScu]]:
    """Open SCUs that are closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def start(peer: RemoteAe) -> StoreScu:
            return stack.enter_context(contextlib.closing(StoreScu(peer)))

        yield start


@pytest.fixture
def part10() -> Callable[..., bytes]:
    """Make Part 10 bytes around any dataset bytes."""

    def make(dataset: bytes, syntax: str = "1.2.840.10008.1.2.1") -> bytes:
        value = syntax.encode() + b"\0" * (len(syntax) % 2)
        element = b"\2\0\x10\0UI" + len(value).to_bytes(2, "little") + value
        length = b"\2\0\0\0UL\4\0" + len(element).to_bytes(4, "little")
        return b"\0" * 128 + b"DICM" + length + element + dataset

    return make
