"""Check what a [destinations.NAME] table of kind "object-store" asks of its store.

What a store does not have is refused when the file is loaded: an object that is not encrypted as
the file says, or lies in a dearer class, would go unnoticed for years.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from config.files import Place
from config.tables import Found, Tables
from config.urls import split
from config.words import suggestion

_STORES: Final = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure", "file": "a file URL"}
_CLASSES: Final = {
    "s3": ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
           "GLACIER", "DEEP_ARCHIVE", "REDUCED_REDUNDANCY", "EXPRESS_ONEZONE"),
    "gs": ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"),
    "az": ("Hot", "Cool", "Cold", "Archive"),
    "file": (),
}  # fmt: skip
_CANNOT_BE_READ: Final = frozenset({"GLACIER", "DEEP_ARCHIVE", "Archive"})
"""Objects of these classes cannot be read before they are restored, which takes hours."""
_IN_TAGS: Final = "letters, digits, space and + - = . _ : / @"
_TAG: Final = re.compile(r"[A-Za-z0-9 +\-=._:/@]+")


def check(here: Place, destination: Tables) -> Found:
    """Yield each fault as its place and words."""
    url = split(destination.get("url"))
    scheme = url.scheme if url is not None else ""
    if scheme not in _STORES:
        return  # told elsewhere
    yield from _class(here, destination, scheme)
    yield from _tags(here, destination.get("tags"), scheme)
    yield from _encryption(here, destination, scheme)
    if destination.get("verify") == "checksum" and scheme != "s3":
        words = f'"checksum" needs a store that checks a SHA-256, and {_STORES[scheme]} takes none'
        yield (*here, "verify"), f'{words}: leave it "read-back"'


def _class(here: Place, destination: Tables, scheme: str) -> Found:
    wanted, place = destination.get("storage_class"), (*here, "storage_class")
    if not isinstance(wanted, str):
        return
    known = _CLASSES[scheme]
    if not known:
        yield place, f"is nothing that {_STORES[scheme]} has"
    elif wanted not in known and "endpoint" not in destination:
        words = suggestion(wanted, known) or f"it has {', '.join(known)}"
        yield place, f"is no class of {_STORES[scheme]}; {words}"
    elif not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", wanted):
        yield place, "is no name of a class: letters, digits, _ and - alone"
    elif wanted in _CANNOT_BE_READ and destination.get("verify") != "checksum":
        words = (
            f"{wanted} cannot be read again for proof; write to a class that can, and let a rule"
        )
        or_trust = ', or set verify = "checksum"' if scheme == "s3" else ""
        yield place, f"{words} of the bucket move objects later{or_trust}"


def _tags(here: Place, tags: Any, scheme: str) -> Found:
    if not isinstance(tags, Mapping) or not tags:
        return
    if scheme not in {"s3", "az"}:
        yield (*here, "tags"), f"are nothing that {_STORES[scheme]} has"
        return
    if len(tags) > 10:
        yield (*here, "tags"), "are more than 10, which is the most that a store takes"
    for name, value in tags.items():
        if not isinstance(value, str):
            continue  # told elsewhere
        if not _TAG.fullmatch(name) or len(name) > 128:
            yield (
                (*here, "tags", name),
                "is no name of a tag: letters, digits, space, + - = . _ : / @",
            )
        elif len(value) > 256 or (value and not _TAG.fullmatch(value)):
            yield (*here, "tags", name), f"may hold {_IN_TAGS} alone"


def _encryption(here: Place, destination: Tables, scheme: str) -> Found:
    wanted, key = destination.get("encryption"), destination.get("kms_key")
    if wanted is not None and scheme != "s3":
        yield (
            (*here, "encryption"),
            f"is asked for by S3 alone; {_STORES[scheme]} is told at the bucket, not by object",
        )
    elif key is not None and wanted != "sse-kms":
        yield (*here, "kms_key"), 'is of no use without encryption = "sse-kms"'
    elif isinstance(key, str) and not re.fullmatch(r"[\x21-\x7e]{1,2048}", key):
        yield (*here, "kms_key"), "must be a key's id, ARN or alias, without spaces"
