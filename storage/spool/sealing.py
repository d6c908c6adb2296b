"""Seal a record's body with AES-256-GCM, frame by frame, and open its frames again.

Every record has a key of its own, derived (HKDF-SHA256, RFC 5869) from the spool's key and 32
random bytes; nonces count the frames under it, so that none repeats under one key. The nonce also
tells the last frame, and every frame is bound to the record's place: frames that were swapped,
dropped, cut, or moved to another record do not open. A body ends with a frame that is shorter than
the others, and may be empty.

What is sealed is the whole Part 10 file. A record's prefix and facts are not: recovery and
`penumbra spool verify` walk the log without a key. They hold AE titles, an address, a time, and
UIDs, which are pseudonyms: whoever can ask the PACS can turn a SOP Instance UID into a patient.

The header with key id and salt stands right before the body. It ends with bytes that are no ASCII,
where the facts of a plain record end with a brace: a place alone tells which of the two it is.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dicom.errors import Corrupt

KEY_BYTES: Final = 32
FRAME_BYTES: Final = 128 << 10
"""The interpreter serves other threads while a frame is sealed; with frames of 32 KiB they spend
their time handing it to each other. Of larger ones, more is opened for an object's head."""
TAG_BYTES: Final = 16
SALT_BYTES: Final = 32
ID_BYTES: Final = 8
MARK: Final = b"PnbS\x9e\xd5\xab\xf1"
HEADER_BYTES: Final = ID_BYTES + SALT_BYTES + len(MARK)

_PURPOSE: Final = b"penumbra spool 1 "


class NoKey(Corrupt):
    """An object is sealed with a key that this process was not given."""

    code = "no-spool-key"


def frames_of(length: int) -> int:
    """Count the frames of a body of `length` bytes."""
    return length // FRAME_BYTES + 1


def sealed_bytes(length: int) -> int:
    """Say how many bytes a body of `length` bytes takes when it is sealed."""
    return length + TAG_BYTES * frames_of(length)


class Cipher:
    """Seals or opens the frames of one record."""

    __slots__ = ("_aes", "_place")

    def __init__(self, key: bytes, segment: str, offset: int) -> None:
        self._aes = AESGCM(key)
        self._place = f"{segment}:{offset}".encode()

    def seal(self, index: int, frame: memoryview, *, is_last: bool) -> bytes:
        """Seal a frame; each index is used once."""
        return self._aes.encrypt(_nonce(index, is_last=is_last), frame, self._place)

    def open(self, index: int, sealed: bytes, *, is_last: bool) -> bytes:
        """Open a frame. Raises Corrupt unless it is the one that was sealed here."""
        try:
            return self._aes.decrypt(_nonce(index, is_last=is_last), sealed, self._place)
        except InvalidTag as fault:
            words = f"frame {index} of the sealed object was changed"
            raise Corrupt(words) from fault


def _nonce(index: int, *, is_last: bool) -> bytes:
    return (index << 8 | is_last).to_bytes(12, "big")


class Seal:
    """Seals one body, piece by piece."""

    __slots__ = ("_cipher", "_index", "header")

    def __init__(self, header: bytes, cipher: Cipher) -> None:
        self.header = header
        """What opening needs to know, beside the key."""
        self._cipher = cipher
        self._index = 0

    def frames(self, piece: memoryview, *, is_last: bool) -> list[bytes]:
        """Seal a piece; all but the last must be whole frames."""
        whole, rest = divmod(len(piece), FRAME_BYTES)
        if rest and not is_last:
            raise ValueError("only the last piece may end within a frame")
        first = self._index
        self._index += whole + is_last
        ends = whole * FRAME_BYTES
        sealed = [
            self._cipher.seal(first + number, piece[at : at + FRAME_BYTES], is_last=False)
            for number, at in enumerate(range(0, ends, FRAME_BYTES))
        ]
        if is_last:
            sealed.append(self._cipher.seal(first + whole, piece[ends:], is_last=True))
        return sealed


class SpoolKey:
    """A key of the spool; it shows its id alone."""

    __slots__ = ("id", "secret")

    def __init__(self, secret: bytes) -> None:
        """Take 32 random bytes or more."""
        if len(secret) < KEY_BYTES:
            raise ValueError(f"a key is {KEY_BYTES} random bytes or more")
        self.secret = secret
        named = HKDF(SHA256(), KEY_BYTES, salt=None, info=_PURPOSE + b"id").derive(secret)
        self.id = hashlib.sha256(named).digest()[:ID_BYTES].hex()
        """Names the key in records and faults; says nothing about it."""

    def __repr__(self) -> str:
        return f"SpoolKey({self.id})"

    def seal(self, segment: str, offset: int) -> Seal:
        """Begin to seal the body that will lie at `offset` of a segment."""
        salt = os.urandom(SALT_BYTES)
        header = bytes.fromhex(self.id) + salt + MARK
        return Seal(header, self._cipher(salt, segment, offset))

    def opener(self, header: bytes, segment: str, offset: int) -> Cipher:
        """Open the body with this header that lies at `offset` of a segment."""
        return self._cipher(header[ID_BYTES : ID_BYTES + SALT_BYTES], segment, offset)

    def _cipher(self, salt: bytes, segment: str, offset: int) -> Cipher:
        own = HKDF(SHA256(), KEY_BYTES, salt=salt, info=_PURPOSE + b"record").derive(self.secret)
        return Cipher(own, segment, offset)


class SpoolKeys:
    """The key that new objects are sealed with, if any, and those that older ones were."""

    __slots__ = ("_by_id", "current")

    def __init__(self, current: SpoolKey | None = None, older: Iterable[SpoolKey] = ()) -> None:
        self.current = current
        self._by_id = {key.id: key for key in (*older, *([current] if current else []))}

    def __iter__(self) -> Iterator[SpoolKey]:
        return iter(self._by_id.values())

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._by_id

    def named(self, key_id: str) -> SpoolKey:
        """Give a key by its id. Raises NoKey."""
        try:
            return self._by_id[key_id]
        except KeyError:
            raise NoKey(
                f"it is sealed with the key {key_id}, which is not configured:"
                " name its file in [node] spool_old_keys"
            ) from None


NO_KEYS: Final = SpoolKeys()


def key_id_of(header: bytes) -> str:
    """Read the id of the key from what stands before a body; "" where that is no header."""
    if len(header) != HEADER_BYTES or not header.endswith(MARK):
        return ""
    return header[:ID_BYTES].hex()
