"""A node with lakes, and who reads them."""

import gzip
import json
import time
from types import SimpleNamespace

import duckdb
import pytest

from node.workers.handlers import HANDLERS
from routing.job import Kind

CONFIG = """
[node]
data_dir = "var"
[destinations.out]
kind = "folder"
path = "out"
[destinations.bucket]
kind = "object-store"
url = "file://{folder}/bucket"
[profiles.linked]
base = "research"
key = {{ file = "linked.key" }}
project = "heart"
reversible = true
[profiles.plain]
base = "research"
key = {{ file = "plain.key" }}
[profiles.bare]
key = {{ file = "plain.key" }}
[vault]
key = {{ file = "vault.key" }}
[lakes.named]
destination = "out"
identity = true
rows = 20
[lakes.veiled]
destination = "bucket"
profile = "linked"
[lakes.bare]
destination = "bucket"
profile = "bare"
"""


@pytest.fixture
def node(site):
    """A node with lakes, and a worker's tools."""
    (site.folder / "node.toml").write_text(CONFIG.format(folder=site.folder))
    site.receive([])
    shop = site.workshop()
    yield shop
    shop.close()


def run(shop, lake, *, now=None):
    """Export a lake as a worker does; gives what came of it."""
    at = time.time() if now is None else now
    shop.ledger.lakes.request(lake, shop.settings.lakes[lake].destination, at)
    job = shop.ledger.jobs.claim("w", {Kind.EXPORT}, at + 1, 600)
    assert job is not None
    try:
        done = HANDLERS[Kind.EXPORT](job, shop)
    except Exception:
        shop.ledger.jobs.hold(job, "x", "a test", at)
        raise
    shop.ledger.jobs.finish(job, at, done.events, done.words)
    return done


def where(shop, lake):
    return {"out": "out", "bucket": "bucket"}[shop.settings.lakes[lake].destination]


def files(site, shop, lake, table="metadata"):
    root = site.folder / where(shop, lake) / "lake" / lake / table
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))


def read(site, shop, lake, columns="*", table="metadata"):
    """Read a table back as an analyst does."""
    root = site.folder / where(shop, lake) / "lake" / lake / table
    words = (
        f"SELECT {columns} FROM read_parquet('{root}/**/*.parquet', hive_partitioning = true,"
        " union_by_name = true) ORDER BY ALL"
    )
    with duckdb.connect() as db:
        return db.execute(words).fetchall()


def events(site, shop, lake):
    root = site.folder / where(shop, lake) / "lake" / lake / "events"
    return [
        json.loads(line)
        for path in sorted(root.rglob("*.json.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]


@pytest.fixture
def lakes(lab):
    """Export lakes, and read them back."""
    return SimpleNamespace(run=run, files=files, read=read, events=events, lab=lab)
