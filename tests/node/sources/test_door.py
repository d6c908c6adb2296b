"""A door over a watched folder: what is taken, what waits, what is rejected, what dies between."""

import io
import os
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import func, select

from config.sources import BucketSource
from dicom.errors import Refused, SpoolFull, StorageFault
from dicom.part10 import file_meta
from node.sources import door as doors
from node.sources.bucket import BucketPlace
from storage.ledger.arriving import ReadingHere
from storage.ledger.taken_schema import taken
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


def test_a_reason_that_cannot_be_written_rejects_nothing(bench):
    """An object is rejected once its reason is written: a person must find it."""
    bench.put("a", b"bad")
    (bench.root / "scratch").mkdir()
    (bench.root / "scratch" / "rejected").touch()
    door = bench.door()
    with pytest.raises(StorageFault, match="scratch/rejected cannot be written"):
        door.look()
    (bench.root / "scratch" / "rejected").unlink()
    assert door.look().rejected.total() == 1


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


@pytest.mark.parametrize("renewed", ["a.png", "a.json"])
def test_half_of_a_pair_is_not_taken_with_half_of_another(bench, picture, grey, colour, renewed):
    """Where names are used again, a new image never gets the former patient's sidecar."""
    pairs = [
        {"a.png": picture(grey, "PNG"), "a.json": {"PatientID": "1"}},
        {"a.png": picture(colour, "PNG"), "a.json": {"PatientID": "2"}},
    ]
    for name, content in pairs[0].items():
        bench.put(name, content)
    door = bench.door(sidecar_wait_s=60)
    assert door.look().taken == 1
    bench.put(renewed, pairs[1].pop(renewed))
    assert (door.look().taken, door.look().waiting) == (0, 1)
    ((name, content),) = pairs[1].items()
    bench.put(name, content)
    assert door.look().taken == 1
    found = [dcmread(io.BytesIO(body)) for body in bench.bodies()]
    assert {(one.PatientID, one.SamplesPerPixel) for one in found} == {("1", 1), ("2", 3)}


def test_half_of_a_pair_that_stays_alone_is_rejected(bench, picture, grey):
    """An image that was renewed without its sidecar is told after the wait, and only then."""
    bench.put("a.png", picture(grey, "PNG"))
    bench.put("a.json", {"PatientID": "1"})
    door = bench.door(sidecar_wait_s=60)
    door.look()
    bench.put("a.png", picture(grey >> 1, "PNG"))
    assert door.look().waiting == 1
    bench.now += 60
    assert door.look().rejected == {"alone": 1}
    assert "taken with another image" in bench.reasons()
    assert len(bench.stored()) == 1


def test_nodes_that_share_a_ledger_have_folders_of_their_own(bench, make_file):
    """A source of the same name and path on another machine is another one."""
    bench.put("a", make_file())
    assert bench.door(machine="one").look().taken == 1
    assert bench.door(machine="two").look().taken == 1
    assert bench.door(machine="one").look().taken == 0


def test_what_is_long_gone_is_forgotten(bench, make_file):
    """The memory of kept files lasts as long as they do, and not for ever."""
    a_day, now = 86_400.0, [0.0]
    kept, gone = bench.put("kept", make_file()), bench.put("gone", make_file(2))
    door = bench.door(clock=lambda: now[0])
    assert door.look().taken == 2
    gone.unlink()
    for day in (20, 31, 40):
        now[0] = day * a_day
        assert door.look().taken == 0
    with bench.ledger.database.read() as db:
        assert db.execute(select(func.count()).select_from(taken)).scalar_one() == 1
    assert kept.exists()


def test_no_picture_stays_in_the_scratch_folder(bench, picture, grey):
    """What a killed process left of a conversion is gone with the next start."""
    (bench.root / "scratch").mkdir()
    (bench.root / "scratch" / "converted.dcm").write_bytes(b"KANARIENVOGEL")
    bench.door()
    assert list((bench.root / "scratch").iterdir()) == []


def test_an_object_that_the_store_refuses_hides_no_other(bench, make_file, tmp_path, monkeypatch):
    """An object that is archived, or sealed with another's key, waits; others are taken."""
    (tmp_path / "bucket").mkdir()
    for number in range(3):
        (tmp_path / "bucket" / f"{number}.dcm").write_bytes(make_file(number))
    source = BucketSource(kind="bucket", url=f"file://{tmp_path}/bucket")
    place = BucketPlace("inbox", source, tmp_path / "scratch", lambda _: b"")
    download = place._bucket.download

    def refuse(one, file):
        if one.key == "0.dcm":
            raise Refused("it is archived")
        download(one, file)

    monkeypatch.setattr(place._bucket, "download", refuse)
    door = bench.door(place=place)
    tally = door.look()
    assert (tally.taken, tally.waiting, tally.trouble) == (2, 1, "refused: it is archived")
    monkeypatch.setattr(place._bucket, "download", download)
    assert (door.look().taken, door.look().trouble) == (1, "")
