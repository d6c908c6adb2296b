"""Check [tokens.NAME] and how [http] is served: no token travels where others can read it."""

import ipaddress
import re
from pathlib import Path
from typing import Any, Final

from config.model import Http
from config.sources import title_of
from config.tables import Found, Tables, is_file, named_tables, table, texts
from dicom import ae

_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
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
        yield from _title(tables, name, token)
    for i, origin in texts(http.get("origins")):
        if not _ORIGIN.fullmatch(origin):
            words = 'is no origin: "https://host" or "https://host:port", in small letters'
            yield ("http", "origins", i), words
    for key, other in (("certificate", "key"), ("key", "certificate")):
        if key in http and other not in http:
            yield ("http", other), f"is missing beside {key}"
    if table(tables, "tokens") and not _is_safe(http):
        yield ("http", "host"), _IN_THE_CLEAR


def _title(tables: Tables, name: str, token: Tables) -> Found:
    """Find a title under which rules would take a token that stores for somebody else."""
    given, may = token.get("ae_title"), token.get("may")
    if not isinstance(may, list) or "store" not in may or not isinstance(given, str | None):
        return
    here, title = ("tokens", name, "ae_title"), title_of(name, given)
    if not ae.is_valid(title):
        yield here, "is no AE title: give one of 1 to 16 characters (PS3.5 6.2)"
    elif title in table(tables, "peers"):
        yield here, f"is {title}, which is one of [peers] too: rules could not tell them apart"
    for source, one in named_tables(tables, "sources"):
        if title == title_of(source, one.get("ae_title")):
            yield here, f"is {title}, the same as of [sources.{source}]"


def check_viewer(tables: Tables, folder: Path) -> Found:
    """Yield the fault of a viewer that is not there; only who serves it needs its files."""
    viewer = table(tables, "http").get("viewer")
    if isinstance(viewer, str) and not is_file(folder / viewer / "index.html"):
        yield ("http", "viewer"), f"holds no index.html: {folder / viewer} (see `make viewer`)"


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
