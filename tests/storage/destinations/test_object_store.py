"""An object store's own troubles: wrong keys, wrong buckets, throttling, silence, large objects."""

import hashlib
import http.server
import socket
import time
from contextlib import closing
from dataclasses import replace

import pytest

from config.destinations import ObjectStoreDestination
from config.shapes import Secret
from dicom.errors import Busy, Refused, Unreachable
from examples.peers.in_thread import answering
from storage.destinations import bucket, bucket_settings, object_store
from storage.destinations.bucket import ONE_PUT_BYTES, Bucket, Found
from storage.destinations.object_store import ObjectStore


@pytest.fixture
def opened(make_destination):
    """Open a destination with some of its settings changed."""
    with_settings = []

    def open_with(settings, **changes):
        destination = make_destination(settings.model_copy(update=changes))
        with_settings.append(destination)
        return destination

    yield open_with
    for destination in with_settings:
        destination.close()


class Grumpy(http.server.BaseHTTPRequestHandler):
    """Answers every request with the server's status and code."""

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked += 1
        body = f"<Error><Code>{self.server.word}</Code></Error>".encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_PUT  # noqa: N815  (the names that http.server looks for)

    def log_message(self, *args):
        pass


@pytest.fixture
def grumpy(s3_settings):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Grumpy)
    server.daemon_threads, server.asked = True, 0
    with answering(server):
        yield server


@pytest.fixture
def opened_grumpy(opened, s3_settings, grumpy):
    """Open a destination on the server that answers as it is told."""
    endpoint = f"http://127.0.0.1:{grumpy.server_port}"
    return lambda **changes: opened(s3_settings, endpoint=endpoint, **changes)


WRONG = {
    "secret": {"secret_key": Secret(env="S3_WRONG")},
    "access key": {"access_key": Secret(env="S3_WRONG")},
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_settings_are_refused(opened, s3_settings, make, what):
    """Wrong credentials will not mend themselves: held, not tried."""
    destination = opened(s3_settings, **WRONG[what])
    with pytest.raises(Refused):
        destination.check()
    with pytest.raises(Refused) as told:
        list(destination.send([make(1)]))
    assert "not-the-secret" not in str(told.value)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ((503, "SlowDown"), Busy),
        ((429, "TooManyRequests"), Busy),
        ((400, "RequestTimeout"), Unreachable),
        ((408, "X"), Unreachable),
        ((500, "InternalError"), Unreachable),
        ((502, "X"), Unreachable),
        ((400, "InvalidArgument"), Refused),
        ((401, "X"), Refused),
        ((403, "AccessDenied"), Refused),
        ((404, "NoSuchBucket"), Unreachable),
        ((301, "PermanentRedirect"), Refused),
    ],
)
def test_answers_are_understood(grumpy, opened_grumpy, make, answer, fault):
    """Each HTTP status says whether to try again, and the store's own words stay out of the log."""
    grumpy.status, grumpy.word = answer
    destination = opened_grumpy()
    begun = time.monotonic()
    with pytest.raises(fault) as told:
        list(destination.send([make(1)]))
    assert time.monotonic() - begun < 5, "the worker tries again, not the client"
    assert type(told.value) is fault
    assert make(1).sop_instance_uid not in str(told.value)
    assert grumpy.asked <= 3


