"""config/example.toml and docs/configuration.md say what config/model.py says."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from config import (
    api,
    commitment,
    contracts,
    destinations,
    fhir,
    lake,
    model,
    predict,
    profiles,
    rule,
    shapes,
    sharing,
    sources,
    sql,
    worklist,
)
from config.load import load

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config" / "example.toml").read_text("utf-8")
PAGE = (ROOT / "docs" / "configuration.md").read_text("utf-8")
WHOLE = re.sub(r"^#(?=\S)", "", EXAMPLE, flags=re.MULTILINE)
"""The example with every commented-out key taken in."""

SECTIONS = {
    "[node]": model.Node, "[tls]": model.Tls, "[http]": model.Http, "[settle]": model.Settle,
    "[jobs]": model.Jobs, "[commitment]": commitment.Commitment, "[log]": model.Log,
    "[peers.TITLE]": model.Peer, "[profiles.NAME]": profiles.Profile,
    "[[profiles.NAME.exceptions]]": profiles.ProfileException, "[vault]": profiles.Vault,
    "[ledger]": sharing.Ledger, "[staging]": sharing.Staging,
    "[tokens.NAME]": api.Token,
    "Any destination, and any model": shapes.Target,
    "Any destination": destinations.ResultTarget,
    "[worklist]": worklist.Worklist, "[worklist.hl7]": worklist.Hl7,
    "[models.NAME]": model.Model, "[[rules]]": rule.Rule, "[mqtt]": model.Mqtt,
    "[models.NAME.wants]": contracts.Wants, "[models.NAME.inputs.TENSOR]": contracts.Input,
    "[models.NAME.predict]": predict.Predict,
    "[models.NAME.predict.inputs.TENSOR]": predict.Declared,
    "[models.NAME.outputs.TENSOR]": contracts.Output, "[models.NAME.trust]": contracts.Trust,
    "[sql]": sql.Sql,
    "[lakes.NAME]": lake.Lake, "[fhir]": fhir.Fhir,
}  # fmt: skip
TARGET = shapes.Target.model_fields
RESULTS = destinations.ResultTarget
KINDS = get_args(get_args(destinations.Destination)[0])
SOURCES = {sources.FolderSource: "A watched folder:", sources.BucketSource: "A bucket prefix:"}


def _tables() -> Iterator[tuple[type[BaseModel], dict[str, Any]]]:
    """Each table of the whole example beside its model."""
    whole = tomllib.loads(WHOLE)
    for name in (
        "node",
        "tls",
        "http",
        "settle",
        "jobs",
        "commitment",
        "log",
        "mqtt",
        "vault",
        "ledger",
        "staging",
        "sql",
        "fhir",
        "worklist",
    ):
        yield SECTIONS[f"[{name}]"], whole[name]
    for name, kind in (
        ("peers", model.Peer),
        ("profiles", profiles.Profile),
        ("tokens", api.Token),
        ("lakes", lake.Lake),
    ):
        yield kind, next(iter(whole[name].values()))
    cloud, *others = reversed(whole["models"].values())
    yield model.Model, {**cloud, **others[-1]}
    for kind in KINDS:
        (tag,) = get_args(kind.model_fields["kind"].annotation)
        yield kind, next(each for each in whole["destinations"].values() if each["kind"] == tag)
    for kind, name in ((sources.FolderSource, "box"), (sources.BucketSource, "inbox")):
        yield kind, whole["sources"][name]
    yield profiles.ProfileException, whole["profiles"]["research"]["exceptions"][0]
    yield worklist.Hl7, whole["worklist"]["hl7"]
    yield rule.Rule, {**whole["rules"][1], **whole["rules"][0]}


def _common(kind: type[BaseModel]) -> set[str]:
    """The keys that are told once for all kinds of destinations, or for models too."""
    if issubclass(kind, RESULTS):
        return set(RESULTS.model_fields)
    return set(TARGET) if issubclass(kind, shapes.Target) else set()


TABLES = [pytest.param(*pair, id=pair[0].__name__) for pair in _tables()]


def test_the_example_loads_as_it_stands(tmp_path):
    """Copied unchanged, the example is a config file in which everything has its default."""
    (tmp_path / "node.toml").write_text(EXAMPLE)
    loaded = load(tmp_path / "node.toml")
    at_home = loaded.node.model_copy(update={"data_dir": Path("var")})
    assert loaded.model_copy(update={"node": at_home}) == model.Settings()


def test_the_whole_example_loads(tmp_path, monkeypatch):
    """With every commented-out key taken in, and the secrets it names, the example loads too."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    for name in ("research.key", "mqtt.password", "ca.pem", "spool.key", "spool-2025.key",
                 "linked.key", "vault.key", "web.password", "words.txt", "devices.toml",
                 "postgres.password", "fhir.token"):  # fmt: skip
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "node.toml").write_text(WHOLE)
    loaded = load(tmp_path / "node.toml")
    assert loaded.rules
    assert {destination.kind for destination in loaded.destinations.values()} == {
        "folder", "object-store", "dicom", "stow",
    }  # fmt: skip


