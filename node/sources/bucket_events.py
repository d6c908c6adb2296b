"""Read what stores say when an object comes: which keys to look at, and nothing else of it.

Known are S3's notifications (MinIO's and Ceph's too), the same by way of SNS, EventBridge, and
SeaweedFS's webhook. A message is a hint and no more: the object is looked for by its key, and what
no message tells of is found when the whole prefix is looked through.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, unquote_plus, urlsplit

from dicom.errors import CannotUnderstand

MOST_KEYS: Final = 10_000
LONGEST_KEY: Final = 1024
"""Of S3, in bytes."""
_SEAWEED: Final = "/buckets/"


def keys_of(body: bytes, url: str) -> set[str]:
    """List the keys below a source's prefix that a message tells of.

    `url` is the source's, as s3://bucket/prefix. Raises CannotUnderstand where the message is no
    JSON object. What is of another bucket or prefix is passed over, and so is what is no key.
    """
    message = _object(body)
    parts = urlsplit(url)
    prefix = unquote(parts.path).strip("/")
    begin = f"{prefix}/" if prefix else ""
    found: set[str] = set()
    for bucket, key in _told(message):
        inner = key.removeprefix(begin)
        if bucket == parts.netloc and key.startswith(begin) and _is_key(inner):
            found.add(inner)
        if len(found) >= MOST_KEYS:
            break
    return found


def _object(body: bytes | str) -> Mapping[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise CannotUnderstand("the message is no JSON") from fault
    if not isinstance(message, Mapping):
        raise CannotUnderstand("the message is no JSON object")
    return message


def _is_key(key: str) -> bool:
    """Whether a key may be asked for; a store would take others for something else."""
    return (
        0 < len(key.encode("utf-8", "surrogatepass")) <= LONGEST_KEY
        and "\0" not in key
        and not {"", ".", ".."} & set(key.split("/"))
        and not any(0xD800 <= ord(one) <= 0xDFFF for one in key)
    )


def _told(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (bucket, key) of everything that a message names."""
    if isinstance(inner := message.get("Message"), str):  # SNS puts the message into a text
        try:
            message = _object(inner)
        except CannotUnderstand:
            return
    records = message.get("Records")
    for record in records if isinstance(records, list) else ():
        # S3 writes keys as forms are written: + for a space.
        yield from _named(_at(record, "s3"), decode=True)
    yield from _named(_at(message, "detail"), decode=False)
    path = message.get("key")
    if isinstance(path, str) and path.startswith(_SEAWEED):
        bucket, _, key = path.removeprefix(_SEAWEED).partition("/")
        yield bucket, key


def _named(where: Any, *, decode: bool) -> Iterator[tuple[str, str]]:
    bucket, key = _at(_at(where, "bucket"), "name"), _at(_at(where, "object"), "key")
    if isinstance(bucket, str) and isinstance(key, str):
        yield bucket, unquote_plus(key) if decode else key


def _at(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None
