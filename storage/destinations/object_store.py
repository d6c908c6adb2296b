"""A bucket prefix on S3, Google Cloud Storage, Azure or a file URL; the home of obstore.

Objects are created, never overwritten, and read back whole before they count as delivered.
"""

import contextlib
import hashlib
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store, from_url

from config.destinations import ObjectStoreDestination
from config.shapes import Secret
from dicom.errors import Busy, DeliveryFault, Refused, Unreachable
from storage.destinations.base import Delivered, Outgoing, Proof, Receipt, compared
from storage.keys import conflict_key, object_key

ONE_PUT_BYTES: Final = 16 << 20
"""Larger objects go up in parts, without the whole in memory a second time."""
PART_BYTES: Final = 8 << 20
TIMEOUT_S: Final = 120.0
"""Per request, its body included: 16 MiB through a line of 1.2 Mbit/s."""
CONNECT_S: Final = 5.0
_STATUS: Final = re.compile(r"\bstatus code: ([1-5]\d\d)\b")
_BUSY: Final = frozenset({"429", "503"})
_TRY_AGAIN: Final = frozenset({"408", "409", "425"})
_THROTTLED: Final = ("SlowDown", "TooManyRequests", "ServerBusy", "RequestLimitExceeded")
_SLOW: Final = ("RequestTimeout",)
"""What S3 says with status 400 to a body that dried up."""
_MISCONFIGURED: Final = ("builder error", "BareRedirect", "BadScheme", "InvalidUri")

_DENIED: Final = "access denied; check access_key, secret_key, policy"

_KEYS: Final = {
    "s3": ("endpoint", "", ""),
    "az": ("endpoint", "account_name", "account_key"),
    "gs": ("base_url", "", "service_account_key"),
    "file": ("", "", ""),
}
"""obstore's names for endpoint, access_key and secret_key, per scheme."""


class _Missing(Unreachable):
    """An object is not where it should be."""


ReadSecret = Callable[[Secret], bytes]


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
        parts = urlsplit(settings.url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        config, credentials = _config(settings, read_secret)
        try:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._store: obstore.store.ObjectStore = LocalStore(self._folder)
            else:
                self._store = from_url(
                    self._url,
                    config=config,
                    **credentials,
                    client_options=_client_options(settings, timeout_s),
                    # The ledger tries again; here only a hiccup is smoothed over.
                    retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=5)},
                )
        except (exceptions.BaseError, OSError, ValueError) as fault:
            raise Refused(f"{self._url}: cannot be used; check url, endpoint and keys") from fault
        self._pool: ThreadPoolExecutor | None = None

    def check(self) -> None:
        """List one object. Raises Unreachable, Busy or Refused."""
        with _faults(self._url):
            next(iter(obstore.list(self._store, chunk_size=1)), None)
            if self._folder is not None and not os.access(self._folder, os.W_OK | os.X_OK):
                raise Refused(f"{self._url}: may not be written")

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver several objects at a time; see the contract in base.py."""
        pool = self._threads()
        under_way: deque[tuple[str, Future[Receipt]]] = deque()
        try:
            for outgoing in objects:
                key = object_key(outgoing)
                # Two of one key never race: the second must see what the first created.
                while len(under_way) >= self._settings.concurrency or key in dict(under_way):
                    yield under_way.popleft()[1].result()
                under_way.append((key, pool.submit(self._deliver, key, outgoing)))
            while under_way:
                yield under_way.popleft()[1].result()
        except Exception:  # of a delivery, or of whoever makes the objects; raised again below
            # Those that come through all the same are paid; the fault stands.
            for _, future in under_way:
                future.cancel()
            for _, future in under_way:
                if not future.cancelled() and future.exception() is None:
                    yield future.result()
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
        if not isinstance(self._store, AzureStore | GCSStore | S3Store):
            raise Refused(f"{self._url}: gives no links; only s3, gs and az do")
        keys = [self._key(location) for location in locations]
        with _faults(self._url):
            for key, is_there in zip(keys, self._threads().map(self._exists, keys), strict=True):
                if not is_there:
                    raise Refused(f"{self._url}/{key}: is not there any more; `penumbra prove`")
            return list(obstore.sign(self._store, "GET", keys, timedelta(seconds=expires_s)))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._settings.concurrency, f"to-{self._name}")
        return self._pool

    def _prove(self, delivered: Delivered) -> Proof:
        try:
            key = self._key(delivered.receipt.location)
        except Refused as elsewhere:
            return Proof(holds=None, digest="", words=str(elsewhere))
        with _faults(self._url):
            try:
                found = self._digest(key)
            except _Missing:
                found = ""
        return compared(delivered.receipt, found)

    def _key(self, location: str) -> str:
        """Turn a receipt's location back into a key. Raises Refused for one of another place."""
        if not location.startswith(f"{self._url}/"):
            raise Refused(f"is elsewhere: {location}, and the destination is {self._url} now")
        return location.removeprefix(f"{self._url}/")

    def _deliver(self, key: str, outgoing: Outgoing) -> Receipt:
        digest = outgoing.digest()
        with _faults(self._url):
            self._create(key, outgoing)
            found = self._digest(key)
            if found != digest:  # another object has this key: both are kept
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

    def _create(self, key: str, outgoing: Outgoing) -> None:
        """Put an object where there is none; one that is there already stays."""
        # A file system has no place for these; whoever follows a link gets a file of this name.
        name = key.rpartition("/")[2]
        attributes: Any = (
            None
            if self._folder
            else {
                "Content-Type": "application/dicom",
                "Content-Disposition": f'attachment; filename="{name}"',
            }
        )
        size_bytes = outgoing.size_bytes
        with contextlib.suppress(exceptions.AlreadyExistsError):
            if size_bytes <= ONE_PUT_BYTES:
                body = outgoing.chunks[0] if len(outgoing.chunks) == 1 else outgoing.chunks
                obstore.put(self._store, key, body, mode="create", attributes=attributes)
            # Parts know no conditional create: look first. Keys are UIDs, and one job at a time
            # writes a Series, so nobody else creates this key in between.
            elif not self._exists(key):
                obstore.put(
                    self._store, key, _parts(outgoing), attributes=attributes, chunk_size=PART_BYTES
                )
        if self._folder is not None:
            _sync(self._folder, key)

    def _exists(self, key: str) -> bool:
        try:
            obstore.head(self._store, key)
        except (exceptions.NotFoundError, FileNotFoundError):
            return False
        return True

    def _digest(self, key: str) -> str:
        sha = hashlib.sha256()
        try:
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=1 << 20):
                sha.update(chunk)
        except (exceptions.NotFoundError, FileNotFoundError) as fault:
            # Written by another at this moment, or removed again: neither is for ever.
            raise _Missing(f"{self._url}/{key}: is not there when read back") from fault
        return sha.hexdigest()


