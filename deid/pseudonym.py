"""Keyed pseudonyms: the same key and the same input give the same pseudonym, on every node.

Nothing is stored: retries, crashes and several nodes agree without talking. Without the key no
list of patient numbers or UIDs can be turned into pseudonyms and compared. From the
profile's one key a key of its own is derived for each project and kind (HKDF, RFC 5869), so that
a pseudonym of one kind or project says nothing about another.
"""

import base64
import binascii
import hmac
import re
import secrets
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from deid.dates import days_back
from dicom.uid import STANDARD_ROOT, from_digest

KEY_BYTES: Final = 32
_LEAST_DISTINCT: Final = 16
"""32 random bytes have fewer than 16 distinct values once in 10^14 keys."""


def new_key() -> bytes:
    """Make a key file's content: one line of base64."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"


def read_key(raw: bytes) -> bytes:
    """Read a key file's content: 32 random bytes or more as base64, as hex, or as they are.

    A key that was read already is returned unchanged. Raises ValueError, which says how to make
    a good key, for anything shorter, a passphrase, or bytes that are plainly not random.
    """
    line = raw.strip()
    if re.fullmatch(rb"[0-9A-Fa-f]+", line):
        key = bytes.fromhex(line.decode("ascii")) if len(line) % 2 == 0 else b""
    elif re.fullmatch(rb"[\x20-\x7E]*", line):
        key = _from_base64(line)
    else:
        key = raw
    if len(key) < KEY_BYTES or len(set(key)) < _LEAST_DISTINCT:
        raise ValueError(
            f"a key is {KEY_BYTES} random bytes or more, as base64 or hex; "
            "make one with `penumbra key new FILE`"
        )
    return key


def _from_base64(line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        return b""


class Pseudonyms:
    """Makes pseudonyms with one project's key; the key itself is not kept."""

    __slots__ = ("_date", "_patient", "_uid")

    def __init__(self, key: bytes, project: str = "") -> None:
        """Derive a key for each kind of pseudonym; those of two projects have nothing in common."""
        self._uid = _derived(key, b"uid", project)
        self._patient = _derived(key, b"patient", project)
        self._date = _derived(key, b"date", project)

    def uid(self, original: str) -> str:
        """Replace a UID; those registered by the standard (1.2.840.10008.) stay, and so does ""."""
        if not original or original.startswith(STANDARD_ROOT):
            return original
        return from_digest(hmac.digest(self._uid, original.encode(), "sha256"))

    def patient(self, identifier: str, issuer: str) -> str:
        """Replace a patient's identifier: 21 letters and digits, valid as LO and PN."""
        digest = hmac.digest(self._patient, _who(identifier, issuer), "sha256")
        return "P" + base64.b32encode(digest[:13]).decode("ascii").rstrip("=")[:20]

    def days(self, identifier: str, issuer: str) -> int:
        """Say by how many days a patient's dates move into the past (see `dates`)."""
        return days_back(hmac.digest(self._date, _who(identifier, issuer), "sha256"))


def _who(identifier: str, issuer: str) -> bytes:
    return f"{issuer.strip()}\x1f{identifier.strip()}".encode()


def _derived(key: bytes, kind: bytes, project: str) -> bytes:
    info = b"penumbra deid 1 " + kind
    if project:
        info += b"\x1f" + project.encode()
    return HKDFExpand(SHA256(), KEY_BYTES, info).derive(key)
