"""What a worker needs for its jobs: ledger, spool, settings, and parts made once and kept."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from config import secrets
from config.model import Settings
from deid.profile import Profile, compile_profile
from deid.vault.vault import Vault
from dicom.errors import ConfigFault
from node.destinations import destination
from node.vault import open_vault
from node.workers.kept import Kept
from routing.job import NewJob
from storage.destinations.base import Destination
from storage.ledger.events import NewEvent
from storage.ledger.ledger import Ledger
from storage.ledger.proven import Proven
from storage.spool.reader import SpoolReader

if TYPE_CHECKING:  # what asks models is loaded by the first who does
    from ai.pipeline import Pool


class Stopping(Exception):  # noqa: N818  (no error: the worker is asked to end)
    """Raised inside a job when the worker shall end; the job is given back."""


class Later(Exception):  # noqa: N818  (no error: somebody else has to act first)
    """Raised inside a job that waits for somebody's answer; it costs no attempt."""

    def __init__(self, words: str, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Done:
    """A job's good end: what to tell, and a sentence for people."""

    words: str
    events: Sequence[NewEvent] = ()
    follow_up: Sequence[NewJob] = ()
    """What is owed from now on, written together with the end."""
    paid: Proven | None = None
    """The receipts that are not written yet."""
    is_answer: bool = True
    """Whether its target took part: then it is there, whatever was thought of it."""


@dataclass(slots=True)
class Workshop:
    """One worker's tools. Not shared between threads, but for `stopping` and `lost`."""

    settings: Settings
    ledger: Ledger
    reader: SpoolReader
    stopping: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)
    """Whether the job in hand was given to another: it ends here at its next object."""
    kept: Kept = field(init=False)
    """Destinations that stay open between jobs."""
    _profiles: dict[str, Profile] = field(default_factory=dict)
    _vault: Vault | None = None
    _pool: "Pool | None" = None

    def __post_init__(self) -> None:
        self.kept = Kept(self.settings)

    def check_stop(self) -> None:
        """Raise Stopping when the worker is asked to end, or lost its job; between objects."""
        if self.stopping.is_set() or self.lost.is_set():
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

    @property
    def pool(self) -> "Pool":
        """What asks models, made once: what it needs is loaded only then."""
        if self._pool is None:
            from ai.pipeline import Pool

            self._pool = Pool()
        return self._pool

    def destination(self, name: str) -> Destination:
        """Open a destination. Raises ConfigFault when the config no longer has it."""
        return destination(self.settings, name)

    def close(self) -> None:
        """Close what was opened."""
        self.kept.close()
        if self._pool is not None:
            self._pool.close()
        if self._vault is not None:
            self._vault.close()
        self.ledger.close()
