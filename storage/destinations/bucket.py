"""Create and read objects of one bucket prefix, so that nothing that is there is ever replaced.

A small object goes up in one request that the store itself refuses where the name is taken. Parts
of a large one know no such condition in obstore, so its name is claimed first: a tiny object that
says which content may have the name. Whoever brings other content goes elsewhere.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, cast

import obstore
from obstore import exceptions
from obstore.store import ObjectStore

from dicom.errors import Unreachable
from storage.destinations.base import Outgoing

ONE_PUT_BYTES: Final = 16 << 20
"""Larger objects go up in parts, each of which can be tried again by itself."""
PART_BYTES: Final = 8 << 20
PARTS_AT_ONCE: Final = 4
READ_BYTES: Final = 1 << 20
PROBE: Final = ".penumbra/create-once"
_PROBE_WORDS: Final = b"Penumbra wrote this to see whether the store refuses a second create.\n"
_NOT_THERE: Final = (exceptions.NotFoundError, FileNotFoundError)
_DENIED: Final = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)

_honours: dict[str, bool] = {}
"""Which stores refuse a second create, by URL: asked once in a process's life."""
_honours_lock = threading.Lock()


class Missing(Unreachable):
    """An object is not where it should be."""


class Created(Enum):
    """What came of a wish to create."""

    MADE = "made"
    THERE = "there"
    """Something has the name already; it may be the same object."""
    CLAIMED = "claimed"
    """Another object of this name is on its way."""


class _TakenMeanwhile(Exception):  # noqa: N818  (no error: a reason to end an upload)
    pass