def test_the_rules_of_the_page_load(tmp_path):
    """Who copies a rule from docs/configuration.md has a rule, given what it names."""
    rules = re.findall(r"```toml\n(.*?)```", _section(rule.Rule), re.DOTALL)
    assert len(rules) >= 2
    (tmp_path / "research.key").write_bytes(bytes(range(32)))
    (tmp_path / "research.key").chmod(0o600)
    named = (
        '[destinations.lake]\nkind = "folder"\npath = "lake"\n'
        '[destinations.pacs]\nkind = "folder"\npath = "pacs"\n'
        '[profiles.research]\nkey = { file = "research.key" }\n'
    )
    (tmp_path / "node.toml").write_text(named + "\n".join(rules))
    assert {rule.stop for rule in load(tmp_path / "node.toml").rules} == {True, False}


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_every_key_is_in_the_example(kind, table):
    """The example shows each key of each table, and no other."""
    common = _common(kind)
    assert set(table) - common == set(kind.model_fields) - common


def test_what_targets_have_in_common_is_in_the_example_once():
    """The keys that any destination and any model may have are shown at the first destination."""
    whole = tomllib.loads(WHOLE)
    first, *others = whole["destinations"].values()
    common = set(RESULTS.model_fields)
    assert set(first) & common == common
    assert not [table for table in others if set(table) & common]
    assert not [table for table in whole["models"].values() if set(table) & set(TARGET)]


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_every_default_in_the_example_is_the_default(kind, table):
    """A key with a default shows it; one that is required, unset or a list may show an example."""
    for name, field in kind.model_fields.items():
        if field.is_required() or field.default in (None, ()) or field.default_factory:
            continue
        if name in _common(kind) and name not in table:
            continue
        default = str(field.default) if isinstance(field.default, Path) else field.default
        assert table[name] == (list(default) if isinstance(default, tuple) else default), name


def test_every_section_is_in_the_example():
    """The example shows each table of the model."""
    assert set(tomllib.loads(WHOLE)) == set(model.Settings.model_fields)


def _rows(text: str) -> dict[str, str]:
    """The keys of a page's tables, each with its default as the page writes it."""
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE))


def _section(kind: type[BaseModel]) -> str:
    if kind in KINDS:
        (tag,) = get_args(kind.model_fields["kind"].annotation)
        after = PAGE.split(f'With `kind = "{tag}"`')[1]
        return re.split(r"^With |^## ", after, flags=re.MULTILINE)[0]
    if kind in SOURCES:
        return re.split(r"^A |^## ", PAGE.split(SOURCES[kind])[1], flags=re.MULTILINE)[0]
    (title,) = (title for title, each in SECTIONS.items() if each is kind)
    return re.split(rf"\n## {re.escape(title)}(?=[:\n])", PAGE)[1].split("\n## ")[0]


@pytest.mark.parametrize(
    "kind", [*SECTIONS.values(), *KINDS, *SOURCES], ids=lambda kind: kind.__name__
)
def test_the_page_lists_every_key_with_its_default(kind):
    """docs/configuration.md has a row for each key and no other, with the model's default."""
    rows = _rows(_section(kind))
    fields = dict(kind.model_fields)
    if issubclass(kind, shapes.Target) and kind is not shapes.Target:
        common = TARGET if kind is RESULTS else _common(kind)
        fields = {name: each for name, each in fields.items() if name not in common}
    assert set(rows) == set(fields)
    for name, field in fields.items():
        shown = rows[name].strip("`")
        if field.is_required():
            assert shown == "required", name
        elif field.default is None:
            assert shown == "none", name
        else:
            default = field.get_default(call_default_factory=True)
            default = str(default) if isinstance(default, Path) else default
            default = list(default) if isinstance(default, tuple) else default
            shown_value = {} if shown == "{}" else tomllib.loads(f"x = {shown}")["x"]
            assert shown_value == default, name
