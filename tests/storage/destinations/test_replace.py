"""Files of the node's own: put whole in place of what is there, read back, and removed."""

import os

import obstore
import pytest

from config.destinations import FolderDestination, ObjectStoreDestination
from dicom.errors import Refused, Unreachable
from storage.destinations import bucket, folder
from storage.destinations.folder import Folder
from storage.destinations.object_store import ObjectStore

KEY = "lake/x/metadata/date=2026-01-01/modality=C_20T/part-1.parquet"


@pytest.fixture(params=["folder", "object-store"])
def place(request, tmp_path):
    if request.param == "folder":
        yield Folder("out", FolderDestination(kind="folder", path=tmp_path / "out"))
        return
    settings = ObjectStoreDestination(kind="object-store", url=f"file://{tmp_path}/out")
    made = ObjectStore("out", settings, lambda _secret: b"")
    yield made
    made.close()


def lying(tmp_path):
    root = tmp_path / "out"
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*.*")
            if file.is_file()}  # fmt: skip


def test_a_file_takes_the_place_of_another(place, tmp_path):
    """The second content of a name is there whole, the first one gone, and nothing beside it."""
    first = place.replace(KEY, b"one")
    assert lying(tmp_path) == {KEY: b"one"}
    assert place.replace(KEY, b"two" * 100_000) == first
    assert lying(tmp_path) == {KEY: b"two" * 100_000}
    place.remove([first, first])
    assert lying(tmp_path) == {}


def test_what_reads_back_otherwise_is_a_fault(place, tmp_path, monkeypatch):
    """A disk or store that gives other bytes back is not believed, and may be tried again."""
    monkeypatch.setattr(folder, "_digest", lambda _path: "0" * 64)
    other = bucket.Found("0" * 64, "")
    monkeypatch.setattr(bucket.Bucket, "read", lambda *_: other)
    with pytest.raises(Unreachable, match="reads back"):
        place.replace(KEY, b"one")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused(place, tmp_path):
    """A person has to see to it."""
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out").chmod(0o500)
    with pytest.raises(Refused):
        place.replace(KEY, b"one")


def test_a_store_that_fails_is_told_as_a_fault(tmp_path, monkeypatch):
    """No exception of the library comes through."""
    settings = ObjectStoreDestination(kind="object-store", url=f"file://{tmp_path}/out")
    made = ObjectStore("out", settings, lambda _secret: b"")

    def down(*_, **__):
        raise obstore.exceptions.GenericError("connection refused")

    monkeypatch.setattr(bucket.obstore, "put", down)
    with pytest.raises(Unreachable):
        made.replace(KEY, b"one")
    made.close()
