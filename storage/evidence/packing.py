"""Pack accounts and descriptions: canonical JSON, its digest, and zlib."""

import hashlib
import json
import zlib
from functools import lru_cache
from typing import Any

from storage.evidence.entry import Account, Description


@lru_cache(maxsize=64)
def named(account: Account) -> tuple[str, bytes]:
    """Write an account as canonical JSON, and name it by the SHA-256 (hex) of that.

    Equal accounts have equal names. The last ones are remembered: a Series' objects mostly agree.
    """
    facts = {"actions": account.actions, "options": account.options, "findings": account.findings}
    written = _json(facts)
    return hashlib.sha256(written).hexdigest(), written


def description_json(description: Description) -> bytes:
    """Write a profile's description as canonical JSON."""
    return _json(description)


def _json(facts: object) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def pack(text: bytes) -> bytes:
    """Make JSON small: an account of a CT slice takes some 500 bytes."""
    return zlib.compress(text, 9)


def unpack(body: bytes) -> Any:
    """Read packed JSON."""
    return json.loads(zlib.decompress(body))


def unpack_account(body: bytes) -> Account:
    """Read a packed account."""
    facts = unpack(body)
    actions = tuple((str(path), str(action)) for path, action in facts["actions"])
    return Account(actions, tuple(facts["options"]), tuple(facts["findings"]))
