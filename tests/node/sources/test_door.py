"""A door over a watched folder: what is taken, what waits, what is rejected, what dies between."""

import io
import os
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom.errors import SpoolFull
from dicom.part10 import file_meta
from node.sources import door as doors
from storage.ledger.arrived import ReadingHere
from storage.spool.reader import SpoolReader


@pytest.mark.p1
@pytest.mark.parametrize(
    ("after", "left"), [("keep", ["a"]), ("move", ["taken/a"]), ("delete", [])]
)
def test_a_file_is_taken_as_by_c_store(bench, make_file, after, left):
    """The dataset is in the spool byte for byte behind our file meta, and knows its way in."""
    bench.put("a", make_file())
    assert bench.door(after=after).look().taken == 1
    (record,) = bench.stored()
    arrival = record.arrival
    assert (arrival.calling_ae, arrival.called_ae, arrival.origin) == ("BOX", "PENUMBRA", "folder")
    assert arrival.address == "folder:box"
    raw = make_file()
    dataset = raw[132 + 12 + int.from_bytes(raw[140:144], "little") :]
    assert bench.bodies() == [file_meta(arrival) + dataset]
    there = [str(f.relative_to(bench.box)) for f in bench.box.rglob("*") if f.is_file()]
    assert there == left


@pytest.mark.parametrize("after", ["keep", "move", "delete"])
def test_nothing_is_taken_twice(bench, make_file, after):
    """A second look, also by another process, takes nothing again."""
    bench.put("a", make_file())
    bench.door(after=after).look()
    assert bench.door(after=after).look().taken == 0
    assert len(bench.stored()) == 1


def test_a_changed_file_is_taken_again(bench, make_file):
    """Kept files are remembered in the state in which they were taken."""
    bench.put("a", make_file())
    door = bench.door()
    door.look()
    bench.put("a", make_file(2, PatientID="another"))
    assert door.look().taken == 1


def test_kept_files_are_moved_once_the_config_says_so(bench, make_file):
    """What was taken while `after` was "keep" is moved later, and not taken again."""
    bench.put("a", make_file())
    bench.door().look()
    assert bench.door(after="move").look().taken == 0
    assert (bench.box / "taken" / "a").exists()
    assert len(bench.stored()) == 1


@pytest.mark.p7
@pytest.mark.parametrize("after", ["keep", "move", "delete"])
def test_dying_between_deposit_and_delete_makes_one_instance(bench, make_file, after, monkeypatch):
    """Who dies once the object is on disk takes it again, and it is one Instance."""

    class Died(BaseException):
        pass

    def die(*_):
        raise Died

    bench.put("a", make_file())
    killed = bench.door(after=after)
    monkeypatch.setattr(killed, "_done", die)
    with pytest.raises(Died):
        killed.look()
    assert bench.door(after=after).look().taken == 1
    records = bench.stored()
    assert len(records) == 2
    readings = ReadingHere(SpoolReader(bench.spool.root))
    readings.submit(records)
    tally = bench.ledger.intake.absorb(readings.collect(), {}, 1.0)
    assert (tally.filed, tally.duplicates, tally.conflicts) == (1, 1, 0)


BAD = {
    "text": (b"no DICOM at all", "prefix DICM is missing"),
    "empty": (b"", "empty"),
    "large": (b"\0" * (1 << 20) + b"\0", "largest_mb"),
}


@pytest.mark.parametrize("after", ["keep", "move", "delete"])
@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_a_bad_file_is_rejected_with_its_reason(bench, make_file, content, words, after):
    """What cannot be taken is out of the way with a reason, and stops nothing else."""
    bench.put("a", content)
    bench.put("b", make_file())
    door = bench.door(after=after)
    tally = door.look()
    assert (tally.taken, tally.rejected.total()) == (1, 1)
    assert words in bench.reasons()
    assert [event.type for event in bench.told] == ["penumbra.source.rejected"]
    assert (bench.box / "a").exists() == (after == "keep")
    assert (bench.box / "rejected" / "a").exists() == (after != "keep")
    assert door.look().rejected.total() == 0


