"""Check [tokens.NAME] and how [http] is served: no token travels where others can read it."""

import ipaddress
import re
from typing import Any, Final

from config.model import Http
from config.tables import Found, Tables, named_tables, table

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_IN_THE_CLEAR: Final = (
    "would have tokens travel in the clear: give [http] a certificate and a key, listen on"
    " 127.0.0.1, or say behind_proxy = true where a proxy in front speaks TLS"
)


def check(tables: Tables) -> Found:
    """Yield each fault as its place and words."""
    http, first = table(tables, "http"), dict[str, str]()
    for name, token in named_tables(tables, "tokens"):
        if not _NAME.fullmatch(name):
            yield ("tokens", name), "a name is letters, digits, dots, hyphens and underscores"
        digest = token.get("digest")
        if isinstance(digest, str) and first.setdefault(digest, name) != name:
            yield ("tokens", name, "digest"), f"is that of [tokens.{first[digest]}] too"
    for key, other in (("certificate", "key"), ("key", "certificate")):
        if key in http and other not in http:
            yield ("http", other), f"is missing beside {key}"
    if table(tables, "tokens") and not _is_safe(http):
        yield ("http", "host"), _IN_THE_CLEAR


def _is_safe(http: Tables) -> bool:
    if http.get("behind_proxy") is True or "certificate" in http:
        return True
    return is_loopback(http.get("host", Http().host))


def is_loopback(host: Any) -> bool:
    """Whether only this machine can come in by an address; a name other than localhost is none."""
    try:
        return host == "localhost" or ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False
