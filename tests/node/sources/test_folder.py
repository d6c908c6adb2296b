"""A folder in which others write: swapped for links, replaced at the last moment, read-only."""

import os
import stat
from pathlib import Path

import pytest

from dicom.errors import StorageFault
from node.sources import folder as folders
from node.sources import reach
from node.sources.folder import FolderPlace
from node.sources.place import Changed, Local, Unreadable
from node.sources.receiving import receive


@pytest.fixture
def place(bench) -> FolderPlace:
    return FolderPlace(bench.box, 0)


@pytest.fixture
def elsewhere(bench, make_file) -> Path:
    """A folder that is none of the source's business, with a file in it."""
    made = bench.root / "elsewhere"
    made.mkdir()
    (made / "a").write_bytes(make_file())
    return made


def everything(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


@pytest.mark.parametrize("aside", ["taken", "rejected"])
@pytest.mark.parametrize("good", [True, False])
def test_nothing_is_moved_through_a_link(bench, elsewhere, make_file, aside, good):
    """Where `taken` or `rejected` is a link, no file of the folder lands at its end."""
    (bench.box / aside).symlink_to(elsewhere)
    bench.put("evil.toml", make_file() if good else b"[node]")
    bench.put("sub/evil.toml", make_file(2) if good else b"[node]")
    door = bench.door(after="move")
    tally = door.look()
    assert everything(elsewhere) == {"a"}
    assert bool(tally.trouble) == (good == (aside == "taken"))
    assert door.look().taken == 0
    assert len(bench.stored()) == (2 if good else 0)


@pytest.mark.parametrize("after", ["keep", "move", "delete"])
def test_a_folder_that_becomes_a_link_is_not_entered(bench, elsewhere, make_file, after):
    """A sub-folder that is swapped for a link while it is looked through leads nowhere."""
    bench.put("sub/a", make_file())
    place = FolderPlace(bench.box, 0)

    class Swapping(FolderPlace):
        def _inside(self, folder, found):
            if folder == "sub":
                (bench.box / "sub").rename(bench.box / ".sub")
                (bench.box / "sub").symlink_to(elsewhere)
            return super()._inside(folder, found)

    assert bench.door(after=after, place=Swapping(bench.box, 0)).look().taken == 0
    assert place.find("sub/a") is None
    assert everything(elsewhere) == {"a"}


def test_a_folder_that_becomes_a_link_later_gives_nothing(bench, elsewhere, make_file):
    """Between looking at a file and reading it nothing else can be put in its place."""
    bench.put("sub/a", make_file(2))

    class Swapping(FolderPlace):
        def _require(self, entry):
            super()._require(entry)
            if not (bench.box / "sub").is_symlink():
                (bench.box / "sub").rename(bench.box / ".sub")
                (bench.box / "sub").symlink_to(elsewhere)

    tally = bench.door(after="delete", place=Swapping(bench.box, 0)).look()
    assert (tally.taken, tally.waiting, bench.stored()) == (0, 1, [])
    assert everything(elsewhere) == {"a"}


@pytest.mark.parametrize("how", ["link", "pipe"])
def test_a_file_that_becomes_something_else_is_not_read(bench, place, make_file, how):
    """A link or a pipe that takes a file's place blocks nobody, and is not read."""
    file = bench.put("a", make_file())
    (entry,) = place.entries()
    with place.fetch(entry) as local:
        file.rename(bench.root / "away")
        if how == "pipe":
            os.mkfifo(file)
        else:
            file.symlink_to(bench.root / "away")
        with pytest.raises(Unreadable):
            bench.examiner.examine(local, 1)


def test_what_was_examined_is_what_is_stored(bench, place, make_file):
    """A file that is replaced once it was examined is not stored as what it was."""
    file = bench.put("a", make_file())
    (entry,) = place.entries()
    with place.fetch(entry) as local:
        incoming = bench.examiner.examine(local, 1)
        file.unlink()
        file.write_bytes(make_file(2))
        with pytest.raises(Changed):
            receive(local, incoming, bench.door()._arrival(incoming), bench.spool)
    assert bench.stored() == []


def test_a_replaced_image_is_not_converted(bench, place, picture, grey):
    """Neither image nor sidecar can be another one than the one that was found."""
    bench.put("a.png", picture(grey, "PNG"))
    bench.put("a.json", {"PatientID": "1"})
    image, sidecar = (Local.of(bench.box / name) for name in ("a.png", "a.json"))
    bench.put("a.json", {"PatientID": "2"})
    with pytest.raises(Changed):
        bench.examiner.convert(image, sidecar, bench.root / "out", "box", 1)


@pytest.mark.p1
@pytest.mark.parametrize("after", ["move", "delete"])
def test_a_file_that_comes_at_the_last_moment_stays(bench, make_file, monkeypatch, after):
    """What replaces a file between the last look at it and its end is not lost with it."""
    bench.put("a", make_file())
    new = make_file(2)
    rename = os.rename

    def late(*args, **kwargs):
        monkeypatch.setattr(os, "rename", rename)
        (bench.box / "new").write_bytes(new)
        (bench.box / "new").rename(bench.box / "a")
        rename(*args, **kwargs)

    monkeypatch.setattr(os, "rename", late)
    door = bench.door(after=after)
    door.look()
    assert (bench.box / "a").read_bytes() == new
    door.look()
    assert {one.arrival.sop_instance_uid for one in bench.stored()} > {
        bench.stored()[0].arrival.sop_instance_uid
    }


@pytest.mark.p1
def test_another_file_of_the_same_size_and_time_is_another_file(bench, make_file):
    """A file that was replaced by one of its size, with its time, is taken before it is deleted."""
    file = bench.put("a", make_file())
    facts = file.stat()
    bench.door().look()
    bench.put("a", make_file(2))
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert file.stat().st_size == facts.st_size
    assert bench.door(after="delete").look().taken == 1
    assert len({one.arrival.sop_instance_uid for one in bench.stored()}) == 2


def test_who_died_while_deleting_left_nothing_hidden(bench, make_file, monkeypatch):
    """A file that was about to be deleted gets its name back, is found to be there, and goes."""
    bench.put("a", make_file())

    class Died(BaseException):
        pass

    def die(*_, **__):
        raise Died

    killed = bench.door(after="delete")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", die)
        with pytest.raises(Died):
            killed.look()
    assert everything(bench.box) == {".penumbra-a"}
    door = bench.door(after="delete")
    assert [door.look().taken for _ in range(2)] == [0, 1]
    assert everything(bench.box) == set()


def deny(monkeypatch, name: str) -> None:
    """Have the system refuse to rename: the tests may run as root, whom no mode stops."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, name, refuse)


@pytest.mark.parametrize("after", ["move", "delete"])
def test_what_cannot_be_put_away_is_taken_once(bench, make_file, monkeypatch, after):
    """In a folder that is read-only everything is taken, once; it is told, and put away later."""
    for number in range(3):
        bench.put(f"{number}", make_file(number))
    bench.put("bad", b"bad")
    door = bench.door(after=after)
    with monkeypatch.context() as patched:
        deny(patched, "rename")
        tally = door.look()
        assert (tally.taken, tally.rejected.total()) == (3, 1)
        assert "Permission denied" in tally.trouble
        assert "prefix DICM" in bench.reasons()
        tally = door.look()
        assert (tally.taken, tally.rejected.total()) == (0, 0)
        assert "stays where it is" in tally.trouble
    assert door.look().trouble == ""
    assert {"0", "1", "2"} & everything(bench.box) == set()
    assert len(bench.stored()) == 3


def test_a_folder_that_may_not_be_read_hides_no_other(bench, make_file, monkeypatch):
    """A sub-folder that is not ours to read is counted, and the others are looked through."""
    for folder in ("a", "b", "c"):
        bench.put(f"{folder}/file", make_file(ord(folder)))
    opened = reach.opened

    def refuse(root, folder="", **how):
        if folder == "b":
            raise PermissionError(13, "Permission denied")
        return opened(root, folder, **how)

    monkeypatch.setattr(reach, "opened", refuse)
    tally = bench.door().look()
    assert (tally.taken, tally.unreadable) == (2, 1)


def test_folders_in_folders_end_somewhere(bench, make_file, monkeypatch):
    """Folders nested without end stop no look; what lies too deep is told."""
    monkeypatch.setattr(folders, "DEEPEST", 3)
    bench.put("1/2/3/a", make_file())
    bench.put("1/2/3/4/5/a", make_file(2))
    tally = bench.door().look()
    assert (tally.taken, tally.unreadable) == (1, 1)


def test_a_reason_is_not_written_through_a_link(bench):
    """A link in the place of a reason's file overwrites nothing."""
    target = bench.put("../precious", b"precious")
    (bench.box / "rejected").mkdir()
    (bench.box / "rejected" / "a.reason.txt").symlink_to(target)
    bench.put("a", b"bad")
    assert bench.door(after="move").look().trouble
    assert target.read_bytes() == b"precious"


def test_a_folder_that_is_a_file_is_a_fault(bench):
    """The root may be a link to a folder, and must be one."""
    (bench.root / "link").symlink_to(bench.box)
    assert list(FolderPlace(bench.root / "link", 0).entries()) == []
    (bench.root / "file").touch()
    with pytest.raises(StorageFault):
        list(FolderPlace(bench.root / "file", 0).entries())
    with reach.opened(bench.root / "link") as descriptor:
        assert stat.S_ISDIR(os.fstat(descriptor).st_mode)
