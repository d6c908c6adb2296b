"""The vault's audit trail: every question is written down before it is answered.

Each entry carries a MAC over itself and the MAC of the entry before it, under a key that only the
vault key opens: who can write to the file, but has no vault key, cannot change, drop or insert an
entry unseen. Entries cut off at the end show when the last MAC was noted elsewhere.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from dicom.sealed import AuditEntry

FIRST: Final = ""
"""What stands in place of a MAC before the first entry."""
LONGEST_PURPOSE: Final = 500


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks the vault, and for what purpose; the words are kept for good."""

    who: str
    purpose: str

    def __post_init__(self) -> None:
        if not self.who.strip() or not self.purpose.strip():
            raise ValueError("the vault answers only to a name, and for a purpose")
        if len(self.purpose) > LONGEST_PURPOSE or not self.purpose.isprintable():
            raise ValueError(f"a purpose is one line of at most {LONGEST_PURPOSE} characters")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look through the whole trail found."""

    entries: int
    head: str
    """The MAC of the last entry that is right."""
    broken_at: int | None
    """Where the first entry stands that does not fit the one before it."""
    head_seen: bool
    """Whether the MAC that was asked for stands in the trail."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was changed, dropped, or cut off before the MAC that was asked for."""
        return self.broken_at is None and self.head_seen


class Chain:
    """Links entries under the trail's key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def link(self, entry: AuditEntry, previous: str) -> AuditEntry:
        """Give an entry its MAC."""
        facts = (
            previous,
            str(entry.number),
            repr(entry.at),
            entry.who,
            entry.action,
            entry.project,
            entry.subject,
            entry.purpose,
        )
        encoded = [fact.encode("utf-8", "surrogateescape") for fact in facts]
        message = b"".join(len(each).to_bytes(4, "big") + each for each in encoded)
        return replace(entry, mac=hmac.digest(self._key, message, "sha256").hex())

    def verify(self, entries: Iterable[AuditEntry], head: str = "") -> Verdict:
        """Look through a whole trail, and for a MAC that was noted before ("": none was)."""
        count, previous, head_seen = 0, FIRST, not head
        for entry in entries:
            right = entry.number == count + 1 and hmac.compare_digest(
                self.link(entry, previous).mac.encode(), entry.mac.encode("utf-8", "replace")
            )
            if not right:
                return Verdict(count, previous, count + 1, head_seen)
            count, previous = entry.number, entry.mac
            head_seen = head_seen or entry.mac == head
        return Verdict(count, previous, None, head_seen)
