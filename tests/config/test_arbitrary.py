"""Whatever a file holds, loading it gives settings or ConfigFault, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.load import load
from config.model import Settings
from dicom.errors import ConfigFault

KEYS = st.sampled_from([
    "node", "http", "settle", "jobs", "log", "peers", "destinations", "profiles", "models",
    "rules", "mqtt", "kind", "url", "endpoint", "path", "peer", "host", "port", "may", "base",
    "options", "key", "env", "file", "endpoints", "model", "name", "when", "profile", "send",
    "infer", "results_to", "topic", "username", "password", "ca_file", "access_key",
    "secret_key", "ae_title", "data_dir", "Modality", "calling_ae", "private_sop_classes",
])  # fmt: skip
VALUES = st.sampled_from([
    "folder", "object-store", "dicom", "s3://b/p", "file:///x", "mqtt://h:1", "mqtt://[",
    "http://h:99999", "store", "basic", "A", "PATH", "CT", "1.2.3",
])  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
SCALARS = st.one_of(
    VALUES, TEXT, st.integers(), st.floats(), st.booleans(), st.dates(), st.datetimes(), st.times()
)
TABLES = st.dictionaries(
    KEYS | TEXT,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | TEXT, inner, max_size=5),
        max_leaves=12,
    ),
    max_size=6,
)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inside = (f"{_toml(key)} = {_toml(each)}" for key, each in value.items())
        return "{" + ", ".join(inside) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return repr(value)
    return value.isoformat()


def _loaded(folder: Path) -> Settings | None:
    try:
        return load(folder / "node.toml")
    except ConfigFault as fault:
        problems = fault.problems
    assert problems
    assert all(path and words for path, words in problems)
    return None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arbitrary")


@given(tables=TABLES)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_tables_load_or_are_faults(place, tables):
    """Tables of known and unknown keys with values of every TOML type never raise a bug."""
    text = "\n".join(
        f"{json.dumps(key, ensure_ascii=False)} = {_toml(v)}" for key, v in tables.items()
    )
    (place / "node.toml").write_text(text, encoding="utf-8")
    _loaded(place)


@given(
    raw=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
)
@settings(deadline=None)
def test_any_bytes_load_or_are_faults(place, raw):
    """Any bytes at all are settings or faults."""
    (place / "node.toml").write_bytes(raw)
    _loaded(place)


@given(
    node=st.fixed_dictionaries(
        {},
        optional={
            "port": st.integers(0, 65535).filter(lambda port: port != 8080),
            "ae_title": st.from_regex(r"[A-Z0-9_]{1,16}", fullmatch=True),
            "host": st.sampled_from(["0.0.0.0", "127.0.0.1", "::1"]),
            "workers": st.integers(0, 256),
            "accept_unknown_callers": st.booleans(),
            "idle_timeout_s": st.floats(0.1, 1000),
        },
    )
)
@settings(deadline=None)
def test_what_is_written_is_what_is_loaded(place, node):
    """Valid settings come back as they were written, and the rest at their defaults."""
    (place / "node.toml").write_text(f"node = {_toml(node)}")
    loaded = _loaded(place)
    assert loaded is not None
    told = loaded.node.model_dump() | {"data_dir": Settings().node.data_dir}
    assert told == Settings().node.model_dump() | node
