"""The ledger on a real PostgreSQL: it dies in mid-transfer, and several machines share it."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from examples.peers import cable, postgres, seaweed
from examples.peers.node import running_node, write_config
from examples.peers.process import answers, free_port, running, wait_until
from examples.peers.pynet_scu import store_all
from routing.job import State
from storage.ledger.database import Server
from storage.ledger.ledger import Ledger

TABLES = """
[peers.SCANNER]
may = ["store"]
[ledger]
url = "{url}"
[destinations.shelf]
kind = "folder"
path = "shelf"
[[rules]]
name = "all"
send = ["shelf"]
"""


@pytest.fixture(scope="module")
def cluster():
    """A cluster without a server: tests start it and kill it."""
    if not postgres.is_installed():
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with postgres.cluster() as made:
        yield made


def hurry(folder: Path, *, workers: int = 2, lease_s: int = 5) -> None:
    """What a worker had in hand when the ledger went away is taken up again after its lease."""
    (folder / "conf.d").mkdir(parents=True)
    tables = f"[jobs]\nlease_s = {lease_s}\n[node]\nworkers = {workers}\n"
    (folder / "conf.d" / "hurry.toml").write_text(tables)


def delivered(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / "shelf").rglob("*.dcm"))


def counts(url: str) -> dict[State, int]:
    ledger = Ledger.open(Path("/nowhere"), Server(url))
    try:
        return ledger.jobs.counts()
    finally:
        ledger.close()


@pytest.mark.p1
def test_a_killed_server_costs_nobody_anything(
    cluster: postgres.Cluster,
    tmp_path: Path,
    make_ct: Callable[..., Dataset],
    store: Callable[..., list],
):
    """With PostgreSQL killed, C-STOREs are acknowledged; each is delivered once it is back."""
    hurry(tmp_path)
    with cluster.running() as server:
        url = cluster.new_database()
        with running_node(tmp_path, TABLES.format(url=url)) as node:
            first = [make_ct(n, series=s) for s in range(1, 4) for n in range(20)]
            later = [make_ct(n, series=s) for s in range(3, 7) for n in range(20, 40)]
            assert {one.status for one in store(node, first)} == {0}
            wait_until(lambda: len(delivered(tmp_path)) > 5, 30, "the first deliveries")
            server.kill()
            server.wait()
            assert {one.status for one in store(node, later)} == {0}
            with cluster.running():
                node.run("status")
                wait_until(lambda: len(delivered(tmp_path)) == 140, 60, "everything delivered")
                is_settled(url)
                ledger = Ledger.open(Path("/nowhere"), Server(url))
                receipts = ledger.receipts.list()
                events = ledger.outbox.after(0, 10_000)
                received = ledger.summary()["received"]
                ledger.close()
    assert received["instances"] == 140
    assert len({receipt["source_uid"] for receipt in receipts}) == len(receipts) == 140
    assert [event.id for event in events] == sorted({event.id for event in events})


def is_settled(url: str) -> None:
    def done() -> bool:
        found = counts(url)
        return not found[State.WAITING] + found[State.RUNNING] and found[State.DONE] > 0

    wait_until(done, 60, "the last job's end")
    assert counts(url)[State.HELD] == 0


CUT_S = float(os.environ.get("CUT_S", "6"))
"""Longer than a lease: another worker takes over what one had in hand."""


@pytest.mark.p1
def test_a_network_cut_costs_nobody_anything(
    cluster: postgres.Cluster,
    tmp_path: Path,
    make_ct: Callable[..., Dataset],
    store: Callable[..., list],
):
    """With the way to PostgreSQL cut, C-STOREs are acknowledged; then each is delivered once."""
    hurry(tmp_path)
    with cluster.running(), cable.running(cluster.port) as wire:
        url = cluster.new_database()
        through = url.replace(f":{cluster.port}/", f":{wire.port}/")
        with running_node(tmp_path, TABLES.format(url=through)) as node:
            store(node, [make_ct(n, series=s) for s in range(1, 4) for n in range(20)])
            wait_until(lambda: len(delivered(tmp_path)) > 5, 30, "the first deliveries")
            wire.pull()
            begun = time.monotonic()
            later = store(node, [make_ct(n, series=s) for s in range(3, 7) for n in range(20, 40)])
            assert {one.status for one in later} == {0}
            wait_until(lambda: time.monotonic() - begun > CUT_S, CUT_S + 1, "the end of the cut")
            wire.plug()
            wait_until(lambda: len(delivered(tmp_path)) == 140, 60, "everything delivered")
            is_settled(url)
        ledger = Ledger.open(Path("/nowhere"), Server(url))
        receipts, events = ledger.receipts.list(), ledger.outbox.after(0, 10_000)
        jobs = ledger.jobs.list(list(State))
        ledger.close()
    assert len({receipt["source_uid"] for receipt in receipts}) == len(receipts) == 140
    assert {job.state for job in jobs} == {State.DONE}
    told = [each.subject for each in events if each.type == "penumbra.series.delivered"]
    assert len(told) <= len(jobs)


STAGING = """
[staging]
destination = "lake"
"""
REMOTE = """
[node]
ae_title = "PENUMBRA"
data_dir = "{data_dir}"
"""


def worker(folder: Path, tables: str, *options: str, data_dir: Path | None = None):
    """Run `penumbra work`, as on another machine unless it is given the node's directory."""
    folder.mkdir(parents=True)
    config = folder / "node.toml"
    config.write_text(REMOTE.format(data_dir=data_dir or folder / "var") + tables)
    command = [sys.executable, "-m", "node.cli", "work", "-c", config, *options]
    return running(command, ready=lambda: True, log=folder / "work.log")


