"""A bucket prefix on S3, Google Cloud Storage, Azure or a file URL; the home of obstore.

Objects are created, never overwritten, and read back whole before they count as delivered.
"""

import contextlib
import hashlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import from_url

from config.model import ObjectStoreDestination, Secret
from dicom.errors import Busy, DeliveryFault, Refused, Unreachable
from storage.destinations.base import Outgoing, Receipt
from storage.keys import conflict_key, object_key

ONE_PUT_BYTES: Final = 16 << 20
"""Larger objects go up in parts, without the whole in memory a second time."""
PART_BYTES: Final = 8 << 20
_STATUS: Final = re.compile(r"\b(?:status|HTTP)\D{0,20}([45]\d\d)\b", re.IGNORECASE)
_THROTTLED: Final = ("SlowDown", "TooManyRequests", "ServerBusy")

ReadSecret = Callable[[Secret], bytes]


class ObjectStore:
    """One bucket prefix; `concurrency` objects are on their way at once."""

    def __init__(
        self, name: str, settings: ObjectStoreDestination, read_secret: ReadSecret
    ) -> None:
        self._name = name
        self._settings = settings
        self._url = settings.url.rstrip("/")
        with _faults(self._url):
            self._store = from_url(
                self._url,
                config=_config(settings, read_secret),
                client_options=_client_options(settings),
                # The ledger tries again; here only a hiccup is smoothed over.
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=5)},
            )
        self._pool: ThreadPoolExecutor | None = None

    def check(self) -> None:
        """List one object. Raises Unreachable, Busy or Refused."""
        with _faults(self._url):
            next(iter(obstore.list(self._store, chunk_size=1)), None)

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver several objects at a time; see the contract in base.py."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._settings.concurrency, f"to-{self._name}")
        under_way: deque[Future[Receipt]] = deque()
        try:
            for outgoing in objects:
                under_way.append(self._pool.submit(self._deliver, outgoing))
                if len(under_way) >= self._settings.concurrency:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except DeliveryFault:
            # Those that come through all the same are paid; the fault stands.
            for future in under_way:
                future.cancel()
            for future in under_way:
                if not future.cancelled() and future.exception() is None:
                    yield future.result()
            raise

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _deliver(self, outgoing: Outgoing) -> Receipt:
        digest, key = outgoing.digest(), object_key(outgoing)
        with _faults(self._url):
            if not self._create(key, outgoing) and self._digest(key) != digest:
                key = conflict_key(key, digest)
                self._create(key, outgoing)
            found = self._digest(key)
        if found != digest:
            raise Unreachable(f"{key} reads back with another digest than was sent")
        return Receipt(
            destination=self._name,
            source_digest=outgoing.source_digest,
            sop_instance_uid=outgoing.sop_instance_uid,
            location=f"{self._url}/{key}",
            digest_sent=digest,
            digest_read_back=found,
            proof="read-back",
            delivered_at=time.time(),
        )

    def _create(self, key: str, outgoing: Outgoing) -> bool:
        """Put an object where there is none; False when there is one already."""
        attributes: Any = {"Content-Type": "application/dicom"}
        try:
            if outgoing.size_bytes <= ONE_PUT_BYTES:
                body = b"".join(outgoing.chunks)
                obstore.put(self._store, key, body, mode="create", attributes=attributes)
                return True
            # Parts know no conditional create: look first. Keys are UIDs, and one lane of jobs
            # writes a Series, so nobody else creates this key in between.
            if self._exists(key):
                return False
            obstore.put(
                self._store, key, _parts(outgoing), attributes=attributes, chunk_size=PART_BYTES
            )
        except exceptions.AlreadyExistsError:
            return False
        return True

    def _exists(self, key: str) -> bool:
        try:
            obstore.head(self._store, key)
        except (exceptions.NotFoundError, FileNotFoundError):
            return False
        return True

    def _digest(self, key: str) -> str:
        sha = hashlib.sha256()
        for chunk in obstore.get(self._store, key).stream(min_chunk_size=1 << 20):
            sha.update(chunk)
        return sha.hexdigest()


def _parts(outgoing: Outgoing) -> Iterator[memoryview]:
    for chunk in outgoing.chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), PART_BYTES):
            yield view[start : start + PART_BYTES]


def _client_options(settings: ObjectStoreDestination) -> Any:
    # No plain HTTP unless the config asks for an endpoint that is so.
    plain = (settings.endpoint or "").startswith("http://")
    return {
        "allow_http": plain,
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(seconds=120),
    }


def _config(settings: ObjectStoreDestination, read_secret: ReadSecret) -> Any:
    """Map the table to obstore's keys per scheme; without secrets its own discovery works."""
    scheme = urlsplit(settings.url).scheme
    keys = {
        "s3": ("endpoint", "access_key_id", "secret_access_key"),
        "az": ("endpoint", "account_name", "account_key"),
        "gs": ("base_url", "", "service_account_key"),
        "file": ("", "", ""),
    }[scheme]
    values = (
        settings.endpoint,
        read_secret(settings.access_key).decode() if settings.access_key else None,
        read_secret(settings.secret_key).decode() if settings.secret_key else None,
    )
    config: dict[str, object] = {
        key: value for key, value in zip(keys, values, strict=True) if key and value
    }
    if scheme == "s3":
        config["region"] = settings.region or "us-east-1"
        config["virtual_hosted_style_request"] = settings.endpoint is None
    return config or None


@contextlib.contextmanager
def _faults(where: str) -> Iterator[None]:
    try:
        yield
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as fault:
        raise Refused(f"{where}: access denied; check access_key, secret_key, policy") from fault
    except (exceptions.NotFoundError, FileNotFoundError) as fault:
        raise Refused(f"{where}: no such bucket or object") from fault
    except (exceptions.BaseError, OSError) as fault:
        raise _judge(where, str(fault)) from fault
    except ValueError as fault:
        raise Refused(f"{where}: the settings cannot be used") from fault


def _judge(where: str, words: str) -> DeliveryFault:
    """Say what kind of trouble a store's generic error is; its words stay out of ours."""
    status = _STATUS.search(words)
    if any(sign in words for sign in _THROTTLED) or (status and status[1] in {"429", "503"}):
        return Busy(f"{where}: asks to slow down")
    if status and status[1].startswith("4"):
        return Refused(f"{where}: answered {status[1]}")
    if status:
        return Unreachable(f"{where}: answered {status[1]}")
    return Unreachable(f"{where}: does not answer")
