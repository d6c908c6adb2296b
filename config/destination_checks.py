"""Check what [destinations.NAME] tables say of each other and of the peers."""

from collections.abc import Mapping
from urllib.parse import SplitResult

from config.files import Place
from config.tables import Found, Tables, named_tables, table
from config.urls import plain_words, split
from config.words import unknown


def check(tables: Tables) -> Found:
    """Yield each fault as its place and words."""
    for name, destination in named_tables(tables, "destinations"):
        here = ("destinations", name)
        kind = destination.get("kind")
        if not name.strip():
            yield here, "a destination needs a name"
        if kind == "dicom":
            yield from _dicom(tables, here, destination)
        if kind == "object-store":
            yield from _object_store(here, destination)


def _dicom(tables: Tables, here: Place, destination: Tables) -> Found:
    title, peers = destination.get("peer"), table(tables, "peers")
    if not isinstance(title, str):
        return
    if title not in peers:
        yield (*here, "peer"), unknown(title, peers, "peer")
        return
    peer = peers[title]
    for key in ("host", "port"):
        if isinstance(peer, Mapping) and not peer.get(key):
            yield (*here, "peer"), f"[peers.{title}] has no {key} to connect to"


def _object_store(here: Place, destination: Tables) -> Found:
    url, endpoint = split(destination.get("url")), split(destination.get("endpoint"))
    if url is not None and (words := _bucket_words(url)):
        yield (*here, "url"), words
    if endpoint is not None and (endpoint.scheme not in {"http", "https"} or not endpoint.hostname):
        yield (*here, "endpoint"), "must be http://host:port or https://host:port"
    elif endpoint is not None and (words := plain_words(endpoint)):
        yield (*here, "endpoint"), words
    pair = {"access_key", "secret_key"}
    if len(alone := pair & destination.keys()) == 1:
        (other,) = pair - alone
        yield (*here, other), f"is missing beside {alone.pop()}"


def _bucket_words(url: SplitResult) -> str:
    if url.scheme == "file":
        from_root = not url.netloc and len(url.path) > 1
        return "" if from_root else "must name a folder from the root: file:///folder"
    if not url.netloc:
        return "names no bucket: s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    return plain_words(url)