def _parts(outgoing: Outgoing) -> Iterator[memoryview]:
    for chunk in outgoing.chunks:
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


def _client_options(settings: ObjectStoreDestination, timeout_s: float) -> Any:
    # No plain HTTP unless the config asks for an endpoint that is so.
    plain = (settings.endpoint or "").startswith("http://")
    return {
        "allow_http": plain,
        "connect_timeout": timedelta(seconds=min(CONNECT_S, timeout_s)),
        "timeout": timedelta(seconds=timeout_s),
    }


def _config(settings: ObjectStoreDestination, read_secret: ReadSecret) -> tuple[Any, Any]:
    """Map the table to obstore's config, and to credentials; without them it finds its own."""
    scheme = urlsplit(settings.url).scheme
    endpoint, account, secret = _KEYS[scheme]
    access_key = read_secret(settings.access_key).decode() if settings.access_key else ""
    secret_key = read_secret(settings.secret_key).decode() if settings.secret_key else ""
    values = ((endpoint, settings.endpoint), (account, access_key), (secret, secret_key))
    config: dict[str, object] = {key: value for key, value in values if key and value}
    if scheme != "s3":
        return config or None, {}
    config["virtual_hosted_style_request"] = settings.endpoint is None
    if settings.region or settings.endpoint:  # otherwise the environment may know it
        config["region"] = settings.region or "us-east-1"
    if not (access_key and secret_key):
        return config, {}
    # Given so, an AWS_SESSION_TOKEN of the environment is not signed together with our keys.
    ours = {
        "access_key_id": access_key,
        "secret_access_key": secret_key,
        "token": None,
        "expires_at": None,
    }
    return config, {"credential_provider": lambda: ours}


@contextlib.contextmanager
def _faults(where: str) -> Iterator[None]:
    try:
        yield
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as fault:
        raise Refused(f"{where}: {_DENIED}") from fault
    except (exceptions.NotFoundError, FileNotFoundError) as fault:
        raise Refused(f"{where}: no such bucket or object") from fault
    except (exceptions.BaseError, OSError) as fault:
        raise _judge(where, str(fault)) from fault
    except (ValueError, NotImplementedError) as fault:
        raise Refused(f"{where}: the settings cannot be used") from fault


def _judge(where: str, words: str) -> DeliveryFault:
    """Say what kind of trouble a store's generic error is; its words stay out of ours."""
    found = _STATUS.search(words)
    status = found[1] if found else ""
    if status in _BUSY or any(sign in words for sign in _THROTTLED):
        return Busy(f"{where}: asks to slow down")
    if status.startswith("4") and status not in _TRY_AGAIN:
        if any(sign in words for sign in _SLOW):
            return Unreachable(f"{where}: waited in vain for our data")
        if status in {"401", "403"}:
            return Refused(f"{where}: {_DENIED}")
        return Refused(f"{where}: answered {status}; check url, endpoint and region")
    if status.startswith("3") or any(sign in words for sign in _MISCONFIGURED):
        return Refused(f"{where}: check endpoint and region")
    return Unreachable(f"{where}: {f'answered {status}' if status else 'does not answer'}")
