"""Seal what leads back to a patient: each row bound to its place, under a key of that patient.

Two layers. Every patient has a random data key, which seals that patient's rows (AES-256-GCM). The
data key itself is wrapped under a key derived (HKDF-SHA256, RFC 5869) from the vault key. To forget
a patient is therefore to delete one wrapped key; to change the vault key is to wrap those keys
anew, while no row is touched.

What a row is about (project, patient, kind, pseudonym) is authenticated with it: a row that was
changed, or copied to another place, does not open.
"""

import hashlib
import os
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from dicom.errors import DeidFault
from dicom.sealed import SealedOriginal, SealedStudy, WrappedKey

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
"""Random nonces: one key seals far fewer than the 2^32 messages that they are good for."""
_ID_BYTES: Final = 8
_PURPOSE: Final = b"penumbra vault 1 "


class NoVaultKey(DeidFault):
    """A patient's key is wrapped under a vault key that this process was not given."""

    code = "no-vault-key"


class VaultTampered(DeidFault):
    """A row of the vault does not open: it was changed, or is not in its place."""

    code = "vault-tampered"


class DataKey:
    """The key of one patient in one project; seals and opens that patient's rows."""

    __slots__ = ("_aes", "patient", "project", "secret")

    def __init__(self, project: str, patient: str, secret: bytes) -> None:
        self.project = project
        self.patient = patient
        self.secret = secret
        self._aes = AESGCM(secret)

    def seal_original(self, kind: str, pseudonym: str, value: str) -> SealedOriginal:
        """Seal the value behind a pseudonym."""
        place = _bound("original", self.project, self.patient, kind, pseudonym)
        sealed = _seal(self._aes, value.encode("utf-8", "surrogateescape"), place)
        return SealedOriginal(self.project, self.patient, kind, pseudonym, sealed)

    def open_original(self, row: SealedOriginal) -> str:
        """Open the value behind a pseudonym. Raises VaultTampered."""
        place = _bound("original", self.project, self.patient, row.kind, row.pseudonym)
        return _open(self._aes, row.sealed, place).decode("utf-8", "surrogateescape")

    def seal_study(self, study_instance_uid: str, snapshot: bytes) -> SealedStudy:
        """Seal a study's Patient and Study modules."""
        place = _bound("study", self.project, self.patient, study_instance_uid)
        sealed = _seal(self._aes, snapshot, place)
        return SealedStudy(self.project, self.patient, study_instance_uid, sealed)

    def open_study(self, row: SealedStudy) -> bytes:
        """Open a study's Patient and Study modules. Raises VaultTampered."""
        place = _bound("study", self.project, self.patient, row.study_instance_uid)
        return _open(self._aes, row.sealed, place)


class VaultKey:
    """A key of the vault; it shows its id alone."""

    __slots__ = ("_aes", "id")

    def __init__(self, secret: bytes) -> None:
        """Take 32 random bytes or more; the secret itself is not kept."""
        if len(secret) < KEY_BYTES:
            raise ValueError(f"a key is {KEY_BYTES} random bytes or more")
        self._aes = AESGCM(_derived(secret, b"wrap"))
        self.id = hashlib.sha256(_derived(secret, b"id")).digest()[:_ID_BYTES].hex()
        """Names the key in rows and faults; says nothing about it."""

    def __repr__(self) -> str:
        return f"VaultKey({self.id})"

    def wrap(self, key: DataKey) -> WrappedKey:
        """Wrap a patient's data key."""
        wrapped = _seal(self._aes, key.secret, _bound("key", key.project, key.patient))
        return WrappedKey(key.project, key.patient, self.id, wrapped)

    def unwrap(self, row: WrappedKey) -> DataKey:
        """Unwrap a patient's data key. Raises VaultTampered."""
        place = _bound("key", row.project, row.patient)
        return DataKey(row.project, row.patient, _open(self._aes, row.wrapped, place))


class VaultKeys:
    """The key that data keys are wrapped under, and those that older ones still are."""

    __slots__ = ("_by_id", "current")

    def __init__(self, current: VaultKey, older: Iterable[VaultKey] = ()) -> None:
        self.current = current
        self._by_id = {key.id: key for key in (*older, current)}

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all of them."""
        return frozenset(self._by_id)

    def fresh(self, project: str, patient: str) -> DataKey:
        """Make a data key for a patient who has none."""
        return DataKey(project, patient, os.urandom(KEY_BYTES))

    def unwrap(self, row: WrappedKey) -> DataKey:
        """Unwrap a data key. Raises NoVaultKey, or VaultTampered when the row was changed."""
        key = self._by_id.get(row.key_id)
        if key is None:
            given = ", ".join(self._by_id)
            raise NoVaultKey(
                f"a row of the vault needs the key {row.key_id}, and the keys given are {given}:"
                " put that key's file back as [vault] key, or name it in [vault] old_keys, and"
                " restart the node"
            )
        return key.unwrap(row)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, _PURPOSE + purpose).derive(secret)


def _bound(*parts: str) -> bytes:
    """Join parts so that no two lists of parts give the same bytes."""
    encoded = [part.encode("utf-8", "surrogateescape") for part in parts]
    return _PURPOSE + b"".join(len(each).to_bytes(4, "big") + each for each in encoded)


def _seal(aes: AESGCM, plain: bytes, place: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + aes.encrypt(nonce, plain, place)


def _open(aes: AESGCM, sealed: bytes, place: bytes) -> bytes:
    try:
        return aes.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except (InvalidTag, ValueError):
        # ValueError: cut down to less than a nonce.
        raise VaultTampered(
            "a row of the vault does not open: it was changed or moved; restore vault.db"
        ) from None