def test_a_cut_file_and_odd_uids_are_rejected(bench, make_file):
    """A file that breaks off, a UID that is none, and a class that is no image are not stored."""
    bench.put("cut", make_file()[:-9])
    bench.put("uid", make_file(2, SeriesInstanceUID=""))
    bench.put("class", make_file(3, SOPClassUID="1.2.3.4"))
    assert bench.door().look().rejected == {"cannot-understand": 2, "sop-class-not-supported": 1}
    assert bench.stored() == []
    for words in ("breaks off", "SeriesInstanceUID is missing", "private_sop_classes"):
        assert words in bench.reasons()


@pytest.mark.p6
def test_no_name_of_a_file_is_told(bench, make_file, capsys):
    """File names and values stand in no event, no log and no Arrival."""
    bench.put("KANARIENVOGEL^HANS.dcm", make_file())
    bench.put("KANARIENVOGEL^EVA.dcm", b"KANARIENVOGEL")
    bench.put("KANARIENVOGEL.json", {"KANARIENVOGEL": 1})
    bench.put("KANARIENVOGEL.png", b"x")
    bench.door().look()
    told = capsys.readouterr()
    whole = f"{told.out}{told.err}{bench.told}{[one.arrival for one in bench.stored()]}"
    assert "rejected" in whole
    assert "KANARIENVOGEL" not in whole


HOSTILE = ["new\nline.dcm", "L" * 250, " ", "-rf", "a\\b", "ünï.dcm", "%2e%2e", "back`tick`$(x)",
           b"not\xffutf8.dcm"]  # fmt: skip


@pytest.mark.parametrize("after", ["keep", "move", "delete"])
@pytest.mark.parametrize("good", [True, False])
def test_hostile_names(bench, make_file, after, good):
    """Whatever a file is called, it is taken or rejected, and never leaves the folder."""
    for number, name in enumerate(HOSTILE):
        path = os.fsencode(bench.box) + b"/" + (name if isinstance(name, bytes) else name.encode())
        Path(os.fsdecode(path)).write_bytes(make_file(number) if good else b"bad")
    tally = bench.door(after=after).look()
    assert (tally.taken, tally.rejected.total()) == ((9, 0) if good else (0, 9))
    assert sorted(each.name for each in bench.root.iterdir()) == sorted(
        ["box", "spool", "var", *(["scratch"] if after == "keep" and not good else [])]
    )


def test_links_are_not_followed(bench, make_file):
    """A link to a file or a folder elsewhere is passed over."""
    outside = bench.root / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(make_file())
    (bench.box / "link").symlink_to(outside / "a")
    (bench.box / "folder").symlink_to(outside)
    assert bench.door(after="delete").look().taken == 0
    assert (outside / "a").exists()
    (outside / "a").unlink()
    outside_left = list(outside.iterdir())
    assert outside_left == []


def test_a_growing_file_is_waited_for(bench, make_file):
    """A file is taken once it has not changed for the quiet time, and not before."""
    whole = make_file()
    file = bench.put("a", whole[:100])
    door = bench.door(quiet_s=5)
    for step in range(4):
        bench.now += 4
        with file.open("ab") as stream:
            stream.write(whole[100 + step : 101 + step] if step < 3 else whole[103:])
        assert (door.look().taken, door.look().waiting) == (0, 1)
    bench.now += 5
    assert door.look().taken == 1


def test_a_file_that_is_renamed_in_is_taken(bench, make_file):
    """Unfinished names are passed over; the finished name is taken after the quiet time."""
    part = bench.put("a.part", make_file())
    bench.put(".hidden", make_file(2))
    bench.put("DICOMDIR", b"whatever")
    door = bench.door(quiet_s=5)
    assert (door.look().taken, door.look().waiting) == (0, 0)
    part.rename(bench.box / "a.dcm")
    door.look()
    bench.now += 5
    assert door.look().taken == 1


