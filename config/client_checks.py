"""Check what the config file says of servers that are called: their TLS, and plain HTTP."""

import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

from config.files import Place
from config.model import Settings
from config.shapes import ClientTls
from config.tables import Found, Tables, at, is_file, named_tables, table
from config.urls import plain_words, split


def check(tables: Tables, folder: Path) -> Found:
    """Yield each fault as its place and words; relative paths are looked for in `folder`."""
    for title, peer in named_tables(tables, "peers"):
        yield from _files(("peers", title, "tls"), peer.get("tls"), folder)
    for name, destination in named_tables(tables, "destinations"):
        if destination.get("kind") == "stow":
            yield from _urls(("destinations", name), destination)
            yield from _files(("destinations", name, "tls"), destination.get("tls"), folder)
    for name, model in named_tables(tables, "models"):
        yield from _files(("models", name, "tls"), model.get("tls"), folder)
    fhir = table(tables, "fhir")
    yield from _urls(("fhir",), fhir, "server")
    yield from _files(("fhir", "tls"), fhir.get("tls"), folder)


def secret_places(tables: Tables) -> Iterator[Place]:
    """List where secrets for servers may stand."""
    for key in ("password", "client_secret", "token"):
        for name, _ in named_tables(tables, "destinations"):
            yield "destinations", name, "auth", key
        yield "fhir", "auth", key
    for name, model in named_tables(tables, "models"):
        yield "models", name, "token"
        yield "models", name, "split_key"
        for header in table(model, "headers"):
            yield "models", name, "headers", header


def _urls(here: Place, server: Tables, key: str = "url") -> Found:
    """Yield the faults of a server's URLs."""
    plain = server.get("plain") is True
    for place in ((key,), ("auth", "token_url")):
        url = split(at(server, place))
        if url is None or url.scheme not in {"http", "https"}:
            continue  # absent, or told by its type
        if not url.hostname:
            yield (*here, *place), "names no host: https://host/dicom-web"
        elif words := plain_words(url):
            yield (*here, *place), words
        elif url.scheme == "http" and not plain and not is_loopback(url):
            yield (
                (*here, *place),
                (
                    "would send patients' data or secrets in the clear: begin it with https://,"
                    " or say plain = true where the way there is encrypted otherwise"
                ),
            )


def is_loopback(url: SplitResult) -> bool:
    """Whether a URL stays on this machine."""
    host = url.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_files(settings: Settings) -> Found:
    """Yield what is wrong with the files of `tls` tables, whosever they are."""
    from config import certificates

    tables: list[tuple[Place, Any]] = [
        (("peers", title, "tls"), peer.tls) for title, peer in settings.peers.items()
    ]
    tables += [
        (("destinations", name, "tls"), getattr(each, "tls", None))
        for name, each in settings.destinations.items()
    ]
    tables += [(("models", name, "tls"), each.tls) for name, each in settings.models.items()]
    tables.append((("fhir", "tls"), settings.fhir.tls))
    for place, tls in tables:
        if isinstance(tls, ClientTls):
            found = certificates.client_problems(tls, time.time())
            yield from (((*place, key), words) for key, words in found)


def _files(here: Place, tls: Any, folder: Path) -> Found:
    """Yield files of a `tls` table that are not there, and a certificate without its key."""
    if not isinstance(tls, dict):
        return
    for key in ("ca", "certificate", "key"):
        name = tls.get(key)
        if isinstance(name, str) and not is_file(folder / name):
            yield (*here, key), f"there is no file {folder / name}"
    if len(alone := {"certificate", "key"} & tls.keys()) == 1:
        (missing,) = {"certificate", "key"} - alone
        yield (*here, missing), f"is missing beside {alone.pop()}"
