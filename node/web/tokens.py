"""Say whose token a request bears: hashed, compared in constant time, failures counted."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from config.api import Token

PREFIX: Final = "pnb_"
"""What tokens begin with, so that scanners for leaked secrets can know one."""
FAILURES: Final = 10
WINDOW_S: Final = 60.0
"""So many wrong tokens in so long from one address are told apart and logged; more are not."""
_MOST_ADDRESSES: Final = 1024
_SCHEME: Final = "bearer "


def digest_of(token: str) -> str:
    """Give what the config file holds of a token."""
    return "sha256:" + hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Tokens:
    """The [tokens.NAME] tables. One thread uses it: the web server's."""

    def __init__(
        self, tokens: Mapping[str, Token], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def identify(self, authorization: str) -> tuple[str, Token] | None:
        """Give the name and the table of a request's token; None where it bears none of ours."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        digest = digest_of(authorization[len(_SCHEME) :].strip())
        found = None
        for name, token in self._tokens.items():  # all of them, so that time tells nothing
            if hmac.compare_digest(token.digest, digest):
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
