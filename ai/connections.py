"""From the config to a client of an endpoint: its address, its TLS, and what it is told of us."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ai import identity
from ai.endpoint import Endpoint
from ai.http_calls import Calls
from ai.identity import Kind
from ai.kserve import KserveEndpoint
from ai.predict import PredictEndpoint
from ai.triton import Credentials, TritonEndpoint
from config import certificates, secrets
from config.models import Model
from config.predict import Predict
from config.shapes import ClientTls, Secret
from dicom.errors import ConfigFault

_BUNDLES: Final = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/cert.pem"),
)
"""Where systems keep the authorities that they believe in one file."""


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two endpoints one connection."""

    address: str
    tls: ClientTls | None
    token: Secret | None
    headers: tuple[tuple[str, Secret], ...]
    shared_memory: bool
    predict: str = ""
    """[models.NAME.predict] as JSON; "" for a server that describes its models."""
    identity: Kind | None = None
    region: str = ""


def keys(settings: Model) -> tuple[Key, ...]:
    """List the connections that a model's endpoints need."""
    headers = tuple(sorted(settings.headers.items(), key=lambda each: each[0]))
    shares = settings.shared_memory == "auto"
    predict = "" if settings.predict is None else settings.predict.model_dump_json()
    return tuple(
        Key(
            address,
            settings.tls,
            settings.token,
            headers,
            shares,
            predict,
            settings.identity,
            settings.region or "",
        )
        for address in settings.endpoints
    )


def connect(key: Key) -> Endpoint:
    """Make a client; needs a running loop.

    Raises ConfigFault for a secret or file that is bad, and for an identity without its extra.
    """
    headers = {name: _text(secret) for name, secret in key.headers}
    if key.token is not None:
        headers["authorization"] = f"Bearer {_text(key.token)}"
    if "://" in key.address:
        tls = key.tls or ClientTls()
        who = identity.of(key.identity, key.region, key.address) if key.identity else None
        calls = Calls(key.address, certificates.client(tls), headers, tls.name, who)
        if key.predict:
            return PredictEndpoint(calls, Predict.model_validate_json(key.predict))
        return KserveEndpoint(calls)
    return TritonEndpoint(
        key.address,
        credentials=_credentials(key.tls),
        headers=headers,
        shared_memory=key.shared_memory,
    )


def _credentials(tls: ClientTls | None) -> Credentials:
    if tls is None:
        return Credentials()
    certificates.client(tls)  # says what is wrong with the files, in words that gRPC has not
    try:
        return Credentials(
            authorities=_authorities(tls),
            key=None if tls.key is None else tls.key.read_bytes(),
            certificate=None if tls.certificate is None else tls.certificate.read_bytes(),
            name=tls.name,
            is_tls=True,
        )
    except OSError as fault:
        raise ConfigFault([("tls", f"a file cannot be read ({fault.strerror})")]) from fault


def _authorities(tls: ClientTls) -> bytes | None:
    if tls.ca is not None:
        return tls.ca.read_bytes()
    named = ssl.get_default_verify_paths().cafile
    bundles = (*((Path(named),) if named else ()), *_BUNDLES)
    return next((one.read_bytes() for one in bundles if one.is_file()), None)


def _text(secret: Secret) -> str:
    words = secrets.read(secret).decode("latin-1")
    if not (words.isascii() and words.isprintable()):
        # Before a library says it, and repeats the value.
        raise ConfigFault([("secret", "must be one line of printable ASCII to go into a header")])
    return words
