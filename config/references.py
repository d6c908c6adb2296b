"""Check what one table of the config file says about another, and what no type can say.

Works on the tables as they were read, whatever their shape: what has the wrong type is passed
over here, since config/words.py reports it. So one run finds every fault of a file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from config import (
    addresses,
    api_checks,
    client_checks,
    destination_checks,
    lake_checks,
    model_checks,
    privacy,
    rule_checks,
    secrets,
    sharing_checks,
    source_checks,
    worklist_checks,
)
from config.files import Place
from config.model import Http, Node, Tls
from config.shapes import Secret
from config.tables import Found, Tables, at, is_file, named_tables, table, texts
from config.urls import plain_words, split
from config.worklist import Hl7
from dicom import ae, uid

_BAD_TITLE: Final = (
    "is no AE title: 1 to 16 printable ASCII characters,"
    " no backslash, no space at either end (PS3.5 6.2)"
)
_MARKS: Final = frozenset({"slow_below_mb", "refuse_below_mb", "reserve_mb"})
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  (compared with, not bound)


def check(tables: Tables, folder: Path, *, with_secrets: bool = True) -> Found:
    """Yield each fault as its place and words; relative paths are looked for in `folder`."""
    for part in (
        _node,
        _ports,
        _disk,
        _peers,
        destination_checks.check,
        model_checks.check,
        rule_checks.check,
        _mqtt,
        sharing_checks.check,
        lake_checks.check,
    ):
        yield from part(tables)
    yield from source_checks.check(tables, folder)
    yield from worklist_checks.check(tables)
    yield from api_checks.check(tables)
    yield from client_checks.check(tables, folder)
    yield from privacy.check(tables, folder, with_secrets=with_secrets)
    if with_secrets:
        yield from _secrets(tables, folder)
    ca_file = at(tables, ("mqtt", "ca_file"))
    if isinstance(ca_file, str) and not is_file(folder / ca_file):
        yield ("mqtt", "ca_file"), f"there is no file {folder / ca_file}"


def _node(tables: Tables) -> Found:
    node = table(tables, "node")
    title = node.get("ae_title")
    if isinstance(title, str) and not ae.is_valid(title):
        yield ("node", "ae_title"), _BAD_TITLE
    for i, text in texts(node.get("private_sop_classes")):
        if not uid.is_valid(text):
            yield ("node", "private_sop_classes", i), "is no UID (PS3.5 9.1)"
    if node.get("plain") is False and "tls" not in tables:
        yield ("node", "plain"), "is false, and there is no [tls]: nobody could associate"


def _ports(tables: Tables) -> Found:
    """Find ports that two doors want."""
    known: list[tuple[str, str, Any]] = []
    for name, host, port in _doors(tables):
        for other, other_host, other_port in known:
            together = host == other_host or {host, other_host} & _EVERYWHERE
            if port == other_port != 0 and together:
                words = f"is {port}, the same as {other}.port; give each its own"
                yield (*name.split("."), "port"), words
                break
        known.append((name, host, port))


def _doors(tables: Tables) -> Iterator[tuple[str, str, Any]]:
    """List what is listened on: table, host, port."""
    node, http = table(tables, "node"), table(tables, "http")
    host = str(node.get("host", Node().host))
    if node.get("plain") is not False:
        yield "node", host, node.get("port", Node().port)
    if "tls" in tables:
        yield "tls", host, table(tables, "tls").get("port", Tls.model_fields["port"].default)
    yield "http", str(http.get("host", Http().host)), http.get("port", Http().port)
    if hl7 := table(table(tables, "worklist"), "hl7"):
        fields = Hl7.model_fields
        host = str(hl7.get("host", fields["host"].default))
        yield "worklist.hl7", host, hl7.get("port", fields["port"].default)


def _disk(tables: Tables) -> Found:
    """Find marks of free space that are not in order."""
    try:
        # Only these keys: whatever else is wrong with [node] is told elsewhere.
        marks = {key: each for key, each in table(tables, "node").items() if key in _MARKS}
        node = Node.model_validate(marks, strict=True)
    except ValidationError:
        return
    if node.refuse_mark_mb < node.reserve_mb:
        words = f"must be at least reserve_mb, which is {node.reserve_mb}"
        yield ("node", "refuse_below_mb"), words
    if node.slow_mark_mb < node.refuse_mark_mb:
        words = f"must be at least refuse_below_mb, which is {node.refuse_mark_mb}"
        default = "" if "refuse_below_mb" in marks else ", twice reserve_mb, by default"
        yield ("node", "slow_below_mb"), words + default
    keep_free_mb = table(tables, "retention").get("keep_free_mb")
    if isinstance(keep_free_mb, int) and keep_free_mb < node.slow_mark_mb:
        words = f"must be at least [node] slow_below_mb, which is {node.slow_mark_mb}:"
        yield ("retention", "keep_free_mb"), f"{words} storing slows down before anything leaves"


def _peers(tables: Tables) -> Found:
    for title in table(tables, "peers"):
        if not ae.is_valid(title):
            yield ("peers", title), _BAD_TITLE
    for title, peer in named_tables(tables, "peers"):
        if peer.get("ask_counts") is True and not {"host", "port"} <= peer.keys():
            yield ("peers", title, "ask_counts"), "needs host and port: where shall it be asked?"
        for i, text in texts(peer.get("addresses")):
            try:
                addresses.parse(text)
            except ValueError as fault:
                yield ("peers", title, "addresses", i), str(fault)
        yield from _tls_names(tables, ("peers", title, "tls_name"), peer.get("tls_name"))
        yield from _move_to(tables, title, peer)


def _move_to(tables: Tables, title: str, peer: Tables) -> Found:
    wanted = peer.get("move_to")
    listed: list[tuple[Place, str]] = []
    if isinstance(wanted, str):
        listed = [(("peers", title, "move_to"), wanted)]
    listed += [(("peers", title, "move_to", i), text) for i, text in texts(wanted)]
    known = dict(named_tables(tables, "peers"))
    for place, name in listed:
        if name not in known:
            yield place, f"there is no [peers.{name}]"
        elif not {"host", "port"} <= known[name].keys():
            yield place, f"[peers.{name}] has no host and port to send to"
    if listed and "move" not in dict(texts(peer.get("may"))).values():
        yield ("peers", title, "move_to"), 'is of no use without "move" in may'


def _tls_names(tables: Tables, here: Place, names: Any) -> Found:
    listed = [(here, names)] if isinstance(names, str) else []
    listed += [((*here, i), text) for i, text in texts(names)]
    for place, text in listed:
        if not text.strip() or text != text.strip() or not text.isprintable():
            yield place, "is no name in a certificate: it is empty, or has spaces around it"
    if listed and "tls" not in tables:
        yield here, "asks for a certificate, and there is no [tls]: the peer could never come"
    elif listed and "client_ca" not in table(tables, "tls"):
        yield here, "asks for a certificate, and [tls] has no client_ca that could vouch for one"


def _mqtt(tables: Tables) -> Found:
    mqtt = table(tables, "mqtt")
    url = split(mqtt.get("url"))
    if url is not None and not url.hostname:
        yield ("mqtt", "url"), "names no host: mqtt://host:1883 or mqtts://host:8883"
    elif url is not None and url.path.strip("/"):
        yield ("mqtt", "url"), "must end after the port; the topic is a key of its own"
    elif url is not None and (words := plain_words(url)):
        yield ("mqtt", "url"), words
    topic = mqtt.get("topic")
    if isinstance(topic, str) and (not topic.strip("/") or set(topic) & set("+#\0")):
        yield ("mqtt", "topic"), "must not be empty, and must not hold + or #"
    elif isinstance(topic, str) and topic != topic.strip("/"):
        yield ("mqtt", "topic"), "must not begin or end with /"
    if "password" in mqtt and "username" not in mqtt:
        yield ("mqtt", "username"), "is missing beside password"
    if "ca_file" in mqtt and url is not None and url.scheme == "mqtt":
        yield ("mqtt", "ca_file"), "is of no use without TLS: begin the url with mqtts://"


def _secrets(tables: Tables, folder: Path) -> Found:
    places: list[Place] = [(where, "password") for where in ("mqtt", "ledger", "vault")]
    for where in ("destinations", "sources"):
        for name, _ in named_tables(tables, where):
            places += [(where, name, key) for key in ("access_key", "secret_key")]
    places += [("profiles", name, "key") for name, _ in named_tables(tables, "profiles")]
    places += client_checks.secret_places(tables)
    places += [("node", "spool_key"), ("vault", "key")]
    for where, key in (("node", "spool_old_keys"), ("vault", "old_keys")):
        old_keys = table(tables, where).get(key)
        count = len(old_keys) if isinstance(old_keys, list) else 0
        places += [(where, key, i) for i in range(count)]
    for place in places:
        try:
            secret = Secret.model_validate(at(tables, place))
        except ValidationError:
            continue  # absent, or of a wrong shape, which is told elsewhere
        if words := secrets.problem(secret, folder):
            yield (*place, "file" if secret.env is None else "env"), words
