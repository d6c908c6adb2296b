"""Check what [destinations.NAME] tables say of each other and of the peers."""

from collections.abc import Mapping

from config import bucket_checks, object_names, object_store_checks
from config.files import Place
from config.tables import Found, Tables, named_tables, table
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
            yield from object_store_checks.check(here, destination)
        names = destination.get("key") if kind in {"folder", "object-store"} else None
        if isinstance(names, str) and (words := object_names.problem(names)):
            yield (*here, "key"), words


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
    yield from bucket_checks.whereabouts(here, destination)
    yield from bucket_checks.keys(here, destination)
