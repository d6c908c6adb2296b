"""Storage class, tags, encryption and names: what the config asks for really goes out."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest

from config.destinations import FolderDestination
from dicom.errors import Refused, Unreachable
from examples.peers import fault_proxy
from examples.peers.fault_proxy import Answer
from storage.destinations import bucket

KMS = "arn:aws:kms:us-east-1:123456789012:key/abcd"


def first_put(proxy):
    return proxy.objects("PUT")[0].headers


@pytest.fixture
def put(proxy, proxied, make, make_destination):
    """Deliver one object with some settings changed; give the headers that went out."""

    def putting(outgoing=None, **changes):
        with closing(make_destination(proxied.model_copy(update=changes))) as destination:
            list(destination.send([outgoing or make(1)]))
        return first_put(proxy)

    return putting


def test_class_and_tags_go_out_to_s3(put):
    """S3 is asked for the storage class and the tags, beside type and file name."""
    headers = put(storage_class="STANDARD_IA", tags={"site": "north wing", "study/kind": "a=b"})
    assert headers["x-amz-storage-class"] == "STANDARD_IA"
    assert parse_qs(headers["x-amz-tagging"]) == {"site": ["north wing"], "study/kind": ["a=b"]}
    assert headers["content-type"] == "application/dicom"
    assert headers["content-disposition"].startswith("attachment; filename=")


def test_nothing_goes_out_unasked(put):
    """Without these keys, none of their headers is sent: the bucket's own rules hold."""
    asked = ("x-amz-storage-class", "x-amz-tagging", "x-amz-server-side-encryption")
    assert not [name for name in put() if name.startswith(asked)]


def test_sse_s3_goes_out(put):
    """S3 is asked to encrypt with a key of its own, and SeaweedFS does."""
    assert put(encryption="sse-s3")["x-amz-server-side-encryption"] == "AES256"


@pytest.mark.parametrize("key", [KMS, None])
def test_sse_kms_goes_out(proxy, put, key):
    """S3 is asked to encrypt with a key of its key management; one that cannot is no success."""
    proxy.plan = lambda request: Answer(400, "KMS.Disabled") if request.method == "PUT" else None
    with pytest.raises(Refused, match="answered 400"):
        put(encryption="sse-kms", kms_key=key)
    headers = proxy.seen[0].headers
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers.get("x-amz-server-side-encryption-aws-kms-key-id") == key


def test_parts_have_class_tags_and_encryption_too(proxy, put, make, monkeypatch):
    """A large object's upload is begun with what a small one's request would hold."""
    monkeypatch.setattr(bucket, "ONE_PUT_BYTES", 5 << 20)
    monkeypatch.setattr(bucket, "PART_BYTES", 5 << 20)
    large = make(2, pixels=6 << 20)
    # The one PUT under the object's own name is that of its first part.
    put(large, storage_class="STANDARD_IA", tags={"a": "b"}, encryption="sse-s3")
    (begun,) = (one for one in proxy.seen if one.method == "POST" and "uploads" in one.target)
    assert begun.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert begun.headers["x-amz-tagging"] == "a=b"
    assert begun.headers["x-amz-server-side-encryption"] == "AES256"


def test_tier_and_tags_go_out_to_azure(azure, azure_settings, make, make_destination):
    """Azure is asked for the access tier and the tags."""
    with fault_proxy.running(azure.endpoint) as proxy:
        settings = azure_settings.model_copy(
            update={"endpoint": proxy.endpoint, "storage_class": "Cool", "tags": {"a": "b"}}
        )
        with closing(make_destination(settings)) as destination:
            (receipt,) = destination.send([make(3)])
    assert receipt.digest_read_back == receipt.digest_sent
    assert first_put(proxy)["x-ms-access-tier"] == "Cool"
    assert first_put(proxy)["x-ms-tags"] == "a=b"
    assert first_put(proxy)["if-none-match"] == "*"


def test_class_goes_out_to_google(gcs, gcs_settings, make, make_destination):
    """Google is asked for the storage class, and to create only what is not there."""
    with fault_proxy.running(gcs.endpoint) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GCS_ACCOUNT", gcs.service_account.replace(gcs.endpoint, proxy.endpoint))
        settings = gcs_settings.model_copy(
            update={"endpoint": proxy.endpoint, "storage_class": "NEARLINE"}
        )
        with closing(make_destination(settings)) as destination:
            list(destination.send([make(4)]))
    assert first_put(proxy)["x-goog-storage-class"] == "NEARLINE"
    assert first_put(proxy)["x-goog-if-generation-match"] == "0"


TEMPLATE = (
    "by-day/{year}/{month}/{day}/modality={Modality}/{rule}/{StudyInstanceUID}/{SOPInstanceUID}.dcm"
)


@pytest.mark.p6
def test_names_follow_the_template(proxied, make, make_destination, tmp_path):
    """Bucket and folder name objects as the config says, and say what they hold by it."""
    came = datetime(2026, 11, 3, 23, 59, tzinfo=UTC).timestamp()
    one = make(5)
    outgoing = replace(one, modality="CT", received_at=came, rule="to the lake!")
    wanted = (
        "by-day/2026/11/03/modality=CT/to-the-lake/"
        f"{one.study_instance_uid}/{one.sop_instance_uid}.dcm"
    )
    for settings in (
        proxied.model_copy(update={"key": TEMPLATE}),
        FolderDestination(kind="folder", path=tmp_path / "out", key=TEMPLATE),
    ):
        with closing(make_destination(settings)) as destination:
            (receipt,) = destination.send([outgoing])
        assert receipt.location.endswith(wanted)
    assert (tmp_path / "out" / wanted).is_file()


def test_a_manifest_keeps_its_past(proxied, s3, make_destination):
    """Each manifest keeps a number; the newest is replaced as a whole."""
    with closing(make_destination(proxied)) as destination:
        for content in (b"one", b"two", b"three"):
            location = destination.publish("1.2.3", content)
    root = location.removeprefix(f"s3://{s3.bucket}/").removesuffix(".json")
    held = [bytes(s3.store().get(f"{root}{end}.json").bytes()) for end in ("", "-0001", "-0003")]
    assert held == [b"three", b"one", b"three"]


def test_a_manifest_of_a_dead_bucket_is_told(proxy, proxied, make_destination):
    """A manifest that cannot be written is a fault like any other, to be tried again."""
    proxy.plan = lambda request: Answer(500, "X") if ".json" in request.path else None
    with closing(make_destination(proxied)) as destination, pytest.raises(Unreachable):
        destination.publish("1.2.3", b"{}")
