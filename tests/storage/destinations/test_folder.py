"""A folder's own troubles: full disks, foreign mounts, killed workers."""

import errno
import os
from contextlib import closing

import pytest

from config.destinations import FolderDestination
from dicom.errors import Busy, Refused, Unreachable
from storage.destinations.folder import _HERE


@pytest.fixture
def folder(tmp_path, make_destination):
    with closing(make_destination(FolderDestination(kind="folder", path=tmp_path))) as destination:
        yield destination


def files(path):
    return sorted(one.name for one in path.rglob("*") if one.is_file())


def fail(monkeypatch, name, code, *, only_first=False):
    """Make an os function fail as the kernel would."""
    real, calls = getattr(os, name), []

    def failing(*args, **kwargs):
        calls.append(args)
        if only_first and len(calls) > 1:
            return real(*args, **kwargs)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, failing)


@pytest.mark.parametrize(
    ("code", "fault"),
    [(errno.ENOSPC, Busy), (errno.EDQUOT, Busy), (errno.EIO, Unreachable), (errno.EROFS, Refused)],
)
def test_a_failed_sync_delivers_nothing(folder, make, monkeypatch, code, fault):
    """A full or broken disk is a fault; neither receipt nor half a file stays."""
    fail(monkeypatch, "fsync", code)
    with pytest.raises(fault):
        list(folder.send([make(1)]))
    assert files(folder._root) == []


@pytest.mark.p7
@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_mount_without_hard_links_works(folder, make, tmp_path, monkeypatch, code):
    """Where names cannot be linked the file is renamed, and still replaces nothing."""
    fail(monkeypatch, "link", code)
    one, other = make(1, comment="first"), make(1, comment="second")
    receipts = [*folder.send([one, other, one])]
    assert len({receipt.location for receipt in receipts}) == 2
    assert len(files(tmp_path)) == 2


@pytest.mark.p7
def test_a_name_taken_meanwhile_is_kept(folder, make, tmp_path, monkeypatch):
    """Another worker's object of the same name, born between look and link, is not replaced."""
    one = make(1)
    real = os.link

    def late(aside, path):
        if not path.exists() and b"-" not in os.fsencode(path.name):
            path.write_bytes(b"another's")
        real(aside, path)

    monkeypatch.setattr(os, "link", late)
    (receipt,) = folder.send([one])
    assert receipt.location.endswith(f"-{receipt.digest_sent[:12]}.dcm")
    assert sorted(path.read_bytes() == b"another's" for path in tmp_path.rglob("*.dcm")) == [
        False,
        True,
    ]


def test_leftovers_of_a_killed_worker_go(folder, make, tmp_path):
    """What a killed worker left half written goes; what another node is writing now stays."""
    (receipt,) = folder.send([make(1)])
    path = tmp_path / receipt.location
    path.unlink()
    names = {
        "dead": f".{path.name}.{_HERE}-{2**22 + 1}-00c0ffee.part",
        "alive": f".{path.name}.{_HERE}-{os.getpid()}-00c0ffee.part",
        "elsewhere": f".{path.name}.0123abcd-4711-00c0ffee.part",
        "old": f".{path.name}.0123abcd-4712-00c0ffee.part",
    }
    for name in names.values():
        path.with_name(name).touch()
    os.utime(path.with_name(names["old"]), (0, 0))
    (again,) = folder.send([make(1)])
    assert again.location == receipt.location
    assert set(files(tmp_path)) == {path.name, names["alive"], names["elsewhere"]}


def test_a_disk_that_lies_is_found_out(folder, make, tmp_path, monkeypatch):
    """Bytes that read back otherwise than written are no delivery, and get no name."""
    monkeypatch.setattr("storage.destinations.folder._digest", lambda _: "0" * 64)
    with pytest.raises(Unreachable, match="another digest"):
        list(folder.send([make(1)]))
    assert files(tmp_path) == []


def test_a_file_in_the_way_is_refused(make, make_destination, tmp_path):
    """A path that is no folder is a mistake in the config, not an outage."""
    (tmp_path / "file").touch()
    settings = FolderDestination(kind="folder", path=tmp_path / "file" / "sub")
    with closing(make_destination(settings)) as destination:
        with pytest.raises(Refused):
            destination.check()
        with pytest.raises(Refused):
            list(destination.send([make(1)]))
