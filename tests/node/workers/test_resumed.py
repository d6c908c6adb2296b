"""A Series to a bucket, cut in the middle again and again, goes on where it stopped."""

import hashlib
import os
import signal
import subprocess
import sys

import pytest

from dicom.errors import Unreachable
from examples.peers import fault_proxy, seaweed

OBJECTS = int(os.environ.get("RESUMED_OBJECTS", "90"))
"""A CT Series has 2,000; so many are enough to be cut twice."""

CONFIG = """
[node]
data_dir = "var"
[destinations.out]
kind = "object-store"
url = "s3://{bucket}/lake"
endpoint = "{endpoint}"
access_key = {{ env = "RESUMED_ACCESS" }}
secret_key = {{ env = "RESUMED_SECRET" }}
[[rules]]
name = "out"
send = ["out"]
"""

WORKER = """
import sys, time
from pathlib import Path
import node.workers.forward as sending
from config.load import load
from node.workers.handlers import HANDLERS
from node.workers.workshop import Workshop
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader

settings = load(Path(sys.argv[1]))
data_dir = settings.node.data_dir
shop = Workshop(settings, Ledger.open_existing(data_dir), SpoolReader(data_dir / "spool"))
sending.FLUSH_S = 0
sending.forward(shop.ledger.jobs.claim("w1", HANDLERS.keys(), time.time(), 600), shop)
"""


def paths_of(receipts):
    return {f"/penumbra/{row['location'].removeprefix('s3://penumbra/')}" for row in receipts}


def at_put(proxy, number, do):
    """Plan to do something when so many objects have been sent up."""

    def plan(_request):
        if len(proxy.objects("PUT")) == number:
            do()

    return plan


def cut_worker(site, proxy):
    """Kill the worker when a third is sent up."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, site.folder / "node.toml"], stderr=subprocess.PIPE
    ) as worker:
        proxy.plan = at_put(proxy, OBJECTS // 3, lambda: worker.send_signal(signal.SIGKILL))
        _, said = worker.communicate(timeout=100)
    assert worker.returncode == -signal.SIGKILL, said


def cut_store(site, shop, proxy, store):
    """Kill the bucket when another third is sent up: the job is to be tried again."""
    kill = at_put(proxy, OBJECTS // 3, lambda: os.killpg(store.pid, signal.SIGKILL))
    proxy.plan = kill
    with pytest.raises(Unreachable):
        site.work(shop)


def receipts_so_far(site, proxy):
    """Give what has a receipt now, and begin to count anew what is sent."""
    shop = site.workshop()
    paid = shop.ledger.receipts.list("out")
    shop.close()
    proxy.plan = lambda _: None
    proxy.seen.clear()
    return paid


@pytest.mark.p2
@pytest.mark.p7
def test_a_series_goes_on_where_it_was_cut(site, lab, tmp_path, monkeypatch):
    """kill -9 of the worker, then of the bucket: in the end each object is there once, with one
    receipt, and nothing that had a receipt was sent again."""
    monkeypatch.setenv("RESUMED_ACCESS", seaweed.ACCESS_KEY)
    monkeypatch.setenv("RESUMED_SECRET", seaweed.SECRET_KEY)
    site.receive([lab.image(number) for number in range(1, OBJECTS + 1)])
    with (
        seaweed.running(tmp_path / "s3") as store,
        fault_proxy.running(store.endpoint) as proxy,
    ):
        text = CONFIG.format(bucket=store.bucket, endpoint=proxy.endpoint)
        (site.folder / "node.toml").write_text(text)
        site.owe_plain("out")
        cut_worker(site, proxy)
        paid = receipts_so_far(site, proxy)
        assert 0 < len(paid) < OBJECTS
        shop = site.workshop()
        cut_store(site, shop, proxy, store)
        shop.close()
        assert not paths_of(paid) & {one.path for one in proxy.objects("PUT")}
        more = receipts_so_far(site, proxy)
        assert len(paid) < len(more) < OBJECTS
        with seaweed.running(tmp_path / "s3") as again:
            proxy.move_to(again.endpoint)
            shop = site.workshop()
            site.work(shop)
            done = shop.ledger.receipts.list("out")
            shop.close()
            assert not paths_of(more) & {one.path for one in proxy.objects("PUT")}
            assert len(done) == OBJECTS == len({row["source_uid"] for row in done})
            for row in done:
                key = str(row["location"]).removeprefix("s3://penumbra/")
                held = bytes(again.store().get(key).bytes())
                assert hashlib.sha256(held).hexdigest() == row["digest_read_back"]
            assert {row["rule"] for row in done} == {"out"}
            assert len({row["attempt"] for row in done}) == 3
