"""A bucket prefix as a place: listed, fetched ahead, put aside by copies within the bucket."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from config.shapes import Secret
from config.sources import BucketSource
from node.sources.place import REJECTED, TAKEN, Changed, Entry, Local
from storage.bucket_source import Listed, Replaced, SourceBucket


class BucketPlace:
    """What lies below a prefix. Its objects are whole: a store shows none before."""

    def __init__(
        self, name: str, source: BucketSource, scratch: Path, read_secret: Callable[[Secret], bytes]
    ) -> None:
        self._bucket = SourceBucket(source, read_secret)
        self._scratch = scratch / "fetched"
        self._pool = ThreadPoolExecutor(source.concurrency, f"from-{name}")
        self._ahead: dict[str, tuple[Entry, Future[Path]]] = {}
        self._clear()

    @property
    def where(self) -> str:
        """The prefix's URL."""
        return self._bucket.url

    def entries(self) -> Iterator[Entry]:
        """List objects in the order of their keys."""
        self._drop()
        for one in self._bucket.listed():
            if one.key.partition("/")[0] not in {TAKEN, REJECTED}:
                yield _entry(one)

    def find(self, key: str) -> Entry | None:
        """Look at one object."""
        if not key or key.partition("/")[0] in {TAKEN, REJECTED}:
            return None
        found = self._bucket.find(key)
        return _entry(found) if found else None

    def wait_for(self, entry: Entry) -> None:
        """Need nothing: objects are whole."""

    def ahead(self, entries: Sequence[Entry]) -> None:
        """Begin to fetch, several at a time."""
        for entry in entries:
            if entry.key not in self._ahead:
                self._ahead[entry.key] = entry, self._pool.submit(self._download, entry)

    @contextlib.contextmanager
    def fetch(self, entry: Entry) -> Iterator[Local]:
        """Give the object as a local file, for as long as the block lasts."""
        begun, future = self._ahead.pop(entry.key, (None, None))
        if future is not None and begun != entry:
            _discard(future)
            future = None
        try:
            file = future.result() if future is not None else self._download(entry)
        except Replaced as why:
            raise Changed from why
        try:
            yield Local.of(file)
        finally:
            file.unlink(missing_ok=True)

    def remove(self, entry: Entry) -> None:
        """Delete the object."""
        self._require(entry)
        self._bucket.delete(entry.key)

    def put_aside(self, entry: Entry, folder: str, reason: str = "") -> None:
        """Copy the object into a folder of the prefix, then delete it."""
        self._require(entry)
        target = self._unused(f"{folder}/{entry.key}")
        if reason:
            self._bucket.put(f"{target}.reason.txt", (reason + "\n").encode())
        self._bucket.copy(entry.key, target)
        self._require(entry)  # a store cannot delete on a condition; this keeps the gap small
        self._bucket.delete(entry.key)

    def unseen(self) -> int:
        """Have no folders."""
        return 0

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._drop()

    def _download(self, entry: Entry) -> Path:
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._scratch / hashlib.sha256(entry.key.encode("utf-8", "replace")).hexdigest()
        try:
            self._bucket.download(_asked(entry), file)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return file

    def _require(self, entry: Entry) -> None:
        """See that the object is still the one that was taken."""
        now = self.find(entry.key)
        if now is None or now.state != entry.state:
            raise Changed

    def _unused(self, key: str) -> str:
        number, found = 1, key
        while self._bucket.find(found) is not None:
            number += 1
            found = f"{key}.{number}"
        return found

    def _drop(self) -> None:
        ahead, self._ahead = self._ahead, {}
        for _, future in ahead.values():
            _discard(future)

    def _clear(self) -> None:
        """Remove what a process that was killed had fetched."""
        for left in self._scratch.glob("*"):
            left.unlink(missing_ok=True)


def _entry(one: Listed) -> Entry:
    # The ETag changes with the content; where a store has none, the time does.
    state = one.etag or f"{one.modified_at:.6f}"
    mark = hashlib.sha256(f"{state}\n{one.size_bytes}".encode()).hexdigest()
    return Entry(one.key, one.size_bytes, mark, one.etag)


def _asked(entry: Entry) -> Listed:
    return Listed(entry.key, entry.size_bytes, entry.state, 0.0)


def _discard(future: "Future[Path]") -> None:
    """Have a file that was fetched for nothing removed, now or when it is there."""

    def remove(done: "Future[Path]") -> None:
        if not done.cancelled() and done.exception() is None:
            done.result().unlink(missing_ok=True)

    future.cancel()
    future.add_done_callback(remove)
