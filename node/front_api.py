"""What the API can do in the front: its abilities, put together from the front's parts."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from config.model import Settings
from config.sources import BucketSource
from dicom.errors import DoesNotMatch
from dicom.worklist import Entry
from node import links
from node.models import Models
from node.sources.bucket_events import keys_of
from node.sources.sources import Sources
from node.web.api import USED
from node.web.endpoint import Abilities, LinksWanted
from node.web.guard import Caller
from storage.ledger.events import NewEvent
from storage.ledger.ledger import Ledger
from storage.ledger.worklist import Draft, Put, Worklist


@dataclass(frozen=True, slots=True)
class WorklistByApi:
    """The worklist as the API uses it: each change is of now."""

    entries: Worklist
    now: Callable[[], float]

    def page(self, after: str, limit: int, state: str) -> Sequence[Entry]:
        """Give entries behind an id."""
        return self.entries.page(after, limit, state)

    def get(self, entry_id: str) -> Entry | None:
        """Give an entry."""
        return self.entries.get(entry_id)

    def put(self, drafts: Sequence[Draft]) -> list[Put]:
        """Write entries down. Raises as the ledger's worklist does."""
        return self.entries.put(drafts, self.now())

    def remove(self, entry_id: str) -> bool:
        """Take an entry back; False where there is none."""
        return self.entries.remove(entry_id, self.now())


def abilities(
    settings: Settings,
    ledger: Ledger,
    sources: Sources,
    status: Callable[[], Mapping[str, object]],
) -> Abilities:
    """Give the API what it needs."""

    def make_links(wanted: LinksWanted, caller: Caller) -> Sequence[links.Link]:
        return links.make(
            settings, ledger, wanted.study,
            destination=wanted.destination, expires_s=wanted.expires_s,
            by=f"token {caller.name}", identified="identified-links" in caller.may,
        )  # fmt: skip

    def notice(name: str, body: bytes) -> int:
        source = settings.sources.get(name)
        if not isinstance(source, BucketSource):
            raise DoesNotMatch("there is no bucket source of this name")
        keys = keys_of(body, source.url)
        sources.wake(name, keys)
        return len(keys)

    def events(after: int, limit: int) -> Sequence[Mapping[str, object]]:
        return [asdict(event) for event in ledger.outbox.after(after, limit)]

    def audit(name: str, used: Mapping[str, object]) -> None:
        ledger.outbox.record([NewEvent(USED, name, used)], time.time())

    entries = WorklistByApi(ledger.worklist, ledger.database.now)
    return Abilities(
        status, make_links, notice, events, audit, entries, models=Models(settings, ledger)
    )
