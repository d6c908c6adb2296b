"""Read the spool's keys, and see that they open what the spool holds."""

import hmac
from pathlib import Path

from config import secrets
from config.model import Node
from config.shapes import Secret
from deid.pseudonym import read_key
from dicom.errors import ConfigFault
from storage.index.encrypting import IndexKeys
from storage.spool.sealing import SpoolKey, SpoolKeys
from storage.spool.survey import newest_key_id


def spool_keys(node: Node) -> SpoolKeys:
    """Read the keys that [node] names. Raises ConfigFault with the faults of all of them."""
    problems: list[tuple[str, str]] = []
    current = _read("node.spool_key", node.spool_key, problems) if node.spool_key else None
    older = [
        _read(f"node.spool_old_keys[{i}]", secret, problems)
        for i, secret in enumerate(node.spool_old_keys)
    ]
    if problems:
        raise ConfigFault(problems)
    return SpoolKeys(current, [key for key in older if key is not None])


def index_keys(node: Node, keys: SpoolKeys) -> IndexKeys:
    """Make the keys of the index from those of the spool. Raises ConfigFault where one is needed.

    One secret opens both: whoever holds it can make the index anew from the spool.
    """
    made = tuple(_index_key(key) for key in keys)
    if not node.encrypt_index:
        return IndexKeys("", made)
    if keys.current is None:
        raise ConfigFault([("node.encrypt_index", "needs spool_key: its key is made from that")])
    return IndexKeys(_index_key(keys.current), made)


def _index_key(key: SpoolKey) -> str:
    return hmac.digest(key.secret, b"penumbra index", "sha256").hex()


def require_keys(keys: SpoolKeys, root: Path) -> None:
    """Raise ConfigFault unless the newest encrypted objects of a spool can be opened.

    A node that started without their key would take in what it cannot read, or forget to encrypt.
    """
    needed = newest_key_id(root)
    if not needed or needed in keys:
        return
    given = ", ".join(key.id for key in keys) or "none"
    words = (
        f"does not open the spool: its newest encrypted objects need the key {needed}, and the"
        f" keys given are: {given}; put that key back, or name it in spool_old_keys beside the"
        " new one. Without it nobody can read them"
    )
    raise ConfigFault([("node.spool_key", words)])


def _read(place: str, secret: Secret, problems: list[tuple[str, str]]) -> SpoolKey | None:
    try:
        return SpoolKey(read_key(secrets.read(secret)))
    except ConfigFault as fault:
        problems += [(place, words) for _, words in fault.problems]
    except ValueError as fault:
        problems.append((place, str(fault)))
    return None
