"""What one source gave already: asked for by key, written in batches, and forgotten in the end."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Final

from node.sources.place import Entry
from storage.ledger.taken import SEEN_EVERY_S, Dealt, Taken


class Memory:
    """The rows of one source. One thread uses it."""

    def __init__(self, rows: Taken, source: str, where: str, clock: Callable[[], float]) -> None:
        """`where` says which place it is: the same key elsewhere is another object."""
        self._rows: Final = rows
        self._source: Final = source
        self._where: Final = where
        self._clock: Final = clock
        self._new: dict[str, Dealt] = {}
        """Not written yet."""
        self._pruned_at = clock()

    def digest(self, key: str) -> str:
        """Name a key without telling it."""
        whole = f"{self._where}\n{key}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(whole).hexdigest()

    def known(self, entries: Iterable[Entry]) -> dict[str, Dealt]:
        """Give what was dealt with in the state in which it is now, by key."""
        by_digest = {self.digest(each.key): each for each in entries}
        rows = self._rows.known(self._source, by_digest, self._clock()) | {
            digest: self._new[digest] for digest in by_digest.keys() & self._new.keys()
        }
        return {
            by_digest[digest].key: dealt
            for digest, dealt in rows.items()
            if by_digest[digest].mark == dealt.mark
        }

    def is_new(self, entry: Entry) -> bool:
        """Whether an entry has not been dealt with since the last `write`."""
        dealt = self._new.get(self.digest(entry.key))
        return dealt is None or dealt.mark != entry.mark

    def note(self, entry: Entry, fault: str) -> None:
        """Remember an object as taken, or with the fault for which it was rejected."""
        digest = self.digest(entry.key)
        self._new[digest] = Dealt(digest, entry.mark, fault)

    def write(self) -> None:
        """Put on disk what was noted. Raises StorageFault."""
        new, self._new = self._new, {}
        self._rows.note(self._source, list(new.values()), self._clock())

    def prune(self) -> None:
        """Forget what is long gone from the place, which has just been looked through."""
        now = self._clock()
        if abs(now - self._pruned_at) >= SEEN_EVERY_S:
            self._rows.prune(self._source, now)
            self._pruned_at = now
