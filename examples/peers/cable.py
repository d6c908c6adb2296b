"""A network cable as a TCP proxy: it can be pulled, and then nothing comes through, nor an end."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Cable:
    """A proxy on loopback in front of a port."""

    port: int
    forwarded_bytes: int = 0
    pull_after_bytes: int = 0
    """It pulls itself once so much came through; 0: never."""
    plugged: threading.Event = field(default_factory=threading.Event)

    def pull(self) -> None:
        """Let nothing through from now on; connections stay, and new ones are taken."""
        self.plugged.clear()

    def plug(self) -> None:
        """Let through what comes from now on, and what waited."""
        self.pull_after_bytes = 0
        self.plugged.set()


@contextlib.contextmanager
def running(to_port: int, *, pull_after_bytes: int = 0) -> Iterator[Cable]:
    """Lay a cable to a port of this machine until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        cable = Cable(server.getsockname()[1], pull_after_bytes=pull_after_bytes)
        cable.plugged.set()
        ended = threading.Event()
        carrying = threading.Thread(target=_carry, args=(cable, server, to_port, ended))
        carrying.start()
        try:
            yield cable
        finally:
            ended.set()
            carrying.join()


def _carry(cable: Cable, server: socket.socket, to_port: int, ended: threading.Event) -> None:
    ends: dict[socket.socket, socket.socket] = {}
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        selector.register(server, selectors.EVENT_READ)
        while not ended.is_set():
            if not cable.plugged.wait(0.02):
                continue
            for key, _ in selector.select(0.02):
                if key.fileobj is server:
                    near = stack.enter_context(server.accept()[0])
                    try:
                        far = socket.create_connection(("127.0.0.1", to_port), 5)
                    except OSError:  # whoever is there has died
                        near.close()
                        continue
                    stack.enter_context(far)
                    ends |= {near: far, far: near}
                    for one in (near, far):
                        selector.register(one, selectors.EVENT_READ)
                    continue
                here = key.fileobj
                assert isinstance(here, socket.socket)  # only these are registered
                if not _pass(cable, here, ends[here]):
                    for one in (here, ends[here]):
                        with contextlib.suppress(KeyError, OSError):
                            selector.unregister(one)
                        one.close()
                    break


def _pass(cable: Cable, here: socket.socket, there: socket.socket) -> bool:
    """Carry on what has come; False at the end of a connection."""
    try:
        data = here.recv(1 << 16)
        there.sendall(data)
    except OSError:
        return False
    cable.forwarded_bytes += len(data)
    if cable.pull_after_bytes and cable.forwarded_bytes >= cable.pull_after_bytes:
        cable.pull()
    return bool(data)
