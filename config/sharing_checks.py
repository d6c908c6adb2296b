"""Check what [ledger], [vault] and [staging] say: their URLs, and what they refer to."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs

from config.tables import Found, Tables, at, listed_tables, table, texts
from config.urls import split

_SECRETS: Final = frozenset({"password", "sslpassword", "passfile"})
_SENDING: Final = ("send", "results_to")


def check(tables: Tables) -> Found:
    """Yield each fault as its place and words."""
    for name in ("ledger", "vault"):
        here = table(tables, name)
        if words := _url_words(here.get("url")):
            yield (name, "url"), words
        if "password" in here and "url" not in here:
            yield (name, "url"), "is missing beside password"
    yield from _staging(tables)


def _url_words(text: object) -> str:
    url = split(text)
    if url is None or not url.scheme:
        return ""
    query = parse_qs(url.query)
    if url.password is not None or _SECRETS & query.keys():
        return "holds a password; name it as password = { file = ... } beside the url"
    if not url.path.strip("/"):
        return "names no database: postgresql://user@host/database"
    if not url.hostname and "host" not in query:
        return "names no host: postgresql://user@host/database"
    return ""


def _staging(tables: Tables) -> Found:
    name = at(tables, ("staging", "destination"))
    if not isinstance(name, str):
        return
    place = ("staging", "destination")
    kind = at(tables, ("destinations", name, "kind"))
    if kind is None:
        yield place, f"there is no [destinations.{name}]"
    elif kind != "object-store":
        yield place, f"{name} is of kind {kind}; only an object-store keeps a Series for others"
    if "url" not in table(tables, "ledger"):
        yield place, "is of no use without [ledger] url: no other machine could do its jobs"
    for rule in _senders(tables, name):
        yield place, f"the rule {rule} sends to {name}; stage to a destination of its own"


def _senders(tables: Tables, destination: str) -> Iterator[str]:
    for i, rule in listed_tables(tables, "rules"):
        sent = [text for key in _SENDING for _, text in texts(rule.get(key))]
        if destination in sent:
            yield str(rule.get("name", i))
