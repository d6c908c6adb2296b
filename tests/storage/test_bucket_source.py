"""A bucket as a source: fetched on where it broke off, put aside, and keys that nobody can name."""

import hashlib
from pathlib import Path

import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import GenericError

from config.sources import BucketSource
from dicom.errors import StorageFault, Unreachable
from node.sources.bucket import BucketPlace
from node.sources.place import Changed
from storage import bucket_source
from storage.bucket_source import Replaced, SourceBucket

CONTENT = bytes(range(256)) * 20_000


def no_secret(_secret):
    raise AssertionError("no secret is asked for")


@pytest.fixture
def source(tmp_path: Path) -> BucketSource:
    return BucketSource(kind="bucket", url=f"file://{tmp_path}/bucket")


@pytest.fixture
def bucket(source: BucketSource, tmp_path: Path) -> SourceBucket:
    made = SourceBucket(source, no_secret)
    for key in ("a.dcm", "x/b.dcm", "taken/c.dcm", "rejected/d.dcm"):
        made.put(key, CONTENT)
    return made


@pytest.fixture
def place(source: BucketSource, bucket: SourceBucket, tmp_path: Path):
    made = BucketPlace("inbox", source, tmp_path / "scratch", no_secret)
    yield made
    made.close()


class Breaking:
    """A body that breaks off after a part of it."""

    def __init__(self, whole: object, after: int) -> None:
        self.meta = whole.meta
        self._whole, self._after = whole, after

    def stream(self, **_options):
        for number, chunk in enumerate(self._whole.stream(min_chunk_size=1000)):
            if number == self._after:
                raise GenericError("error decoding response body")
            yield chunk


def test_a_body_that_breaks_off_is_fetched_on(bucket, tmp_path, monkeypatch):
    """Each part is fetched once: after a break the rest is asked for."""
    asked, get = [], obstore.get

    def breaking(store, key, *, options=None):
        asked.append((options or {}).get("range", {}).get("offset", 0))
        return Breaking(get(store, key, options=options), 2 if len(asked) < 4 else 10**9)

    monkeypatch.setattr(obstore, "get", breaking)
    bucket.download(bucket.find("a.dcm"), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert asked[0] == 0
    assert asked == sorted(set(asked))
    assert len(asked) == 4


def test_a_full_disk_here_is_no_fault_of_the_store(bucket):
    """What cannot be written here is told as that, not as a store that does not answer."""
    with pytest.raises(StorageFault, match="No space left"):
        bucket.download(bucket.find("a.dcm"), Path("/dev/full"))
    with pytest.raises(StorageFault, match="No such file"):
        bucket.download(bucket.find("a.dcm"), Path("/nowhere/at/all"))


def test_a_body_that_never_comes_is_unreachable(bucket, tmp_path, monkeypatch):
    """Without a byte more the tries end, and the source tries again later."""
    get = obstore.get
    monkeypatch.setattr(
        obstore, "get", lambda store, key, *, options=None: Breaking(get(store, key), 0)
    )
    with pytest.raises(Unreachable):
        bucket.download(bucket.find("a.dcm"), tmp_path / "out")


def test_an_object_that_changed_is_not_mixed(bucket, tmp_path):
    """What was listed is fetched in that state or not at all."""
    listed = bucket.find("a.dcm")
    bucket.put("a.dcm", CONTENT + b"more")
    with pytest.raises(Replaced):
        bucket.download(listed, tmp_path / "out")


def test_what_is_through_is_not_listed(place):
    """What was put aside below the prefix does not come in again."""
    assert [entry.key for entry in place.entries()] == ["a.dcm", "x/b.dcm"]
    assert place.find("taken/c.dcm") is None


def test_fetched_files_are_gone_afterwards(place, tmp_path):
    """A fetched file lies in the scratch folder while it is needed, and no longer."""
    entries = list(place.entries())
    place.ahead(entries)
    with place.fetch(entries[0]) as file:
        assert hashlib.sha256(file.path.read_bytes()).digest() == hashlib.sha256(CONTENT).digest()
    place.close()
    assert list((tmp_path / "scratch" / "fetched").iterdir()) == []


def test_putting_aside_never_overwrites(place, bucket):
    """Two objects of one key, one after the other, are both kept, with the reason beside."""
    for content in (CONTENT, b"another"):
        bucket.put("a.dcm", content)
        place.put_aside(place.find("a.dcm"), "rejected", "too bad")
    keys = sorted(one.key for one in bucket.listed() if "a.dcm" in one.key)
    assert keys == ["rejected/a.dcm", "rejected/a.dcm.2", "rejected/a.dcm.2.reason.txt",
                    "rejected/a.dcm.reason.txt"]  # fmt: skip


def test_a_changed_object_is_neither_moved_nor_deleted(place, bucket):
    """What came meanwhile under the same key stays."""
    entry = place.find("a.dcm")
    bucket.put("a.dcm", b"newer")
    for move in (place.remove, lambda one: place.put_aside(one, "taken")):
        with pytest.raises(Changed):
            move(entry)
    assert place.find("a.dcm") is not None


SPOILT = [
    ("p/new\nline", "new "), ("p/x/\x01", "x/ "), ("p/a//b", "a/0"), ("p/a/../b", "a/..0"),
    ("p/a/.", "a/. "), ("p/\x7f", "\x80"), ("q/a\nb", None), ("p/fine", None),
]  # fmt: skip


@pytest.mark.parametrize(("path", "behind"), SPOILT)
def test_a_list_goes_on_behind_a_key_without_a_name(path, behind):
    """The list is asked for behind what spoils it, so that one key does not hide all others."""
    assert bucket_source._behind(path, "p/") == behind


@given(st.text(st.characters(max_codepoint=300, exclude_categories=["Cs"]), min_size=1))
def test_the_list_moves_on(key):
    """Going on never goes back, so that a list ends."""
    behind = bucket_source._behind(f"p/{key}", "p/")
    is_spoilt = any(c < " " or c == "\x7f" for c in key) or bool(
        {"", ".", ".."} & {*key.split("/")}
    )
    assert (behind is not None) == is_spoilt
    assert behind is None or behind.encode() > key.encode()
