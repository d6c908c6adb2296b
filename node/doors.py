"""The ports that the node listens on: the one in the clear, the one under TLS, or both."""

import threading
from collections.abc import Sequence
from typing import Final

import structlog
from pynetdicom.presentation import PresentationContext

from config.model import Settings
from dicom.errors import ConfigFault
from node.acceptor import Acceptor, Attendant
from node.services.table import Handler
from node.tls import Credentials

POLL_S: Final = 0.1

log = structlog.get_logger()


class Doors:
    """Accepts connections on every port that the config file opens."""

    def __init__(
        self,
        attendant: Attendant,
        settings: Settings,
        contexts: Sequence[PresentationContext],
        handlers: Sequence[Handler],
    ) -> None:
        """Bind the ports, accept nobody yet.

        Raises ConfigFault when an address cannot be had or a certificate cannot be used.
        """
        node, tls = settings.node, settings.tls
        self.credentials = Credentials(tls) if tls else None
        self._acceptors: list[Acceptor] = []
        self._threads: list[threading.Thread] = []
        ports: list[tuple[str, int, Credentials | None]] = []
        if node.plain:
            ports.append(("node.port", node.port, None))
        if tls:
            ports.append(("tls.port", tls.port, self.credentials))
        for key, port, credentials in ports:
            try:
                one = Acceptor(
                    attendant, node, contexts, handlers, port=port, credentials=credentials
                )
            except OSError as fault:
                self.stop()
                words = f"cannot listen on {node.host}:{port}: {fault.strerror}"
                raise ConfigFault([(key, words)]) from fault
            self._acceptors.append(one)

    @property
    def port(self) -> int | None:
        """The TCP port without TLS, if one is open."""
        return next((one.port for one in self._acceptors if one.credentials is None), None)

    @property
    def tls_port(self) -> int | None:
        """The TCP port under TLS, if one is open."""
        return next((one.port for one in self._acceptors if one.credentials is not None), None)

    @property
    def are_open(self) -> bool:
        """Whether every port still accepts connections."""
        return bool(self._threads) and all(one.is_alive() for one in self._threads)

    def start(self) -> None:
        """Accept."""
        if self.credentials is not None:
            self.credentials.start()
        for one in self._acceptors:
            name = "listener" if one.credentials is None else "listener-tls"
            thread = threading.Thread(
                target=one.serve_forever, args=(POLL_S,), name=name, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Accept no more, and give the ports back."""
        for one in self._acceptors:
            if self._threads:
                one.shutdown()
            else:
                one.server_close()
        if self.credentials is not None:
            self.credentials.stop()
