"""A bucket in a bad mood: it throttles, spoils, cuts, refuses and is killed; it has all, once."""

import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from examples.peers import fault_proxy, seaweed
from examples.peers.fault_proxy import (
    Answer,
    Cut,
    Harm,
    LoseAnswer,
    Plan,
    Request,
    SpoilDownload,
    SpoilUpload,
)
from examples.peers.node import Node, running_node
from examples.peers.process import wait_until
from routing.job import State

RULE = """
[peers.SCANNER]
may = ["store"]
[[rules]]
name = "all"
send = ["lake"]
"""
COUNT = 12


def through(proxy: fault_proxy.FaultProxy, bucket: seaweed.Seaweed, lake: str) -> str:
    """Give the tables of a node that calls the bucket by the proxy."""
    return RULE + lake.replace(bucket.endpoint, proxy.endpoint)


def each_once(method: str, harms: Sequence[Harm]) -> Plan:
    """Plan to do each harm to the first request about an object of its own."""
    left, seen = list(harms), set[str]()

    def plan(request: Request) -> Harm | None:
        if request.method != method or not request.is_object or request.path in seen:
            return None
        seen.add(request.path)
        return left.pop(0) if left else None

    return plan


def done(node: Node, jobs: int) -> list[dict[str, object]]:
    """Wait until so many jobs are done; give the receipts."""
    ledger = node.ledger()
    wait_until(lambda: ledger.jobs.counts()[State.DONE] == jobs, 60, "the delivery")
    assert not ledger.jobs.counts()[State.HELD]
    receipts = ledger.receipts.list("lake")
    ledger.close()
    return receipts


def assert_there_once(
    bucket: seaweed.Seaweed, prefix: str, images: Sequence[Dataset], receipts: list[dict]
) -> None:
    """Each object has one receipt, and there is one object in the bucket, of these very bytes."""
    paths = [one["path"] for some in bucket.store().list(prefix) for one in some]
    mine = [path for path in paths if path.endswith(".dcm")]
    assert len(mine) == len(receipts) == len(images)
    assert {row["source_uid"] for row in receipts} == {str(one.SOPInstanceUID) for one in images}
    for row in receipts:
        key = str(row["location"]).removeprefix(f"s3://{bucket.bucket}/")
        body = bytes(bucket.store().get(key).bytes())
        assert hashlib.sha256(body).hexdigest() == row["digest_read_back"]


@pytest.mark.usefixtures("one_worker")
@pytest.mark.p2
@pytest.mark.p3
def test_a_moody_bucket_gets_everything_once(
    tmp_path: Path, make_ct: Callable, store: Callable, bucket: seaweed.Seaweed, lake: str
):
    """503, wrong checksums, cuts and lost answers mend themselves; 403 is held until a retry."""
    images = [make_ct(number) for number in range(COUNT)]
    up = each_once("PUT", [Answer(503, "SlowDown"), SpoilUpload(), Cut(10), LoseAnswer()])
    down = each_once("GET", [SpoilDownload(), Answer(503, "SlowDown")])
    with fault_proxy.running(bucket.endpoint) as proxy:
        proxy.plan = lambda request: up(request) or down(request)
        with running_node(tmp_path, through(proxy, bucket, lake)) as node:
            store(node, images)
            assert_there_once(bucket, tmp_path.name, images, done(node, 1))
            more = [make_ct(number, series=2) for number in range(COUNT)]
            proxy.plan = lambda one: Answer(403, "AccessDenied") if one.method == "PUT" else None
            store(node, more)
            ledger = node.ledger()
            wait_until(lambda: ledger.jobs.counts()[State.HELD] == 1, 30, "the held job")
            ledger.close()
            (held,) = map(json.loads, node.run("held", "--json").stdout.splitlines())
            assert (held["target"], held["fault"]) == ("lake", "refused")
            assert "access denied" in held["words"]
            proxy.plan = lambda _: None
            node.run("retry", "--target", "lake", "--fault", "refused")
            assert_there_once(bucket, tmp_path.name, [*images, *more], done(node, 2))


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[seaweed.Seaweed]:
    """A bucket of this test's own, to be killed."""
    with seaweed.running(tmp_path / "s3") as facts:
        yield facts


@pytest.mark.usefixtures("one_worker")
@pytest.mark.p2
@pytest.mark.p3
def test_a_bucket_is_killed_in_mid_transfer(
    tmp_path: Path, make_ct: Callable, store: Callable, mortal: seaweed.Seaweed,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    """kill -9 of SeaweedFS: the job waits without an attempt, and goes on where it stopped."""
    monkeypatch.setenv("MORTAL_ACCESS", mortal.access_key)
    monkeypatch.setenv("MORTAL_SECRET", mortal.secret_key)
    images = [make_ct(number) for number in range(60)]
    with fault_proxy.running(mortal.endpoint) as proxy:

        def kill(_: Request) -> None:
            if len(proxy.objects("PUT")) == len(images) // 2:
                os.killpg(mortal.pid, signal.SIGKILL)

        proxy.plan = kill
        lake = (
            f'[destinations.lake]\nkind = "object-store"\nurl = "s3://{mortal.bucket}/killed"\n'
            f'endpoint = "{proxy.endpoint}"\nconcurrency = 4\n'
            'access_key = { env = "MORTAL_ACCESS" }\nsecret_key = { env = "MORTAL_SECRET" }\n'
        )
        with running_node(tmp_path, RULE + lake) as node:
            store(node, images)
            ledger = node.ledger()
            wait_until(lambda: len(ledger.breakers.list()) == 1, 60, "the bucket to be missed")
            paid = ledger.receipts.list("lake")
            assert 0 < len(paid) < len(images)
            assert [job.attempts for job in ledger.jobs.list([State.WAITING])] == [0]
            ledger.close()
            proxy.plan = lambda _: None
            proxy.seen.clear()
            with seaweed.running(tmp_path / "s3") as again:
                proxy.move_to(again.endpoint)
                receipts = done(node, 1)
                sent = {one.path for one in proxy.objects("PUT")}
                assert_there_once(again, "killed", images, receipts)
    locations = {str(row["location"]).removeprefix("s3://") for row in paid}
    assert not {f"/{one}" for one in locations} & sent, "what had a receipt was sent again"
