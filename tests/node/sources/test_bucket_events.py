"""What stores say of new objects: the keys that are meant, whatever the form, and no others."""

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.errors import CannotUnderstand
from node.sources.bucket_events import keys_of

URL = "s3://lake/raw/in"
KEY = "raw/in/a b+c/ü%41.dcm"


def record_of(key: str) -> dict[str, object]:
    return {"s3": {"bucket": {"name": "lake"}, "object": {"key": quote_plus(key, safe="/")}}}


RECORD = {"eventName": "ObjectCreated:Put", **record_of(KEY)}
SHAPES = {
    "s3": {"Records": [RECORD]},
    "minio": {"EventName": "s3:ObjectCreated:Put", "Key": f"lake/{KEY}", "Records": [RECORD]},
    "sns": {"Type": "Notification", "Message": json.dumps({"Records": [RECORD]})},
    "eventbridge": {"detail-type": "Object Created", "source": "aws.s3",
                    "detail": {"bucket": {"name": "lake"}, "object": {"key": KEY}}},
    "seaweedfs": {"key": f"/buckets/lake/{KEY}", "event_type": "create"},
}  # fmt: skip


@pytest.mark.parametrize("message", SHAPES.values(), ids=SHAPES)
def test_every_shape_names_the_key(message):
    """The key comes out decoded, as it is below the source's prefix."""
    assert keys_of(json.dumps(message).encode(), URL) == {"a b+c/ü%41.dcm"}


@pytest.mark.parametrize(
    ("bucket", "key"),
    [("other", "raw/in/a"), ("lake", "raw/a"), ("lake", "raw/in/"), ("lake", "raw/in"),
     ("lake", "raw/in/../../etc"), ("lake", "raw/in//a"), ("lake", "raw/in/./a"),
     ("lake", "raw/in/a\0b"), ("lake", "raw/in/" + "x" * 1025), ("lake", "raw/inner/a")],
)  # fmt: skip
def test_keys_elsewhere_are_passed_over(bucket, key):
    """A key of another bucket or prefix, or one that climbs, is none of the source's."""
    record = {"s3": {"bucket": {"name": bucket}, "object": {"key": quote(key)}}}
    assert keys_of(json.dumps({"Records": [record]}).encode(), URL) == set()


@pytest.mark.parametrize(
    "message",
    [{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"}, {}, {"Records": None},
     {"Records": [None, {"s3": 1}]}, {"Type": "Notification", "Message": "not JSON"}],
)  # fmt: skip
def test_messages_without_keys_are_no_fault(message):
    """A store that tries its webhook out hears no error."""
    assert keys_of(json.dumps(message).encode(), URL) == set()


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b"null"])
def test_what_is_no_message_is_refused(body):
    """Anything but a JSON object is refused in words."""
    with pytest.raises(CannotUnderstand, match="JSON"):
        keys_of(body, URL)


TEXTS = st.text(max_size=30) | st.sampled_from(["lake", "raw/in/", "..", "/buckets/lake/raw/in/x"])
ANY = st.recursive(
    TEXTS | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            TEXTS | st.sampled_from(["Records", "s3", "bucket", "name", "object", "key", "detail"]),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.dictionaries(TEXTS | st.sampled_from(["Records", "detail", "key", "Message"]), ANY))
def test_whatever_is_said_no_key_climbs(message):
    """Any JSON object gives keys of the prefix, or none."""
    for key in keys_of(json.dumps(message).encode(), URL):
        assert not {"", ".", ".."} & set(key.split("/"))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_a_key_comes_out_as_it_went_in(name):
    """What a store encodes and we decode is the same key, unless no object can be called so."""
    found = keys_of(json.dumps({"Records": [record_of(f"raw/in/{name}")]}).encode(), URL)
    assert found <= {name}
    if not {"", ".", ".."} & set(name.split("/")) and "\0" not in name and name.isprintable():
        assert found == {name}