def test_a_silent_store_is_unreachable(s3_settings, s3, make):
    """A server that takes the connection and says nothing costs one time-out, not for ever."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        settings = s3_settings.model_copy(
            update={"endpoint": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        )
        store = ObjectStore("deaf", settings, lambda _: b"key", timeout_s=0.5)
        begun = time.monotonic()
        with closing(store), pytest.raises(Unreachable):
            list(store.send([make(1)]))
        assert time.monotonic() - begun < 5


@pytest.mark.p7
def test_large_objects_go_up_in_parts(opened, s3_settings, s3, make, monkeypatch):
    """An object too large for one request arrives whole, and a duplicate does not replace it."""
    monkeypatch.setattr(bucket, "ONE_PUT_BYTES", 5 << 20)
    monkeypatch.setattr(bucket, "PART_BYTES", 5 << 20)
    one, other = (make(7, comment=word, pixels=11 << 20) for word in ("one", "two"))
    destination = opened(s3_settings)
    receipts = list(destination.send([one, other, one]))
    assert receipts[0].location == receipts[2].location != receipts[1].location
    for receipt in receipts:
        key = receipt.location.removeprefix(f"s3://{s3.bucket}/")
        held = bytes(s3.store().get(key).bytes())
        assert hashlib.sha256(held).hexdigest() == receipt.digest_sent
    assert ONE_PUT_BYTES >= 8 << 20


@pytest.mark.parametrize("ahead", [3, 0])
def test_few_are_taken_in_advance(opened, s3_settings, make, monkeypatch, ahead):
    """Some objects wait for a thread, but few, and of large ones none: memory stays flat."""
    monkeypatch.setattr(object_store, "AHEAD", 3)
    monkeypatch.setattr(object_store, "AHEAD_BYTES", (1 << 20) * ahead)
    taken = []

    def objects():
        for number in range(40):
            taken.append(number)
            yield make(number, study="many")

    destination = opened(s3_settings, concurrency=4)
    for done, _ in enumerate(destination.send(objects()), 1):
        assert len(taken) <= done + 4 + ahead
    assert done == 40


@pytest.mark.p3
def test_receipts_before_a_fault_stand(opened, s3_settings, make, monkeypatch):
    """One object that fails keeps neither its neighbours nor their receipts back."""
    bad = make(3, study="stand")
    real = Bucket.read

    def lies(self, key):
        return Found("0" * 64, "") if bad.sop_instance_uid in key else real(self, key)

    monkeypatch.setattr(Bucket, "read", lies)
    destination = opened(s3_settings, concurrency=4)
    receipts = []

    def send_all():
        for receipt in destination.send(make(number, study="stand") for number in range(6)):
            receipts.append(receipt)  # noqa: PERF402  (the fault comes in between)

    with pytest.raises(Unreachable, match="another digest"):
        send_all()
    proven = {receipt.sop_instance_uid for receipt in receipts}
    assert {make(number, study="stand").sop_instance_uid for number in range(3)} <= proven
    assert bad.sop_instance_uid not in proven


def test_plain_http_must_be_asked_for(make):
    """Without an endpoint in the config that says http://, nothing travels unencrypted."""
    options = bucket_settings.client_options
    bare = ObjectStoreDestination(kind="object-store", url="s3://bucket/x")
    assert not options(bare, 1)["allow_http"]
    assert not options(bare.model_copy(update={"endpoint": "https://s3"}), 1)["allow_http"]
    assert options(bare.model_copy(update={"endpoint": "http://s3"}), 1)["allow_http"]


def test_the_environment_does_not_meddle(opened, s3_settings, make, monkeypatch):
    """Where the config gives keys, those of the environment are left alone, its token too."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION", "ENDPOINT_URL"):
        monkeypatch.setenv(f"AWS_{name}", "http://127.0.0.1:1")
    assert len(list(opened(s3_settings).send([make(1)]))) == 1


def test_the_environment_is_asked_where_the_config_is_silent(
    opened, s3_settings, s3, make, monkeypatch
):
    """Without keys in the config, those of the environment are used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    destination = opened(s3_settings, access_key=None, secret_key=None)
    assert len(list(destination.send([make(1)]))) == 1


def test_azure_is_spoken_to(opened_grumpy, make, grumpy, monkeypatch):
    """Azure takes the same table; its answers are understood the same way."""
    grumpy.status, grumpy.word = 403, "AuthenticationFailed"
    monkeypatch.setenv("AZURE_KEY", "bm90IGEgc2VjcmV0")
    key = Secret(env="AZURE_KEY")
    destination = opened_grumpy(url="az://container/some/prefix", secret_key=key)
    with pytest.raises(Refused):
        list(destination.send([make(1)]))
    assert grumpy.asked


def test_keys_that_cannot_be_keys_are_refused(opened_grumpy, grumpy):
    """What the client cannot even start with is a mistake in the config, not an outage."""
    with pytest.raises(Refused, match="keys"):
        opened_grumpy(url="az://container/some/prefix")  # its key must be base64
    assert not grumpy.asked


def test_an_object_removed_meanwhile_is_tried_again(opened, s3_settings, make, monkeypatch, s3):
    """What is gone between writing and reading back is owed still, not refused."""
    destination = opened(s3_settings)
    real = Bucket.create

    def removed(self, key, outgoing, digest):
        created = real(self, key, outgoing, digest)
        self.store.delete(key)
        return created

    monkeypatch.setattr(Bucket, "create", removed)
    with pytest.raises(Unreachable, match="not there"):
        list(destination.send([replace(make(9), sop_instance_uid="1.2.3.9")]))
