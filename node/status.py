"""What the node knows of itself at a moment: for `penumbra status`, /readyz and /metrics."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata

from config.model import Settings
from dicom.errors import Fault
from node.filing import Filing
from node.listener import Listener
from node.supervisor import Supervisor
from node.watermarks import Watermarks
from node.web.signs import Check
from storage.index.database import Index
from storage.ledger.ledger import Ledger
from storage.spool.spool import Spool

HUNG_AFTER_S = 30.0
"""A loop that has not come around for so long is not alive."""


@dataclass(frozen=True, slots=True)
class Status:
    """Reads its parts when asked, and keeps nothing."""

    settings: Settings
    spool: Spool
    ledger: Ledger
    index: Index
    filing: Filing
    listener: Listener
    supervisor: Supervisor
    watermarks: Watermarks
    started_at: float
    clock: Callable[[], float] = time.time
    sources: Callable[[], Mapping[str, object]] = dict
    """The doors beside DICOM, by name."""

    settling: Callable[[], Mapping[str, Mapping[str, object]]] = dict
    """What went wrong in judging and planning, by name."""
    account: Callable[[], str] = str
    """Why the index is told no more of what the node does; "" when all is well."""
    retention: Callable[[], Mapping[str, object]] = dict
    """What left the spool, and what could."""
    worklist: Callable[[], Mapping[str, object]] = dict
    """The worklist's entries, and what says them."""

    def is_alive(self) -> bool:
        """Whether the front's loops come around, and none of its threads has ended."""
        fresh = time.monotonic() - self.filing.beat_at < HUNG_AFTER_S
        threads = self.filing.is_alive() and self.supervisor.is_alive()
        return threads and fresh and self.listener.is_alive

    def checks(self) -> Mapping[str, Callable[[], Check]]:
        """Give what /readyz asks: whether new work may be sent here."""
        return {"door": self._door, "filing": self._filing, "disk": self._disk}

    def _door(self) -> Check:
        return Check(self.listener.is_alive, "" if self.listener.is_alive else "not listening")

    def _filing(self) -> Check:
        return Check(self.is_alive() and not self.filing.trouble, self.filing.trouble)

    def _disk(self) -> Check:
        trouble = self.watermarks.trouble()
        return Check(not trouble, trouble)

    def facts(self) -> dict[str, Mapping[str, object]]:
        """Give everything that `penumbra status --json` prints; less, while the ledger is away."""
        used, segments = self.spool.usage()
        owed, trouble = self._ledger()
        scheduled = self._worklist()
        return {
            "node": {
                "running": True,
                "ae_title": self.settings.node.ae_title,
                "version": metadata.version("penumbra-node"),
                "pid": os.getpid(),
                "uptime_s": round(self.clock() - self.started_at, 1),
                "port": self.listener.port,
                "tls_port": self.listener.tls_port,
                "associations": self.listener.open_associations,
                "workers": self.supervisor.pids(),
                "trouble": self.filing.trouble or trouble,
            },
            **owed,
            "index": {
                "instances": self.index.count(),
                "lag_records": self.filing.lag_records(),
            },
            "spool": {
                "bytes": used,
                "segments": segments,
                "free_bytes": self.watermarks.free_bytes,
            },
            "disk": self.watermarks.facts(),
            "retention": self.retention(),
            **self._account(),
            **self._sources(),
            **scheduled,
            **self.settling(),
            **self._tls(),
        }

    def _ledger(self) -> tuple[Mapping[str, Mapping[str, object]], str]:
        """Count what the ledger holds, or say why it cannot be asked."""
        try:
            return self.ledger.summary(), ""
        except Fault as fault:
            return {}, f"{fault.code}: {fault}"

    def _worklist(self) -> dict[str, Mapping[str, object]]:
        """Tell of the worklist; nothing while the ledger is away."""
        try:
            found = self.worklist()
        except Fault:
            return {}
        return {"worklist": found} if found else {}

    def _account(self) -> dict[str, Mapping[str, object]]:
        trouble = self.account()
        return {"account": {"trouble": trouble}} if trouble else {}

    def _sources(self) -> dict[str, Mapping[str, object]]:
        found = self.sources()
        return {"sources": found} if found else {}

    def _tls(self) -> dict[str, Mapping[str, object]]:
        credentials = self.listener.credentials
        return {"tls": credentials.facts()} if credentials else {}