@dataclass(frozen=True, slots=True)
class Found:
    """What the store holds: SHA-256 (hex) of the bytes that were read, and the store's ETag."""

    digest: str
    etag: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket prefix, or a folder that is laid out like one; safe to share between threads."""

    store: ObjectStore
    url: str
    folder: Path | None = None
    own_endpoint: str = ""
    """Of a store that is none of the clouds' own: it may ignore conditions."""
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def create(self, key: str, outgoing: Outgoing, digest: str) -> Created:
        """Put an object where there is none; whatever is there already stays.

        A store that ignores conditions is looked into first: only two nodes that create the
        same name at the same moment could then replace each other's object.
        """
        if not self._refuses_a_second() and self.exists(key):
            return Created.THERE
        if outgoing.size_bytes <= ONE_PUT_BYTES or self.folder is not None:
            body = outgoing.chunks[0] if len(outgoing.chunks) == 1 else outgoing.chunks
            created = self._put_once(key, body, self._attributes(key), self.tags)
        else:
            created = self._put_large(key, outgoing, digest)
        if self.folder is not None:
            _sync(self.folder, key)
        return created

    def exists(self, key: str) -> bool:
        """Whether something has this name."""
        try:
            obstore.head(self.store, key)
        except _NOT_THERE:
            return False
        return True

    def read(self, key: str) -> Found:
        """Read an object whole. Raises Missing."""
        sha = hashlib.sha256()
        try:
            got = obstore.get(self.store, key)
            meta = got.meta
            if meta["size"] <= READ_BYTES:
                sha.update(got.bytes())
            else:
                for chunk in got.stream(min_chunk_size=READ_BYTES):
                    sha.update(chunk)
        except _NOT_THERE as fault:
            # Written by another at this moment, or removed again: neither is for ever.
            raise Missing(f"{self.url}/{key}: is not there when read back") from fault
        return Found(sha.hexdigest(), meta["e_tag"] or "")

    def fetch(self, key: str) -> Iterator[Any]:
        """Read an object piece by piece. Raises Missing."""
        try:
            yield from obstore.get(self.store, key).stream(min_chunk_size=READ_BYTES)
        except _NOT_THERE as fault:
            raise Missing(f"{self.url}/{key}: is not there") from fault

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects; what is not there is removed already."""
        for key in keys:
            with contextlib.suppress(*_NOT_THERE):
                obstore.delete(self.store, key)

    def publish(self, key: str, content: bytes, *, replaces: bool) -> bool:
        """Put a document of our own, whole; False where it may not replace what is there."""
        kind = {} if self.folder is not None else {"Content-Type": "application/json"}
        if not replaces:
            if not self._refuses_a_second() and self.exists(key):
                return False
            return self._put_once(key, content, kind, {}) is Created.MADE
        obstore.put(self.store, key, content, use_multipart=False, attributes=kind or None)
        return True

    def replace(self, key: str, content: bytes) -> None:
        """Put a file of our own, whole, also where there is one of this name."""
        attributes = cast("Any", self.attributes) if self.folder is None else None
        obstore.put(self.store, key, content, attributes=attributes or None, tags=self.tags or None)
        if self.folder is not None:
            _sync(self.folder, key)

    def _attributes(self, key: str) -> dict[str, str]:
        if self.folder is not None:  # a file system has no place for these
            return {}
        # Whoever follows a link gets a file of this name.
        name = key.rpartition("/")[2]
        return {
            "Content-Type": "application/dicom",
            "Content-Disposition": f'attachment; filename="{name}"',
            **self.attributes,
        }

    def _put_once(self, key: str, body: Any, attributes: Any, tags: dict[str, str]) -> Created:
        try:
            obstore.put(
                self.store, key, body, mode="create", attributes=attributes or None,
                tags=tags or None,
            )  # fmt: skip
        except exceptions.AlreadyExistsError:
            return Created.THERE
        return Created.MADE

    def _put_large(self, key: str, outgoing: Outgoing, digest: str) -> Created:
        claim = f"{key}.claim"
        if not self._claim(claim, digest):
            return Created.CLAIMED
        created = Created.THERE
        if not self.exists(key):
            try:
                asyncio.run(self._put_parts(key, outgoing))
                created = Created.MADE
            except _TakenMeanwhile:
                pass
            except exceptions.BaseError:
                # Another worker with the same claim was quicker, or only the answer was lost.
                if not self.exists(key):
                    raise
        with contextlib.suppress(*_NOT_THERE, *_DENIED):  # where nothing may be deleted, it stays
            obstore.delete(self.store, claim)
        return created

    def _claim(self, claim: str, digest: str) -> bool:
        """Say that this content may have a name; False where other content was first.

        A claim outlives a worker that is killed: the same object, sent again, goes on under it.
        """
        for _ in range(3):
            if self._put_once(claim, digest.encode(), {}, {}) is Created.MADE:
                return True
            try:
                return bytes(obstore.get(self.store, claim).bytes()) == digest.encode()
            except _NOT_THERE:  # whoever had it is done
                continue
        raise Unreachable(f"{self.url}: its claims come and go")

    async def _put_parts(self, key: str, outgoing: Outgoing) -> None:
        async def parts() -> AsyncIterator[memoryview]:
            for part in in_parts(outgoing.chunks):
                yield part
            # The last moment before the parts become an object: a small object knows no claims.
            with contextlib.suppress(*_NOT_THERE):
                await obstore.head_async(self.store, key)
                raise _TakenMeanwhile

        # An exception of the iterator makes obstore abort the upload: no parts are left.
        await obstore.put_async(
            self.store, key, parts(), attributes=cast("Any", self._attributes(key)),
            tags=self.tags or None, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE,
        )  # fmt: skip

    def _refuses_a_second(self) -> bool:
        """Whether the store honours a conditional create; the clouds' own do."""
        if not self.own_endpoint:
            return True
        where = f"{self.own_endpoint} {self.url}"
        with _honours_lock:
            if where not in _honours:
                try:
                    tries = (self._put_once(PROBE, _PROBE_WORDS, {}, {}) for _ in range(2))
                    _honours[where] = Created.THERE in tries
                except _DENIED:  # whether it may write elsewhere shows there
                    return False
            return _honours[where]


def in_parts(chunks: Sequence[bytes | memoryview]) -> Iterator[memoryview]:
    """Cut an object into pieces of at most one part, without copying."""
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), PART_BYTES):
            yield view[start : start + PART_BYTES]


def _sync(root: Path, key: str) -> None:
    """Bring a local file and its names to the disk, which obstore leaves to the kernel."""
    path = root / key
    folders = [folder for folder in path.parents if folder == root or root in folder.parents]
    for each in (path, *folders):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