def test_a_full_disk_rejects_nothing(bench, make_file):
    """While there is no room nothing is taken and nothing rejected; then all of it is."""
    bench.put("a", make_file())
    bench.put("b", b"bad")
    bench.brake.words = "make room"
    door = bench.door(after="delete")
    with pytest.raises(SpoolFull):
        door.look()
    assert (bench.box / "a").exists()
    bench.brake.words = ""
    tally = door.look()
    assert (tally.taken, tally.rejected.total()) == (1, 1)


def test_a_commit_that_fails_keeps_the_file(bench, make_file, monkeypatch):
    """A file whose bytes could not be synced stays where it is, whatever `after` says (P1)."""

    def fail(*_, **__):
        raise SpoolFull("no room")

    bench.put("a", make_file())
    door = bench.door(after="delete")
    monkeypatch.setattr("storage.spool.recording.Recording.commit", fail)
    with pytest.raises(SpoolFull):
        door.look()
    assert (bench.box / "a").exists()


def test_nothing_in_the_way_is_overwritten(bench, make_file):
    """Two files of one name that are taken one after the other are both there afterwards."""
    door = bench.door(after="move")
    for number in (1, 2):
        bench.put("a", make_file(number))
        door.look()
    names = sorted(file.name for file in (bench.box / "taken").iterdir())
    assert names == ["2-a", "a"]


def test_many_files_are_looked_through_in_batches(bench, make_file, monkeypatch):
    """More files than a batch holds are all taken, and remembered."""
    monkeypatch.setattr(doors, "BATCH", 7)
    for number in range(40):
        bench.put(f"{number % 5}/{number}", make_file(number))
    door = bench.door()
    assert door.look().taken == 40
    assert door.look().taken == 0


def test_an_image_and_its_sidecar_become_one_instance(bench, picture, grey):
    """The same image twice, under other names, is one Instance; another sidecar makes another."""
    image = picture(grey, "PNG")
    for name in ("a", "b"):
        bench.put(f"{name}.png", image)
        bench.put(f"{name}.json", {"PatientID": "4711", "PatientName": "Müller^Jörg"})
    bench.put("c.png", image)
    bench.put("c.json", {"PatientID": "4712"})
    door = bench.door(after="delete")
    assert door.look().taken == 3
    assert not [*bench.box.iterdir()]
    uids = [one.arrival.sop_instance_uid for one in bench.stored()]
    assert len(set(uids)) == 2
    assert len(set(bench.bodies())) == 2
    names = {str(dcmread(io.BytesIO(body)).PatientName) for body in bench.bodies()}
    assert names == {"Müller^Jörg", ""}


@pytest.mark.parametrize("first", [".json", ".png"])
def test_image_and_sidecar_wait_for_each_other(bench, picture, grey, first):
    """Whichever comes first waits, and is rejected with a reason once it has waited too long."""
    files = {".png": picture(grey, "PNG"), ".json": {"PatientID": "1"}}
    door = bench.door(after="move", sidecar_wait_s=60)
    bench.put("a" + first, files.pop(first))
    assert door.look().waiting == 1
    bench.now += 59
    assert door.look().waiting == 1
    ((other, content),) = files.items()
    bench.put("a" + other, content)
    assert door.look().taken == 1
    bench.put("b" + first, b"")
    door.look()
    bench.now += 60
    assert door.look().rejected == {"alone": 1}


def test_a_broken_sidecar_tells_all_its_faults_and_can_be_mended(bench, picture, grey):
    """Every fault is told at once; a better sidecar in its place is taken with the same image."""
    bench.put("a.png", picture(grey, "PNG"))
    bench.put("a.json", {"PatientId": "1", "StudyDate": "tomorrow", "PatientSex": "?"})
    door = bench.door()
    assert door.look().rejected == {"cannot-understand": 1}
    for words in ("PatientID is missing", "did you mean 'PatientID'", "StudyDate is no date",
                  "PatientSex must be"):  # fmt: skip
        assert words in bench.reasons()
    assert door.look().rejected.total() == 0
    bench.put("a.json", {"PatientID": "1"})
    assert door.look().taken == 1
    assert door.look().taken == 0
