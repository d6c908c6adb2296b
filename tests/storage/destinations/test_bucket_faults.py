"""A real S3 behind a proxy that does harm: nothing counts as delivered that is not there."""

import base64
import hashlib
import time
from contextlib import closing

import pytest

from dicom.errors import Busy, Refused, Unreachable
from examples.peers import seaweed
from examples.peers.fault_proxy import (
    Answer,
    Cut,
    Hang,
    LoseAnswer,
    SpoilDownload,
    SpoilUpload,
    first,
)
from storage.destinations.object_store import ObjectStore


def is_put(request):
    return request.method == "PUT" and request.is_object


def is_get(request):
    return request.method == "GET" and request.is_object


def held(s3, receipt):
    key = receipt.location.removeprefix(f"s3://{s3.bucket}/")
    return hashlib.sha256(bytes(s3.store().get(key).bytes())).hexdigest()


@pytest.fixture
def send(make_destination, proxied):
    """Send objects through the proxy, with a destination of their own, some settings changed."""

    def sending(objects, **changes):
        with closing(make_destination(proxied.model_copy(update=changes))) as destination:
            return list(destination.send(objects))

    return sending


@pytest.mark.parametrize(
    "case",
    [
        (Answer(403, "AccessDenied"), Refused, "policy"),
        (Answer(400, "ExpiredToken"), Refused, "expired"),
        (Answer(403, "RequestTimeTooSkewed"), Refused, "clock"),
        (Answer(404, "NoSuchBucket"), Unreachable, "no such bucket"),
        (Answer(503, "SlowDown"), Busy, "slow down"),
        (Answer(500, "InternalError"), Unreachable, "answered 500"),
        (Answer(400, "BadDigest"), Unreachable, "other bytes"),
    ],
)
def test_a_bucket_that_says_no(proxy, make, send, case):
    """Each no of a bucket in mid-delivery says whether to try again, and what would mend it."""
    answer, fault, words = case
    taken = send([make(1)])
    proxy.plan = lambda request: answer if is_put(request) else None
    with pytest.raises(fault, match=words) as told:
        send([make(2)])
    assert type(told.value) is fault
    proxy.plan = lambda _: None
    assert len(taken + send([make(2)])) == 2


@pytest.mark.p2
def test_spoilt_on_the_way_up(proxy, proxied, s3, make, send):
    """A body that is changed on its way is refused by the store, and nothing is created."""
    proxy.plan = first(9, SpoilUpload(), of=is_put)
    with pytest.raises(Unreachable, match="other bytes"):
        send([make(1)])
    prefix = proxied.url.removeprefix(f"s3://{s3.bucket}/")
    objects = [one["path"] for some in s3.store().list(prefix) for one in some]
    assert not [path for path in objects if path.endswith(".dcm")]
    proxy.plan = lambda _: None
    (receipt,) = send([make(1)])
    assert held(s3, receipt) == receipt.digest_sent


@pytest.mark.p2
def test_spoilt_on_the_way_back(proxy, s3, make, send):
    """Bytes that read back otherwise are no proof; the object that is there stays and is proven."""
    proxy.plan = lambda request: SpoilDownload() if is_get(request) else None
    with pytest.raises(Unreachable, match="another digest"):
        send([make(1)])
    proxy.plan = lambda _: None
    (receipt,) = send([make(1)])
    assert receipt.location.endswith(f"/{make(1).sop_instance_uid}.dcm")
    assert held(s3, receipt) == receipt.digest_sent


@pytest.mark.parametrize("harm", [Cut(), Cut(100), LoseAnswer()])
def test_a_hiccup_is_smoothed_over(proxy, s3, make, send, harm):
    """A connection that breaks once costs nothing, also where the store had done it already."""
    proxy.plan = first(1, harm, of=is_put)
    (receipt,) = send([make(1)])
    assert receipt.location.endswith(f"/{make(1).sop_instance_uid}.dcm")
    assert held(s3, receipt) == receipt.digest_sent


def test_a_cut_that_lasts_is_unreachable(proxy, make, send):
    """Where each upload breaks off, the job is to be tried again, soon told."""
    proxy.plan = lambda request: Cut(50) if is_put(request) else None
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="does not answer"):
        send([make(1)])
    assert time.monotonic() - begun < 10


def test_a_hang_costs_one_time_out(proxy, proxied, make):
    """A store that takes a request and falls silent is left after the time-out."""
    secrets = {"S3_ACCESS": seaweed.ACCESS_KEY, "S3_SECRET": seaweed.SECRET_KEY}
    store = ObjectStore("slow", proxied, lambda secret: secrets[secret.env].encode(), timeout_s=0.4)
    with closing(store):
        assert len(list(store.send([make(1)]))) == 1
        proxy.plan = lambda request: Hang() if is_put(request) else None
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            list(store.send([make(2)]))
    assert time.monotonic() - begun < 8


def test_the_store_checks_the_sha_256(proxy, make, send):
    """Every object goes up with its SHA-256, and with the condition that its name is free."""
    (receipt,) = send([make(1)])
    (put,) = proxy.objects("PUT")
    assert base64.b64decode(put.headers["x-amz-checksum-sha256"]).hex() == receipt.digest_sent
    assert put.headers["if-none-match"] == "*"
    assert receipt.etag
    assert len(proxy.objects("GET")) == 1


def test_the_stores_own_check_can_be_enough(proxy, s3, make, send):
    """With verify = "checksum" nothing is read again, but for what was there before."""
    (receipt,) = send([make(1)], verify="checksum")
    assert (receipt.proof, receipt.digest_read_back) == ("checksum", "")
    assert not proxy.objects("GET")
    assert held(s3, receipt) == receipt.digest_sent
    (again,) = send([make(1)], verify="checksum")
    assert (again.proof, again.digest_read_back) == ("read-back", again.digest_sent)
