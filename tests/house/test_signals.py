"""What the node says is what docs/signals.md lists: events, metrics, codes of faults."""

import ast
import importlib
import re

import pytest

from dicom.errors import Fault

PAGE = "docs/signals.md"
EVENT = re.compile(r"penumbra\.[a-z]+\.[a-z]+")
METRIC = re.compile(r"penumbra_[a-z_]+")
WORKERS_OWN = {"worker-lost", "bug"}
"""What `penumbra held` prints for jobs that ended without a Fault."""


def rows(page, heading):
    """List the names in the first cells of all tables of a section."""
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    heads = {"`penumbra held` prints"}
    return [name for cell in cells if cell not in heads for name in re.findall(r"`([^`]+)`", cell)]


def constants(source):
    """Yield every text constant of a file with the call whose first argument it is, if any."""
    called = {
        id(call.args[0]): call
        for call in ast.walk(source.tree)
        if isinstance(call, ast.Call) and call.args
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, called.get(id(node))


def metrics_of(source):
    """Name the metrics that a file makes, as /metrics prints them."""
    for text, call in constants(source):
        made_by = ast.unparse(call.func) if call else ""
        if made_by == "self._counter":
            yield f"penumbra_{text}_total"
        elif made_by == "self._histogram":
            yield f"penumbra_{text}"
        elif METRIC.fullmatch(text):
            yield f"{text}_total" if made_by == "_counter" else text


def codes_of(product):
    """Give the code of every Fault that the product defines."""
    for source in product:
        if "Fault" in source.text:
            importlib.import_module(source.module)
    found, known = [Fault], {source.module for source in product}
    for kind in found:
        found += kind.__subclasses__()
    return {kind.code for kind in found if kind.__module__ in known}


@pytest.fixture(scope="module")
def page(documents):
    return documents[PAGE]


def test_every_event_is_listed(product, page):
    """The table of events has each type that the code emits, once, and no other."""
    emitted = {text for source in product for text, _ in constants(source) if EVENT.fullmatch(text)}
    assert sorted(rows(page, "Events")) == sorted(emitted)


def test_every_metric_is_listed(product, page):
    """The table of metrics has each name that the code gives out, and no other."""
    (source,) = (one for one in product if one.module == "node.metrics")
    listed = {name for name in rows(page, "Metrics") if METRIC.fullmatch(name)}
    assert listed == set(metrics_of(source))


def test_every_fault_is_explained(product, page):
    """Whatever `penumbra held`, a log line or a peer's answer names has its row, and is real."""
    assert set(rows(page, "Codes of faults")) == codes_of(product) | WORKERS_OWN


def test_what_is_held_leads_to_its_section(page):
    """Each reason in `penumbra held` says where to read on."""
    table = page.split("| `penumbra held` prints |")[1].split("\n\n")[0]
    for line in table.splitlines()[2:]:
        assert "](operations.md#" in line or "| the same |" in line, line


def test_the_readers_of_signals_can_read(make_source):
    """Names in first cells, and those of metrics in code, are found."""
    text = "# x\n## Events\n\n| a | b |\n|---|---|\n| `x.y`, `z` | `no` |\n\n## Next\n| `w` |\n"
    assert rows(text, "Events") == ["x.y", "z"]
    code = "_counter('penumbra_a', 1); self._counter('b'); self._histogram('c')\nG = 'penumbra_d'\n"
    assert set(metrics_of(make_source("node/x.py", code))) == {
        "penumbra_a_total",
        "penumbra_b_total",
        "penumbra_c",
        "penumbra_d",
    }
