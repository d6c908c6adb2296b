"""Check what one table of the config file says about another, and what no type can say.

Works on the tables as they were read, whatever their shape: what has the wrong type is passed
over here, since config/words.py reports it. So one run finds every fault of a file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationError

from config import addresses, conditions, expressions, privacy, secrets
from config.files import Place
from config.model import Http, Node, Secret, Tls
from config.tables import Found, Tables, at, is_file, named_tables, table, texts
from config.words import unknown
from dicom import ae, uid

_BAD_TITLE: Final = (
    "is no AE title: 1 to 16 printable ASCII characters,"
    " no backslash, no space at either end (PS3.5 6.2)"
)
_MARKS: Final = frozenset({"slow_below_mb", "refuse_below_mb", "reserve_mb"})
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  (compared with, not bound)
_WILDCARDS: Final = frozenset("*?[")


def check(tables: Tables, folder: Path, *, with_secrets: bool = True) -> Found:
    """Yield each fault as its place and words; relative paths are looked for in `folder`."""
    for part in (_node, _ports, _disk, _peers, _destinations, _models, _rules, _mqtt):
        yield from part(tables)
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
                yield (name, "port"), f"is {port}, the same as {other}.port; give each its own"
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


def _peers(tables: Tables) -> Found:
    for title in table(tables, "peers"):
        if not ae.is_valid(title):
            yield ("peers", title), _BAD_TITLE
    for title, peer in named_tables(tables, "peers"):
        for i, text in texts(peer.get("addresses")):
            try:
                addresses.parse(text)
            except ValueError as fault:
                yield ("peers", title, "addresses", i), str(fault)
        yield from _tls_names(tables, ("peers", title, "tls_name"), peer.get("tls_name"))


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


def _destinations(tables: Tables) -> Found:
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
    url, endpoint = _split(destination.get("url")), _split(destination.get("endpoint"))
    if url is not None and (words := _bucket_words(url)):
        yield (*here, "url"), words
    if endpoint is not None and (endpoint.scheme not in {"http", "https"} or not endpoint.hostname):
        yield (*here, "endpoint"), "must be http://host:port or https://host:port"
    elif endpoint is not None and (words := _plain_words(endpoint)):
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
    return _plain_words(url)


def _models(tables: Tables) -> Found:
    for name, model in named_tables(tables, "models"):
        for i, text in texts(model.get("endpoints")):
            host, _, port = text.rpartition(":")
            if not host or "/" in text or not port.isascii() or not port.isdigit():
                yield ("models", name, "endpoints", i), "must be host:port, Triton's gRPC port"


def _rules(tables: Tables) -> Found:
    rules = tables.get("rules")
    first: dict[str, int] = {}
    for i, rule in enumerate(rules if isinstance(rules, list) else ()):
        if not isinstance(rule, Mapping):
            continue
        name = rule.get("name")
        if isinstance(name, str):
            if not name.strip():
                yield ("rules", i, "name"), "a rule needs a name"
            elif first.setdefault(name, i) != i:
                yield ("rules", i, "name"), f"is the name of rules[{first[name]}] too"
        yield from _targets(tables, ("rules", i), rule)
        yield from _purpose(("rules", i), rule)
        yield from _conditions(tables, ("rules", i), rule)


def _targets(tables: Tables, here: Place, rule: Tables) -> Found:
    for key, kind in (("send", "destination"), ("infer", "model"), ("results_to", "destination")):
        known = table(tables, f"{kind}s")
        seen: set[str] = set()
        for i, name in texts(rule.get(key)):
            if name not in known:
                yield (*here, key, i), unknown(name, known, kind)
            elif name in seen:
                yield (*here, key, i), f"{name!r} is there twice"
            seen.add(name)


def _purpose(here: Place, rule: Tables) -> Found:
    infers, results = rule.get("infer"), rule.get("results_to")
    if infers and not results:
        yield (*here, "results_to"), "is missing: name where the results of infer shall go"
    if results and not infers:
        yield (*here, "results_to"), "has nothing to send: the rule has no infer"
    if not infers and not rule.get("send") and not results:
        yield here, "does nothing: give it send, or infer and results_to"


def _conditions(tables: Tables, here: Place, rule: Tables) -> Found:
    when, expr = rule.get("when"), rule.get("expr")
    for key, wanted in when.items() if isinstance(when, Mapping) else ():
        place = (*here, "when", key)
        try:
            conditions.read(key, wanted)
        except conditions.Unreadable as fault:
            yield from (((*place, *inner), words) for inner, words in fault.problems)
        else:
            yield from _known_peers(tables, place, wanted) if key == "peer" else ()
    if isinstance(expr, str):
        try:
            expressions.compile_expression(expr)
        except ValueError as fault:
            yield (*here, "expr"), str(fault)


def _known_peers(tables: Tables, place: Place, wanted: Any) -> Found:
    inner = wanted["not"] if isinstance(wanted, Mapping) else wanted
    peers = table(tables, "peers")
    for name in map(str, inner if isinstance(inner, list) else [inner]):
        if name not in peers and not _WILDCARDS & set(name):
            yield place, unknown(name, peers, "peer")
            return


def _mqtt(tables: Tables) -> Found:
    mqtt = table(tables, "mqtt")
    url = _split(mqtt.get("url"))
    if url is not None and not url.hostname:
        yield ("mqtt", "url"), "names no host: mqtt://host:1883 or mqtts://host:8883"
    elif url is not None and url.path.strip("/"):
        yield ("mqtt", "url"), "must end after the port; the topic is a key of its own"
    elif url is not None and (words := _plain_words(url)):
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
    places: list[Place] = [("mqtt", "password")]
    for name, _ in named_tables(tables, "destinations"):
        places += [("destinations", name, key) for key in ("access_key", "secret_key")]
    places += [("profiles", name, "key") for name, _ in named_tables(tables, "profiles")]
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


def _plain_words(url: SplitResult) -> str:
    if "@" in url.netloc:
        return "holds a user or a password; these are keys of their own"
    return "must not have ? or #" if url.query or url.fragment else ""


def _split(text: Any) -> SplitResult | None:
    """Take a URL apart: None for what is no text, all empty for what is no URL."""
    if not isinstance(text, str):
        return None
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return SplitResult("", "", "", "", "")
    return url
