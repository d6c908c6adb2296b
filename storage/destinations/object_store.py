"""A bucket prefix on S3, Google Cloud Storage, Azure or a file URL, as a destination.

Objects are created, never overwritten, and count as delivered once they were read back whole, or,
where the config says so, once the store has checked their SHA-256.
"""

import contextlib
import hashlib
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import obstore
from obstore.store import AzureStore, GCSStore, S3Store

from config.destinations import ObjectStoreDestination
from dicom.errors import Refused, Unreachable
from storage.destinations import bucket
from storage.destinations.base import Delivered, Outgoing, Proof, Receipt, compared
from storage.destinations.bucket import Bucket, Created, Missing
from storage.destinations.bucket_faults import as_faults
from storage.destinations.bucket_settings import ReadSecret, folder_of, open_store
from storage.keys import conflict_key, object_key, study_folder

TIMEOUT_S: Final = 120.0
"""Per request, its body included: 16 MiB through a line of 1.2 Mbit/s."""

AHEAD: Final = 32
"""So many objects more than are on their way may wait for a thread, so that whoever makes them in
batches makes the next batch meanwhile; fewer"""
AHEAD_BYTES: Final = 32 << 20
"""where all of them together are larger than this."""


@dataclass(slots=True)
class _Queue:
    """What is on its way or waits for a thread, in the order in which it came."""

    concurrency: int
    waiting: deque[tuple[str, int, Future[Receipt]]] = field(default_factory=deque)

    def must_wait(self, key: str, size_bytes: int) -> bool:
        """Whether the next object has to wait until the first is done."""
        # Two of one key never race: the second must see what the first created.
        if any(key == other for other, _, _ in self.waiting):
            return True
        spare = len(self.waiting) - self.concurrency
        if spare < 0:
            return False
        held_bytes = size_bytes + sum(size for _, size, _ in self.waiting)
        return spare >= AHEAD or held_bytes > AHEAD_BYTES

    def has_result(self) -> bool:
        """Whether the first is done: its receipt shall not wait for others."""
        return bool(self.waiting) and self.waiting[0][2].done()

    def put(self, key: str, size_bytes: int, future: Future[Receipt]) -> None:
        """Add what was given to a thread."""
        self.waiting.append((key, size_bytes, future))

    def next(self) -> Receipt:
        """Wait for the first, and give its receipt or raise its fault."""
        return self.waiting.popleft()[2].result()

    def saved(self) -> Iterator[Receipt]:
        """Begin nothing more; give the receipts of what comes through."""
        for _, _, future in self.waiting:
            future.cancel()
        for _, _, future in self.waiting:
            if not future.cancelled() and future.exception() is None:
                yield future.result()


