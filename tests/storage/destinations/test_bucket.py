"""Nothing that is in a bucket is ever replaced, and an upload that breaks off leaves nothing.

Small and large objects, nodes that race, and stores that do not know conditions.
"""

import hashlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from dicom.errors import Unreachable
from examples.peers.fault_proxy import Answer, LoseAnswer, first
from storage.destinations import bucket
from storage.destinations.bucket import Bucket
from storage.destinations.bucket_settings import open_store

MB = 1 << 20
CLOUDS = ["s3", "azure", "gcs"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Objects beyond 5 MiB go up in parts of 5 MiB, the least that S3 takes."""
    monkeypatch.setattr(bucket, "ONE_PUT_BYTES", 5 * MB)
    monkeypatch.setattr(bucket, "PART_BYTES", 5 * MB)


def digest(content):
    return hashlib.sha256(content).hexdigest()


def race(place, objects):
    """Send each object from a destination of its own, all at the same moment."""
    ready = threading.Barrier(len(objects))

    def one(outgoing):
        with closing(place.open()) as destination:
            ready.wait()
            return list(destination.send([outgoing]))

    with ThreadPoolExecutor(len(objects)) as threads:
        return [receipt for receipts in threads.map(one, objects) for receipt in receipts]


@pytest.mark.p7
@pytest.mark.parametrize("place", ["folder", "file", "s3", "azure"], indirect=True)
@pytest.mark.parametrize("pixels", [64, 6 * MB], ids=["small", "large"])
def test_nodes_that_race_for_a_name(place, make, pixels):
    """Of several objects that want one name at the same moment, each is kept."""
    objects = [make(1, comment=word, pixels=pixels) for word in ("one", "two", "three")]
    receipts = race(place, objects)
    assert len({receipt.location for receipt in receipts}) == 3
    assert {digest(place.held(receipt)) for receipt in receipts} == {
        one.digest() for one in objects
    }


@pytest.mark.p7
@pytest.mark.parametrize("place", ["s3", "azure"], indirect=True)
def test_the_same_object_raced(place, make):
    """Two workers with one large object, one of which lost its lease, end with one object."""
    receipts = race(place, [make(2, pixels=6 * MB)] * 2)
    assert len({receipt.location for receipt in receipts}) == 1
    assert digest(place.held(receipts[0])) == receipts[0].digest_sent


@pytest.mark.p7
@pytest.mark.parametrize("place", CLOUDS, indirect=True)
@pytest.mark.parametrize("order", [(64, 6 * MB), (6 * MB, 64)], ids=["small-first", "large-first"])
def test_a_large_object_replaces_no_small_one(place, make, order):
    """Whichever of a small and a large object of one name is there first, stays."""
    objects = [make(3, comment=str(pixels), pixels=pixels) for pixels in order]
    receipts = []
    for outgoing in objects:
        with closing(place.open()) as destination:
            receipts += destination.send([outgoing])
    assert receipts[0].location.endswith(f"/{objects[0].sop_instance_uid}.dcm")
    assert [digest(place.held(one)) for one in receipts] == [one.digest() for one in objects]


@pytest.mark.p7
@pytest.mark.parametrize("place", ["s3", "azure"], indirect=True)
def test_a_small_object_amid_a_large_upload(place, make, monkeypatch):
    """A small object that takes the name while a large one goes up stays; the upload is ended."""
    small, large = make(4, comment="small"), make(4, comment="large", pixels=11 * MB)
    real, receipts = bucket.in_parts, []

    def in_parts(chunks):
        for number, part in enumerate(real(chunks)):
            if number == 1 and not receipts:
                with closing(place.open()) as other, ThreadPoolExecutor(1) as thread:
                    receipts.append(None)
                    receipts[:] = thread.submit(lambda: list(other.send([small]))).result()
            yield part

    monkeypatch.setattr(bucket, "in_parts", in_parts)
    with closing(place.open()) as destination:
        receipts += destination.send([large])
    assert [digest(place.held(one)) for one in receipts] == [small.digest(), large.digest()]


@pytest.mark.parametrize("place", CLOUDS, indirect=True)
def test_no_claim_is_left(place, make, request):
    """Once a large object is there, nothing else is beside it."""
    with closing(place.open()) as destination:
        (receipt,) = destination.send([make(5, pixels=6 * MB)])
        listed = [one["path"] for some in destination._bucket.store.list() for one in some]
    assert [path for path in listed if not path.startswith(".penumbra/")] == [
        receipt.location.removeprefix(f"{place.settings().url}/")
    ]


@pytest.mark.p7
def test_a_claim_of_the_dead_hinders_nobody(proxied, s3, make, make_destination):
    """The claim of a killed worker lets the same object on, and another one beside it."""
    mine, other = (make(6, comment=word, pixels=6 * MB) for word in ("mine", "other"))
    with closing(make_destination(proxied)) as destination:
        name = f"{mine.study_instance_uid}/{mine.series_instance_uid}/{mine.sop_instance_uid}.dcm"
        destination._bucket.store.put(f"{name}.claim", mine.digest().encode())
        (beside,) = destination.send([other])
        (receipt,) = destination.send([mine])
    assert receipt.location == f"{proxied.url}/{name}"
    assert beside.location == receipt.location.replace(".dcm", f"-{other.digest()[:12]}.dcm")


def test_an_upload_that_breaks_off_leaves_no_parts(proxy, proxied, make, make_destination):
    """A multipart upload that fails is ended at the store, so that its parts cost nothing."""

    def fails(request):
        return Answer(500, "X") if "partNumber=2" in request.target else None

    proxy.plan = fails
    with pytest.raises(Unreachable), closing(make_destination(proxied)) as destination:
        list(destination.send([make(7, pixels=11 * MB)]))
    begun = [one for one in proxy.seen if one.method == "POST" and "uploads" in one.target]
    ended = [one for one in proxy.seen if one.method == "DELETE" and "uploadId" in one.target]
    assert len(begun) == len(ended) == 1
    proxy.plan = lambda _: None
    with closing(make_destination(proxied)) as destination:
        (receipt,) = destination.send([make(7, pixels=11 * MB)])
    assert receipt.digest_read_back == receipt.digest_sent


def test_parts_carry_their_checksums(proxy, proxied, make, make_destination):
    """Each part of a large object goes up with its SHA-256, and the whole is read again."""
    trusting = proxied.model_copy(update={"verify": "checksum"})
    with closing(make_destination(trusting)) as destination:
        (receipt,) = destination.send([make(8, pixels=11 * MB)])
    parts = [one for one in proxy.seen if "partNumber" in one.target]
    assert len(parts) >= 3
    assert all(one.headers.get("x-amz-checksum-sha256") for one in parts)
    assert receipt.proof == "read-back"


def test_a_store_without_conditions_is_found_out(gcs_settings, s3_settings, azure_settings):
    """rclone's door takes a second create and is looked into first; the others refuse it."""
    for settings, honours in ((s3_settings, True), (azure_settings, True), (gcs_settings, False)):
        store = open_store(settings, lambda secret: os.environb[secret.env.encode()], 10)
        one = Bucket(store, settings.url, own_endpoint=settings.endpoint)
        assert one._refuses_a_second() is honours
        assert Bucket(store, settings.url)._refuses_a_second(), "the clouds' own are known"


def test_a_probe_that_may_not_be_written_is_no_verdict(proxy, proxied, make, make_destination):
    """Where a policy lets us write objects alone, we look first and deliver all the same."""
    proxy.plan = lambda request: (
        Answer(403, "AccessDenied") if ".penumbra" in request.path else None
    )
    with closing(make_destination(proxied)) as destination:
        assert len(list(destination.send([make(9)]))) == 1
    assert [one.method for one in proxy.seen if one.is_object] == ["HEAD", "PUT", "GET"]


def test_each_store_is_asked_once(proxy, proxied, make, make_destination):
    """What a store honours is asked once in a process, not for each job."""
    for number in range(3):
        with closing(make_destination(proxied)) as destination:
            list(destination.send([make(number, study="asked")]))
    assert len([one for one in proxy.seen if ".penumbra" in one.path]) in {1, 2}


def test_a_missing_bucket_is_waited_for(proxied, make, make_destination):
    """A bucket that is not there is told as such, and waited for: some are late when they start."""
    gone = proxied.model_copy(update={"url": "s3://nosuchbucket/x"})
    told = pytest.raises(Unreachable, match="no such bucket")
    with told, closing(make_destination(gone)) as destination:
        list(destination.send([make(10)]))


FLAT = """
import mmap, os, sys
from config.destinations import ObjectStoreDestination
from config.shapes import Secret
from storage.destinations.base import Outgoing
from storage.destinations.object_store import ObjectStore
url, endpoint, path = sys.argv[1:]
settings = ObjectStoreDestination(
    kind="object-store", url=url, endpoint=endpoint, access_key=Secret(env="S3_ACCESS"),
    secret_key=Secret(env="S3_SECRET"))
with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
    store = ObjectStore("flat", settings, lambda secret: os.environb[secret.env.encode()])
    outgoing = Outgoing("1.2", "1.2.3", "1.2", "1", "1.2", (memoryview(whole),), "")
    (receipt,) = store.send([outgoing])
    assert receipt.digest_read_back == receipt.digest_sent
    store.close()
    del outgoing
with open("/proc/self/status") as status:
    lines = dict(line.split(":", 1) for line in status)
print(*(lines[name].split()[0] for name in ("RssAnon", "VmHWM")))
"""


def test_memory_stays_flat(s3, s3_settings, tmp_path):
    """An object of 200 MB goes up and comes back in a process that never grows by its size."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(200 * MB)
    done = subprocess.run(
        [sys.executable, "-c", FLAT, f"s3://{s3.bucket}/flat", s3.endpoint, path],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True, timeout=100,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    anonymous_kb, most_kb = map(int, done.stdout.split())
    # The file's own pages, which the kernel may take back at any time, count in the second.
    assert anonymous_kb < 130_000
    assert most_kb < 200_000 + 250_000


@pytest.mark.parametrize("times", [1, 2])
def test_a_lost_claim_answer_is_no_conflict(proxy, proxied, make, make_destination, times):
    """A claim whose answer is lost is known again as ours."""
    proxy.plan = first(times, LoseAnswer(), of=lambda one: one.path.endswith(".claim"))
    outgoing = make(11, study=f"lost{times}", pixels=6 * MB)
    with closing(make_destination(proxied)) as destination:
        (receipt,) = destination.send([outgoing])
    assert receipt.location.endswith(f"/{outgoing.sop_instance_uid}.dcm")
