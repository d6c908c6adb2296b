"""Look through a bucket prefix, fetch objects, and put them aside: a source's side of a store."""

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions

from config.destinations import ObjectStoreDestination
from config.sources import BucketSource
from dicom.errors import Refused, StorageFault, Unreachable
from storage.destinations.bucket_faults import as_faults
from storage.destinations.bucket_settings import ReadSecret, open_store

LISTED_AT_ONCE: Final = 1000
STEP_BYTES: Final = 1 << 20
TRIES: Final = 3
"""A body that breaks off is fetched on from where it ended, so often without a byte more."""
TIMEOUT_S: Final = 120.0
MOST_SPOILT: Final = 100
_BAD_PATH: Final = re.compile(r'path: "((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\(u\{[0-9a-f]+\}|.)")
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "'": "'", '"': '"', "\\": "\\"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NOT_THERE: Final = (exceptions.NotFoundError, FileNotFoundError)
_ANOTHER: Final = (exceptions.PreconditionError, exceptions.NotModifiedError)


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as the store lists it."""

    key: str
    """Below the prefix."""
    size_bytes: int
    etag: str
    modified_at: float


class Replaced(Exception):  # noqa: N818  (an event: whoever asked looks again)
    """The object is gone, or is another one by now."""


class _Unnameable(Exception):  # noqa: N818  (an event: the list goes on behind it)
    """obstore met a key that it has no name for."""

    def __init__(self, words: str) -> None:
        found = _BAD_PATH.search(words)
        self.path = _ESCAPE.sub(_unescaped, found[1]) if found else ""
        super().__init__()


class SourceBucket:
    """One bucket prefix. Safe to share between threads."""

    def __init__(self, source: BucketSource, read_secret: ReadSecret) -> None:
        """Open it; nothing connects yet. Raises Refused when the table cannot work."""
        self.url = source.url.rstrip("/")
        inside = unquote(urlsplit(self.url).path).strip("/")
        self._prefix = f"{inside}/" if inside else ""
        settings = ObjectStoreDestination(
            kind="object-store",
            url=source.url,
            endpoint=source.endpoint,
            region=source.region,
            access_key=source.access_key,
            secret_key=source.secret_key,
        )
        self._store = open_store(settings, read_secret, TIMEOUT_S)

    def listed(self) -> Iterator[Listed]:
        """List everything below the prefix, page by page. Raises Unreachable, Busy, Refused.

        A key that obstore cannot name (with control characters, an empty part, or ..) spoils its
        page of a thousand. The list goes on behind it, and Refused says at the end what to do.
        """
        offset: str | None = None
        spoilt = 0
        while True:
            try:
                yield from self._pages(offset)
            except _Unnameable as bad:
                spoilt += 1
                after = _behind(bad.path, self._prefix)
                if after is None or spoilt >= MOST_SPOILT or (offset or "") >= after:
                    break
                offset = after
                if found := self.find(after):  # a list begins behind its offset
                    yield found
            else:
                break
        if spoilt:
            raise Refused(
                f"{self.url}: {spoilt} pages of its list hold a key with a control character, an"
                " empty part (//) or a part . or ..; rename or delete it, others of its page are"
                " not seen until then"
            )

    def _pages(self, offset: str | None) -> Iterator[Listed]:
        with as_faults(self.url):
            pages = iter(obstore.list(self._store, offset=offset, chunk_size=LISTED_AT_ONCE))
        while True:
            with as_faults(self.url):
                try:
                    page = next(pages, None)
                except exceptions.InvalidPathError as fault:
                    raise _Unnameable(str(fault)) from None
            if page is None:
                return
            yield from map(_listed, page)

    def find(self, key: str) -> Listed | None:
        """Look at one object; None where it is not there. Raises as `listed`."""
        with as_faults(self.url):
            try:
                return _listed(obstore.head(self._store, key))
            except _NOT_THERE:
                return None

    def download(self, one: Listed, file: Path) -> None:
        """Fetch an object into a new file; where the connection breaks, go on from there.

        Memory stays flat, whatever its size. Raises Replaced when the object changed meanwhile,
        Unreachable, Busy or Refused, and StorageFault when the file cannot be written.
        """
        with _here(file), file.open("wb", buffering=0) as stream:
            failures = 0
            while (had := stream.tell()) < one.size_bytes:
                try:
                    with as_faults(self.url):
                        self._fetch(one, had, stream)
                except Unreachable:
                    failures = failures + 1 if stream.tell() == had else 0
                    if failures >= TRIES:
                        raise

    def _fetch(self, one: Listed, start: int, stream: io.FileIO) -> None:
        options: dict[str, Any] = {"if_match": one.etag} if one.etag else {}
        if start:
            options["range"] = {"offset": start}
        try:
            got = obstore.get(self._store, one.key, options=cast("obstore.GetOptions", options))
            if got.meta["size"] != one.size_bytes:
                raise Replaced
            for chunk in got.stream(min_chunk_size=STEP_BYTES):
                with _here(Path(stream.name)):
                    _write(stream, memoryview(chunk))
        except (*_NOT_THERE, *_ANOTHER) as fault:
            raise Replaced from fault
        if stream.tell() != one.size_bytes:
            raise Unreachable(f"{self.url}: an object came shorter than it is listed")

    def delete(self, key: str) -> None:
        """Delete an object; one that is gone already is deleted."""
        with as_faults(self.url), contextlib.suppress(*_NOT_THERE):
            obstore.delete(self._store, key)

    def copy(self, key: str, to: str) -> None:
        """Copy an object within the bucket, without its bytes coming here."""
        with as_faults(self.url):
            obstore.copy(self._store, key, to)

    def put(self, key: str, content: bytes) -> None:
        """Put a small text."""
        with as_faults(self.url):
            obstore.put(self._store, key, content, use_multipart=False)


@contextlib.contextmanager
def _here(file: Path) -> Iterator[None]:
    """Tell trouble with the disk here from trouble with the store."""
    try:
        yield
    except OSError as fault:
        raise StorageFault(f"{file.parent} cannot be used: {fault.strerror}") from fault


def _write(stream: io.FileIO, left: memoryview) -> None:
    while left:
        left = left[stream.write(left) :]


def _listed(meta: Any) -> Listed:
    return Listed(
        meta["path"], meta["size"], meta["e_tag"] or "", meta["last_modified"].timestamp()
    )


def _behind_control(before: str, control: str) -> str:
    """Give the first text behind those that go on with a control character."""
    return before + (" " if control < " " else "\x80")


def _unescaped(found: re.Match[str]) -> str:
    """Read an escape as Rust writes it."""
    code = found[1]
    return _ESCAPED.get(code) or chr(int(code[2:-1], 16))


def _behind(path: str, prefix: str) -> str | None:
    """Give a key, below the prefix, behind which no key is spoilt as this one is.

    None where the path is not below the prefix, or is not spoilt in a way that is known.
    """
    if not path.startswith(prefix):
        return None
    inner = path.removeprefix(prefix)
    done = ""
    for part in inner.split("/"):
        if part in {"", ".", ".."}:
            # 0 comes right behind /: what begins with the part and / is all spoilt.
            return f"{done}{part}0" if f"{done}{part}" != inner else f"{done}{part} "
        if found := _CONTROL.search(part):
            return _behind_control(done + part[: found.start()], found[0])
        done += f"{part}/"
    return None
