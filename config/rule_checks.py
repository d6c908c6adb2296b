"""Check what [[rules]] name, and that their conditions can be asked."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from config import conditions, expressions, windows
from config.files import Place
from config.tables import Found, Tables, table, texts
from config.words import unknown

_WILDCARDS: Final = frozenset("*?[")


def check(tables: Tables) -> Found:
    """Yield each fault as its place and words."""
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
        yield from _hours(("rules", i), rule)
        yield from _invalid(("rules", i), rule)
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


def _invalid(here: Place, rule: Tables) -> Found:
    if "hold_if_invalid" in rule and "validation" in rule:
        words = 'says the same as validation: true is "hold", false is "record"; leave one of them'
        yield (*here, "hold_if_invalid"), words


def _of_studies(here: Place, rule: Tables, names: Iterable[str]) -> Found:
    if rule.get("per", "series") == "series":
        for name in sorted(conditions.STUDY_KEYS.intersection(names)):
            yield here, f'asks for {name}, which is counted of whole Studies: set per = "study"'


def _hours(here: Place, rule: Tables) -> Found:
    during = rule.get("during")
    alone = [(None, during)] if isinstance(during, str) else texts(during)
    for i, text in alone:
        try:
            windows.read(text)
        except ValueError as fault:
            yield (*here, "during", *(() if i is None else (i,))), str(fault)


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
            yield from _of_studies(place, rule, [key])
    if isinstance(expr, str):
        try:
            compiled = expressions.compile_expression(expr)
        except ValueError as fault:
            yield (*here, "expr"), str(fault)
        else:
            yield from _of_studies((*here, "expr"), rule, compiled.names)


def _known_peers(tables: Tables, place: Place, wanted: Any) -> Found:
    inner = wanted["not"] if isinstance(wanted, Mapping) else wanted
    peers = table(tables, "peers")
    for name in map(str, inner if isinstance(inner, list) else [inner]):
        if name not in peers and not _WILDCARDS & set(name):
            yield place, unknown(name, peers, "peer")
            return
