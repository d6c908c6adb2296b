"""Check what destinations and sources say alike of a bucket: its url, its endpoint, its keys."""

from typing import Final

from config.files import Place
from config.tables import Found, Tables
from config.urls import bucket_words, plain_words, split

_KEYS: Final = frozenset({"access_key", "secret_key"})


def whereabouts(here: Place, bucket: Tables) -> Found:
    """Yield what is wrong with `url` and `endpoint`."""
    url, endpoint = split(bucket.get("url")), split(bucket.get("endpoint"))
    if url is not None and (words := bucket_words(url)):
        yield (*here, "url"), words
    if endpoint is not None and (endpoint.scheme not in {"http", "https"} or not endpoint.hostname):
        yield (*here, "endpoint"), "must be http://host:port or https://host:port"
    elif endpoint is not None and (words := plain_words(endpoint)):
        yield (*here, "endpoint"), words


def keys(here: Place, bucket: Tables) -> Found:
    """Yield that one of the two keys is missing beside the other, or that a store has no such."""
    url = split(bucket.get("url"))
    if url is not None and url.scheme == "gs":
        if "access_key" in bucket:
            words = "is nothing that Google has: secret_key, a service account's JSON, is all"
            yield (*here, "access_key"), words
        return
    if len(alone := _KEYS & bucket.keys()) == 1:
        (other,), (given,) = _KEYS - alone, alone
        yield (*here, other), f"is missing beside {given}"
