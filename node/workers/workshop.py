"""What a worker needs for its jobs: ledger, spool, settings, and parts made once and kept."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from ai.pipeline import Pool
from config import secrets
from config.model import Settings
from deid.profile import Profile, compile_profile
from deid.vault.vault import Vault
from dicom.errors import ConfigFault
from node.destinations import destination
from node.vault import open_vault
from storage.destinations.base import Destination
from storage.ledger.events import NewEvent
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader


class Stopping(Exception):  # noqa: N818  (no error: the worker is asked to end)
    """Raised inside a job when the worker shall end; the job is given back."""


@dataclass(frozen=True, slots=True)
class Done:
    """A job's good end: what to tell, and a sentence for people."""

    words: str
    events: Sequence[NewEvent] = ()


@dataclass(slots=True)
class Workshop:
    """One worker's tools. Not shared between threads, but for `stopping`."""

    settings: Settings
    ledger: Ledger
    reader: SpoolReader
    pool: Pool
    stopping: threading.Event = field(default_factory=threading.Event)
    _profiles: dict[str, Profile] = field(default_factory=dict)
    _vault: Vault | None = None

    def check_stop(self) -> None:
        """Raise Stopping when the worker is asked to end; called between objects."""
        if self.stopping.is_set():
            raise Stopping

    def profile(self, name: str) -> Profile:
        """Give a compiled profile. Raises ConfigFault when the config no longer has it."""
        if name not in self._profiles:
            if name not in self.settings.profiles:
                raise ConfigFault([(f"profiles.{name}", "is owed to but not in the config")])
            table = self.settings.profiles[name]
            try:
                key = secrets.read(table.key)
            except ConfigFault as fault:
                words = [(f"profiles.{name}.key", said) for _, said in fault.problems]
                raise ConfigFault(words) from None
            self._profiles[name] = compile_profile(name, table, key)
        return self._profiles[name]

    def vault(self) -> Vault:
        """Give the vault, opened once. Raises ConfigFault without a [vault], StorageFault."""
        if self._vault is None:
            self._vault = open_vault(self.settings)
        return self._vault

    def destination(self, name: str) -> Destination:
        """Open a destination. Raises ConfigFault when the config no longer has it."""
        return destination(self.settings, name)

    def close(self) -> None:
        """Close what was opened."""
        self.pool.close()
        if self._vault is not None:
            self._vault.close()
        self.ledger.close()