def staged(bucket: seaweed.Seaweed, prefix: str) -> list[str]:
    """What lies in the bucket, but for the word that says what the bucket can do."""
    found = [one["path"] for page in bucket.store(prefix).list() for one in page]
    return [path for path in found if ".penumbra" not in path]


def has_looked(folder: Path) -> bool:
    """Whether a worker has got so far as to listen for jobs."""
    return "listening" in (folder / "work.log").read_text()


def shared(cluster: postgres.Cluster, folder: Path) -> tuple[str, str]:
    """A new database, and the tables of a config that says so, with one shelf for all machines."""
    url = cluster.new_database()
    tables = TABLES.format(url=url).replace('"shelf"\n[[', f'"{folder / "shelf"}"\n[[')
    return url, tables


def test_another_machine_takes_nothing_that_it_cannot_read(
    cluster: postgres.Cluster,
    tmp_path: Path,
    make_ct: Callable[..., Dataset],
    store: Callable[..., list],
):
    """Without staging a job waits for the workers of the node that has the bytes."""
    hurry(tmp_path, workers=0, lease_s=30)
    with cluster.running():
        url, tables = shared(cluster, tmp_path)
        with running_node(tmp_path, tables) as node, worker(tmp_path / "remote", tables) as other:
            store(node, [make_ct(n) for n in range(3)])
            wait_until(lambda: counts(url)[State.WAITING] == 1, 30, "the job")
            wait_until(lambda: has_looked(tmp_path / "remote"), 30, "the other machine's look")
            assert counts(url)[State.WAITING] == 1
            with worker(tmp_path / "beside", tables, data_dir=node.data_dir):
                is_settled(url)
            assert other.poll() is None
        assert len(delivered(tmp_path)) == 3
        assert "outcome" not in (tmp_path / "remote" / "work.log").read_text()


def test_other_machines_do_what_was_staged(  # noqa: PLR0917  (fixtures, by name)
    cluster: postgres.Cluster,
    lake: str,
    bucket: seaweed.Seaweed,
    tmp_path: Path,
    make_ct: Callable[..., Dataset],
    store: Callable[..., list],
):
    """Staged Series are delivered by two others, each object once; then the bucket is empty."""
    hurry(tmp_path, workers=0, lease_s=30)
    with cluster.running():
        url, tables = shared(cluster, tmp_path)
        tables += lake + STAGING
        with (
            running_node(tmp_path, tables) as node,
            worker(tmp_path / "one", tables),
            worker(tmp_path / "two", tables),
            worker(tmp_path / "beside", tables, "--only", "stage", data_dir=node.data_dir),
        ):
            store(node, [make_ct(n, series=s) for s in range(4) for n in range(5)])
            wait_until(lambda: len(delivered(tmp_path)) == 20, 60, "the deliveries")
            is_settled(url)
            wait_until(lambda: not staged(bucket, tmp_path.name), 30, "the removal")
        ledger = Ledger.open(Path("/nowhere"), Server(url))
        receipts, done = ledger.receipts.list(), ledger.jobs.list([State.DONE])
        ledger.close()
    assert len({each["source_uid"] for each in receipts}) == len(receipts) == 20
    assert [job.attempts for job in done] == [1] * 8
    logs = [(tmp_path / name / "work.log").read_text() for name in ("one", "two")]
    assert sum(log.count('"outcome": "done"') for log in logs) == 4


@pytest.mark.p1
def test_a_node_starts_without_its_server(
    cluster: postgres.Cluster,
    tmp_path: Path,
    make_ct: Callable[..., Dataset],
):
    """A node that starts while PostgreSQL is away receives, and delivers once it is there."""
    hurry(tmp_path)
    with cluster.running():
        url = cluster.new_database()
    port = free_port()
    config = write_config(tmp_path, TABLES.format(url=url), port, free_port())
    command = [sys.executable, "-m", "node.cli", "serve", "-c", config]
    log = tmp_path / "node.log"
    with running(command, ready=lambda: answers(port), log=log, grace_s=10):
        sent = store_all(
            port, [make_ct(n) for n in range(3)], calling_ae="SCANNER", called_ae="PENUMBRA"
        )
        assert {one.status for one in sent} == {0}
        with cluster.running():
            wait_until(lambda: len(delivered(tmp_path)) == 3, 60, "the deliveries")