class ObjectStore:
    """One bucket prefix; `concurrency` objects are on their way at once."""

    def __init__(
        self,
        name: str,
        settings: ObjectStoreDestination,
        read_secret: ReadSecret,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._name = name
        self._settings = settings
        self._url = settings.url.rstrip("/")
        self._bucket = Bucket(
            open_store(settings, read_secret, timeout_s),
            self._url,
            folder_of(settings),
            settings.endpoint or "",
            {"Storage-Class": settings.storage_class} if settings.storage_class else {},
            settings.tags,
        )
        self._pool: ThreadPoolExecutor | None = None

    def check(self) -> None:
        """List one object. Raises Unreachable, Busy or Refused."""
        folder = self._bucket.folder
        with as_faults(self._url):
            next(iter(obstore.list(self._bucket.store, chunk_size=1)), None)
            if folder is not None and not os.access(folder, os.W_OK | os.X_OK):
                raise Refused(f"{self._url}: may not be written")

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver several objects at a time; see the contract in base.py."""
        pool = self._threads()
        queue = _Queue(self._settings.concurrency)
        try:
            for outgoing in objects:
                key = object_key(outgoing, self._settings.key, self._name)
                while queue.must_wait(key, outgoing.size_bytes) or queue.has_result():
                    yield queue.next()
                queue.put(key, outgoing.size_bytes, pool.submit(self._deliver, key, outgoing))
            while queue.waiting:
                yield queue.next()
        except Exception:  # of a delivery, or of whoever makes the objects; raised again below
            # Those that come through all the same are paid; the fault stands.
            yield from queue.saved()
            raise

    def prove(self, delivered: Sequence[Delivered]) -> Iterator[Proof]:
        """Read several objects at a time again; see the contract in base.py."""
        self.check()
        yield from self._threads().map(self._prove, delivered)

    def links(self, locations: Sequence[str], expires_s: float) -> list[str]:
        """Make URLs by which anyone may GET these objects until they expire.

        Each object is looked for first. Raises Refused where one is not there, or where the store
        knows no such URLs; Unreachable or Busy.
        """
        store = self._bucket.store
        if not isinstance(store, AzureStore | GCSStore | S3Store):
            raise Refused(f"{self._url}: gives no links; only s3, gs and az do")
        keys = [self.key_of(location) for location in locations]
        with as_faults(self._url):
            there = self._threads().map(self._bucket.exists, keys)
            for key, is_there in zip(keys, there, strict=True):
                if not is_there:
                    raise Refused(f"{self._url}/{key}: is not there any more; `penumbra prove`")
            return list(obstore.sign(store, "GET", keys, timedelta(seconds=expires_s)))

    def publish(self, study_instance_uid: str, content: bytes) -> str:
        """Put a Study's manifest beside its objects, and give its location.

        Each is kept under a number of its own, manifest-0001.json and so on; manifest.json is
        the newest, replaced as a whole. Raises Unreachable, Busy or Refused.
        """
        folder = study_folder(study_instance_uid, self._settings.key, self._name)
        with as_faults(self._url):
            number = 1
            while not self._bucket.publish(
                f"{folder}/manifest-{number:04}.json", content, replaces=False
            ):
                number += 1
            self._bucket.publish(f"{folder}/manifest.json", content, replaces=True)
        return f"{self._url}/{folder}/manifest.json"

    def replace(self, key: str, content: bytes) -> str:
        """Put a file of the node's own under the prefix, also where one is; give its location.

        It was read back whole when this returns. Raises Unreachable, Busy or Refused.
        """
        with as_faults(self._url):
            self._bucket.replace(key, content)
            found = self._bucket.read(key).digest
        if found != hashlib.sha256(content).hexdigest():
            raise Unreachable(f"{key} reads back with another digest than was sent")
        return f"{self._url}/{key}"

    def fetch(self, location: str) -> Iterator[bytes]:
        """Read the object of a receipt's location, piece by piece.

        Raises Unreachable, Busy or Refused.
        """
        key = self.key_of(location)
        with as_faults(f"{self._url}/{key}"):
            yield from self._bucket.fetch(key)

    def remove(self, locations: Sequence[str]) -> None:
        """Remove objects by their receipts' locations. Raises Unreachable, Busy or Refused."""
        with as_faults(self._url):
            self._bucket.remove([self.key_of(location) for location in locations])

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def key_of(self, location: str) -> str:
        """Turn a receipt's location back into a key. Raises Refused for one of another place."""
        if not location.startswith(f"{self._url}/"):
            raise Refused(f"is elsewhere: {location}, and the destination is {self._url} now")
        return location.removeprefix(f"{self._url}/")

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._settings.concurrency, f"to-{self._name}")
        return self._pool

    def _prove(self, delivered: Delivered) -> Proof:
        try:
            key = self.key_of(delivered.receipt.location)
        except Refused as elsewhere:
            return Proof(holds=None, digest="", words=str(elsewhere))
        found = ""
        with as_faults(self._url), contextlib.suppress(Missing):
            found = self._bucket.read(key).digest
        return compared(delivered.receipt, found)

    def _deliver(self, key: str, outgoing: Outgoing) -> Receipt:
        digest = outgoing.digest()
        with as_faults(self._url):
            # Another object may have this key: then both are kept.
            for name in (key, conflict_key(key, digest)):
                created = self._bucket.create(name, outgoing, digest)
                if created is Created.CLAIMED:
                    continue
                if created is Created.MADE and self._trusts(outgoing):
                    return self._receipt(outgoing, name, digest, proof="checksum")
                found = self._bucket.read(name)
                if found.digest == digest:
                    return self._receipt(
                        outgoing, name, digest, read_back=digest, etag=found.etag,
                    )  # fmt: skip
                if created is Created.MADE:
                    break
        raise Unreachable(f"{key} reads back with another digest than was sent")

    def _trusts(self, outgoing: Outgoing) -> bool:
        """Whether the store's own check is enough: of one SHA-256 over the whole object."""
        is_one = outgoing.size_bytes <= bucket.ONE_PUT_BYTES
        return self._settings.verify == "checksum" and is_one

    def _receipt(
        self,
        outgoing: Outgoing,
        key: str,
        digest: str,
        *,
        read_back: str = "",
        etag: str = "",
        proof: str = "read-back",
    ) -> Receipt:
        return Receipt(
            destination=self._name,
            source_digest=outgoing.source_digest,
            sop_instance_uid=outgoing.sop_instance_uid,
            location=f"{self._url}/{key}",
            digest_sent=digest,
            digest_read_back=read_back,
            proof=proof,
            delivered_at=time.time(),
            etag=etag,
        )
