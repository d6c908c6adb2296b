"""From a [destinations.NAME] table to a store of obstore: address, keys, encryption, time-outs."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from obstore import exceptions
from obstore.store import LocalStore, ObjectStore, from_url

from config.destinations import ObjectStoreDestination
from config.shapes import Secret
from dicom.errors import Refused

ReadSecret = Callable[[Secret], bytes]

CONNECT_S: Final = 5.0
_KEYS: Final = {
    "s3": ("endpoint", "", ""),
    "az": ("endpoint", "account_name", "account_key"),
    "gs": ("base_url", "", "service_account_key"),
    "file": ("", "", ""),
}
"""obstore's names for endpoint, access_key and secret_key, per scheme."""
_ENCRYPTION: Final = {"sse-s3": "AES256", "sse-kms": "aws:kms"}


def folder_of(settings: ObjectStoreDestination) -> Path | None:
    """Give the folder of a file URL; None for a bucket."""
    parts = urlsplit(settings.url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def open_store(
    settings: ObjectStoreDestination, read_secret: ReadSecret, timeout_s: float
) -> ObjectStore:
    """Open a bucket prefix; nothing connects yet. Raises Refused when the table cannot work."""
    url, folder = settings.url.rstrip("/"), folder_of(settings)
    config, credentials = _config(settings, read_secret)
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            return LocalStore(folder)
        return from_url(
            url,
            config=config,
            **credentials,
            client_options=client_options(settings, timeout_s),
            # The ledger tries again; here only a hiccup is smoothed over.
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=5)},
        )
    except (exceptions.BaseError, OSError, ValueError) as fault:
        raise Refused(f"{url}: cannot be used; check url, endpoint and keys") from fault


def client_options(settings: ObjectStoreDestination, timeout_s: float) -> Any:
    """Give obstore's client its time-outs; plain HTTP only where the endpoint says so."""
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
    config |= _s3(settings)
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


def _s3(settings: ObjectStoreDestination) -> dict[str, object]:
    found: dict[str, object] = {
        "virtual_hosted_style_request": settings.endpoint is None,
        # The store computes it too, and refuses a body that is not what we sent.
        "checksum_algorithm": "sha256",
    }
    if settings.region or settings.endpoint:  # otherwise the environment may know it
        found["region"] = settings.region or "us-east-1"
    if settings.encryption:
        found["server_side_encryption"] = _ENCRYPTION[settings.encryption]
    if settings.kms_key:
        found["sse_kms_key_id"] = settings.kms_key
    return found
