"""Sign reports with Ed25519 (RFC 8032), and verify them to the last byte.

A signed report is one line of canonical JSON (keys sorted, no spaces, UTF-8): the report as
"payload", and the signature over the payload's canonical bytes. Verifying writes it anew and
compares, so that there is one way alone to write a signed report, and every changed byte shows.
Anybody can check the signature without Penumbra:

    jq -cjS .payload evidence.json > payload
    jq -r .signature.value evidence.json | xxd -r -p > value
    openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in payload -sigfile value
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dicom.errors import ConfigFault, Corrupt

KEY_FILE: Final = "evidence.key"
"""In the node's data directory; made when the first report is signed."""
ALGORITHM: Final = "Ed25519"
PrivateKey = Ed25519PrivateKey
_OTHERS: Final = 0o077


def canonical(facts: object) -> bytes:
    """Write plain data as canonical JSON: the same data gives the same bytes."""
    return json.dumps(
        facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def private_key(folder: Path) -> Ed25519PrivateKey:
    """Read the signing key of a data directory; make it where there is none yet.

    Any number of processes may ask at once: they get the same key. Raises ConfigFault when the
    file is no Ed25519 key, or when others than its owner may read it.
    """
    file = folder / KEY_FILE
    if not file.exists():
        _make(file)
    if file.stat().st_mode & _OTHERS:
        raise ConfigFault([(str(file), "others may read it: chmod 600, and think of a new key")])
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        raise ConfigFault([(str(file), "is no private key in PEM")]) from fault
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigFault([(str(file), "is no Ed25519 key")])
    return key


def _make(file: Path) -> None:
    """Write a new key whole or not at all; the first of several writers wins."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".evidence-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(pem)
            opened.flush()
            os.fsync(opened.fileno())
        try:
            os.link(name, file)
        except FileExistsError:
            return
    finally:
        Path(name).unlink()


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Write a public key as PEM, as other tools read it."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_public(pem: bytes) -> Ed25519PublicKey:
    """Read a public key. Raises ConfigFault for anything else."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise ConfigFault([("key", "is no public key in PEM")]) from fault
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigFault([("key", "is no Ed25519 key")])
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """Name a key by the beginning of the SHA-256 of its 32 bytes."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:32]


def sign(report: Mapping[str, object], key: Ed25519PrivateKey) -> bytes:
    """Sign a report; the result is the content of a file."""
    value = key.sign(canonical(report))
    return _signed(report, key_id(key.public_key()), value)


def _signed(report: object, key: str, value: bytes) -> bytes:
    signature = {"algorithm": ALGORITHM, "key": key, "value": value.hex()}
    return canonical({"payload": report, "signature": signature}) + b"\n"


def verify(signed: bytes, key: Ed25519PublicKey) -> dict[str, Any]:
    """Give back the report of a signed file. Raises Corrupt unless it is as it was signed."""
    try:
        read = json.loads(signed)
        report, signature = read["payload"], read["signature"]
        named, value = str(signature["key"]), bytes.fromhex(signature["value"])
        anew = _signed(report, named, value)
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise Corrupt("this is no signed report, or it was changed") from fault
    if named != key_id(key):
        words = f"signed with key {named[:32]!r}, to be checked with {key_id(key)!r}"
        raise Corrupt(f"another key: {words}; or the report was changed")
    try:
        key.verify(value, canonical(report))
    except InvalidSignature as fault:
        raise Corrupt("the signature does not fit: the report was changed") from fault
    if anew != signed or not isinstance(report, dict):
        raise Corrupt("the report says the same, but not byte for byte as it was signed")
    return report
