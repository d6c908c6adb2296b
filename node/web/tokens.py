"""Say whose token a request bears: hashed, compared in constant time, failures counted."""

import base64
import binascii
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from config.api import Token

PREFIX: Final = "pnb_"
"""What tokens begin with, so that scanners for leaked secrets can know one."""
FAILURES: Final = 10
WINDOW_S: Final = 60.0
"""So many wrong tokens in so long from one address are told apart and logged; more are not."""
CHALLENGES: Final = ('Bearer realm="penumbra"', 'Basic realm="penumbra", charset="UTF-8"')
"""What a request without a token is asked for, a header each: browsers show a prompt for Basic."""
_MOST_ADDRESSES: Final = 1024
_BEARER: Final = "bearer"
_BASIC: Final = "basic"
_LONGEST: Final = 4096


def digest_of(token: str) -> str:
    """Give what the config file holds of a token."""
    return "sha256:" + hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Tokens:
    """The [tokens.NAME] tables. One thread uses it: the web server's."""

    def __init__(
        self,
        tokens: Mapping[str, Token],
        clock: Callable[[], float] = time.monotonic,
        origins: Iterable[str] = (),
    ) -> None:
        self.origins = frozenset(origins)
        """Whose pages may ask from a browser, beside the node's own."""
        self._tokens = tokens
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether there is any token at all."""
        return bool(self._tokens)

    def identify(self, authorization: str) -> tuple[str, Token] | None:
        """Give the name and the table of a request's token; None where it bears none of ours.

        A token comes as `Bearer TOKEN` (RFC 6750), or as the password of `Basic` (RFC 7617) with
        its own name as the user, from browsers and from clients that know nothing else.
        """
        scheme, _, rest = authorization[:_LONGEST].partition(" ")
        if scheme.lower() == _BEARER:
            return self._named(None, rest.strip())
        if scheme.lower() == _BASIC:
            user, password = _user_and_password(rest.strip())
            return self._named(user, password)
        return None

    def _named(self, user: str | None, secret: str) -> tuple[str, Token] | None:
        digest = digest_of(secret)
        found = None
        for name, token in self._tokens.items():  # all of them, so that time tells nothing
            if hmac.compare_digest(token.digest, digest) and user in {None, name}:
                found = name, token
        return found

    def failed(self, address: str) -> float:
        """Count a failure of an address; returns for how many seconds it has had too many."""
        now = self._clock()
        count, since = self._failed.pop(address, (0, now))
        if now - since >= WINDOW_S:
            count, since = 0, now
        self._failed[address] = count + 1, since
        while len(self._failed) > _MOST_ADDRESSES:
            self._failed.popitem(last=False)
        return WINDOW_S - (now - since) if count >= FAILURES else 0.0


def _user_and_password(encoded: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return "", ""
    user, _, password = text.partition(":")
    return user, password
