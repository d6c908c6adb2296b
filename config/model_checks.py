"""Check what the config file says of inference servers: where they are, and how they are called."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from config.client_checks import is_loopback
from config.tables import Found, Tables, named_tables, table, texts
from config.urls import plain_words, split


def check(tables: Tables) -> Found:
    """Yield each fault as its place and words."""
    for name, model in named_tables(tables, "models"):
        is_predict = "predict" in model
        for i, text in texts(model.get("endpoints")):
            words = _words(text, is_predict=is_predict) or _in_the_clear(text, model)
            if not words and "identity" in model and "://" not in text:
                words = "must be a URL: identity is for calls over HTTPS, not for gRPC"
            if words:
                yield ("models", name, "endpoints", i), words
        yield from ((("models", name, key), words) for key, words in _identity(model))


def _identity(model: Tables) -> Iterator[tuple[str, str]]:
    """Yield each key that does not fit `identity`, with words."""
    identity = model.get("identity")
    if identity == "aws" and "region" not in model:
        yield "region", 'is missing beside identity = "aws": say where the endpoint is'
    if identity != "aws" and "region" in model:
        yield "region", 'is of no use without identity = "aws"'
    if identity is None:
        return
    if "token" in model:
        yield "token", "is given beside identity: only one of the two can say who asks"
    if "authorization" in table(model, "headers"):
        yield "headers", "hold authorization beside identity, which says that itself"


def _words(text: str, *, is_predict: bool) -> str:
    """Say what is wrong with an endpoint; "" for nothing."""
    if "://" not in text:
        if is_predict:
            return "must be a URL, for [models.NAME.predict] is called over HTTPS"
        host, _, port = text.rpartition(":")
        fine = host and "/" not in text and port.isascii() and port.isdigit()
        return "" if fine else "must be host:port, Triton's gRPC port, or the URL before /v2"
    url = split(text)
    if url is None or url.scheme not in {"http", "https"} or not url.hostname:
        return "must be a URL such as https://host:8000, or host:port for gRPC"
    if words := plain_words(url):
        return words
    if url.scheme == "http" and not is_loopback(url):
        return "would send images and the token in the clear: begin it with https://"
    return ""


def _in_the_clear(text: str, model: Tables) -> str:
    """Say where a secret would be sent over gRPC that anybody may read; "" for nowhere."""
    if "://" in text or "tls" in model or not {"token", "headers"} & model.keys():
        return ""
    if is_loopback(urlsplit(f"//{text}")):
        return ""
    return "would send the token or the headers in the clear: give the model a tls table"
