"""The follower files every committed object once, in ledger and index, whatever is deleted."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from sqlalchemy import select

from dicom import head, meta, part10
from dicom.entity import Arrival, SeriesKey
from dicom.errors import CannotUnderstand, Corrupt, DoesNotMatch, StorageFault
from dicom.part10 import file_meta
from dicom.uid import derive
from routing.job import State
from storage.index.database import Entry, Index
from storage.ledger import follow
from storage.ledger.arriving import ReadingHere
from storage.ledger.follow import Follower
from storage.ledger.intake import Conflict
from storage.ledger.ledger import Ledger
from storage.ledger.schema import series
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass
class House:
    """The front's own parts over one data directory."""

    data_dir: Path

    def open(self) -> None:
        root = self.data_dir / "spool"
        self.spool = Spool.open(root, segment_bytes=1 << 20, reserve_bytes=0)
        self.ledger = Ledger.open(self.data_dir)
        self.index = Index.open(self.data_dir / "index.duckdb")
        reader = SpoolReader(root)
        self.follower = Follower(
            self.spool, reader, self.ledger.intake, self.index, ReadingHere(reader)
        )
        while self.follower.index_is_behind():
            self.follower.catch_up_index()

    def close(self) -> None:
        self.index.close()
        self.ledger.close()
        self.spool.close()

    def follow(self) -> None:
        while self.follower.step() is not None:
            pass

    def rows(self) -> list[str]:
        table = self.index.sql(
            "SELECT SOPInstanceUID FROM instance ORDER BY 1", timeout_s=5, max_rows=1000
        )
        return [row[0] for row in table.rows]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    opened = House(tmp_path)
    opened.open()
    yield opened
    opened.close()


def dataset(number: int, **changes: object) -> Dataset:
    head = Dataset()
    head.SOPClassUID, head.SOPInstanceUID = CT, derive("follow", str(number))
    head.StudyInstanceUID, head.SeriesInstanceUID = derive("study"), derive("series")
    head.Modality, head.PatientID, head.InstanceNumber = "CT", "P1", number
    for keyword, value in changes.items():
        setattr(head, keyword, value)
    return head


def encoded(head: Dataset) -> bytes:
    stream = io.BytesIO()
    dcmwrite(stream, head, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def receive(house: House, body: bytes, uid: str) -> None:
    arrival = Arrival(CT, uid, EXPLICIT, "CT1", "PENUMBRA", "a1", "127.0.0.1", 10.0)
    recording = house.spool.begin(arrival)
    recording.write(file_meta(arrival))
    recording.write(body)
    recording.commit()


def receive_images(house: House, *numbers: int) -> list[str]:
    uids = []
    for number in numbers:
        image = dataset(number)
        receive(house, encoded(image), image.SOPInstanceUID)
        uids.append(str(image.SOPInstanceUID))
    return sorted(uids)


def test_every_committed_object_is_filed_once(house: House):
    """Ledger and index hold what was committed, once, across repeated and reopened following."""
    uids = receive_images(house, *range(30))
    house.follow()
    house.follow()
    assert house.rows() == uids
    house.close()
    house.open()
    uids = sorted(uids + receive_images(house, 30, 31))
    house.follow()
    assert house.rows() == uids
    assert house.ledger.summary()["received"] == {
        "instances": 32,
        "series": 1,
        "studies": 1,
        "open_series": 1,
    }


@pytest.mark.p5
@pytest.mark.parametrize("lost", ["ledger.sqlite*", "index.duckdb*", "*.*"])
def test_ledger_and_index_are_rebuilt_from_the_spool(house: House, lost: str):
    """Delete ledger, index or both: the same rows come back from the log."""
    uids = receive_images(house, *range(25))
    house.follow()
    house.close()
    for file in house.data_dir.glob(lost):
        file.unlink()
    house.open()
    house.follow()
    assert house.rows() == uids
    assert house.ledger.summary()["received"]["instances"] == 25


@pytest.mark.p3
@pytest.mark.parametrize(
    ("body", "fault", "words"),
    [
        (b"\xff" * 64, "cannot-understand", "parsed"),
        (encoded(dataset(1))[:-9], "cannot-understand", "breaks off"),
        (encoded(dataset(1))[:-1], "cannot-understand", "dataset"),
        (encoded(dataset(1, StudyInstanceUID="")), "cannot-understand", "StudyInstanceUID is mis"),
        (encoded(dataset(1, SOPInstanceUID="1.2.3")), "does-not-match", "SOPInstanceUID differs"),
    ],
    ids=["noise", "cut", "cut in a value", "no study", "other uid"],
)
def test_what_cannot_be_filed_is_kept_and_held(house: House, body: bytes, fault: str, words: str):
    """Bytes that were validly transferred stay, and a person is told why they are not filed."""
    uid = str(dataset(1).SOPInstanceUID)
    receive(house, body, uid)
    receive_images(house, 2)
    house.follow()
    (job,) = house.ledger.jobs.list([State.HELD])
    assert (job.fault, job.spec.target) == (fault, uid)
    assert words in job.words
    assert len(house.rows()) == 1, "the next object is filed as ever"
    instance, _ = house.ledger.intake.find(uid, job.spec.digest)
    with SpoolReader(house.data_dir / "spool").open(instance.location) as stream:
        assert stream.read().endswith(body)
    with pytest.raises((CannotUnderstand, DoesNotMatch), match=words):
        house.follower.file_again(uid, job.spec.digest)


def test_an_index_that_fails_is_caught_up(house: House, monkeypatch: pytest.MonkeyPatch):
    """While the index fails the ledger goes on; once it works again nothing is missing in it."""
    uids = receive_images(house, 1, 2)
    house.follow()

    def fail(*_: object) -> None:
        raise StorageFault("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(house.index, "add", fail)
        uids += receive_images(house, 3, 4)
        house.follow()
        uids += receive_images(house, 5)
        house.follow()
        assert house.ledger.summary()["received"]["instances"] == 5
        with pytest.raises(StorageFault):
            house.follower.catch_up_index()
    while house.follower.index_is_behind():
        house.follower.catch_up_index()
    assert house.rows() == sorted(uids)
    assert house.follower.lag_records() == 0


def test_one_strange_object_stops_no_other(house: House, monkeypatch: pytest.MonkeyPatch):
    """Where reading a head meets a bug, that object is held and the rest is filed."""
    read, strange = head.read, str(dataset(1).SOPInstanceUID)

    def stumble(*arguments: object) -> object:
        found = read(*arguments)
        return 1 / 0 if found["SOPInstanceUID"] == strange else found

    monkeypatch.setattr(head, "read", stumble)
    receive_images(house, 1, 2, 3)
    house.follow()
    (job,) = house.ledger.jobs.list([State.HELD])
    assert (job.spec.target, job.words) == (strange, "dataset cannot be read (ZeroDivisionError)")
    assert len(house.rows()) == 2


@pytest.mark.p7
def test_a_conflict_is_in_the_spool_but_not_in_the_index(house: House):
    """A second object under one UID is kept and held; questions still get the first."""
    first = dataset(1)
    receive(house, encoded(first), first.SOPInstanceUID)
    receive(house, encoded(dataset(1, PatientID="P2")), first.SOPInstanceUID)
    house.follow()
    (job,) = house.ledger.jobs.list([State.HELD])
    assert job.fault == "conflict"
    key = SeriesKey(str(first.StudyInstanceUID), str(first.SeriesInstanceUID))
    assert len(house.ledger.receipts.of_series(key)) == 1
    table = house.index.sql("SELECT PatientID FROM study", timeout_s=5, max_rows=9)
    assert [row[0] for row in table.rows] == ["P1"]


def flip(house: House, uid: str) -> None:
    """Change one bit of the objects of a UID in their segment, or change it back."""
    for record in house.spool.records({}):
        if record.arrival.sop_instance_uid == uid:
            file = house.spool.root / f"{record.location.segment}.open"
            with file.open("r+b") as segment:
                segment.seek(record.location.offset + 300)
                byte = segment.read(1)[0]
                segment.seek(record.location.offset + 300)
                segment.write(bytes([byte ^ 1]))


def sizes_of_series(house: House) -> list[int]:
    """Read how many Instances the ledger counts in each Series."""
    with house.ledger.database.read() as db:
        return list(db.scalars(select(series.c.instances)))


def test_an_unreadable_object_is_read_again(house: House):
    """Damage holds an object; with its bytes restored, a retry files it under its digest."""
    (uid, _) = receive_images(house, 1, 2)
    flip(house, uid)
    house.follow()
    (job,) = house.ledger.jobs.list([State.HELD])
    assert (job.spec.target, job.fault) == (uid, "corrupt")
    assert job.spec.digest.startswith("unread:")
    with pytest.raises(Corrupt):
        house.follower.file_again(uid, job.spec.digest)
    flip(house, uid)
    for _ in range(2):  # as after a crash before the job was finished
        house.follower.file_again(uid, job.spec.digest)
    assert sizes_of_series(house) == [2]
    assert uid in house.rows()
    key = SeriesKey(str(dataset(1).StudyInstanceUID), str(dataset(1).SeriesInstanceUID))
    assert all(len(row.digest) == 64 for row in house.ledger.receipts.of_series(key))


@pytest.mark.p7
def test_what_cannot_be_read_is_no_conflict(house: House):
    """The same object sent again is filed though the first cannot be read; a retry drops that."""
    (uid,) = receive_images(house, 1)
    flip(house, uid)
    house.follow()
    assert house.rows() == []
    receive_images(house, 1)
    house.follow()
    assert house.rows() == [uid]
    assert house.ledger.summary()["received"]["instances"] == 2


@pytest.mark.p3
@pytest.mark.p7
@pytest.mark.parametrize("same", [False, True], ids=["another object", "the same object"])
def test_unreadable_objects_of_one_uid_are_all_kept(house: House, same: bool):
    """Two objects of one UID that nobody can read are two rows and two jobs, whatever they are."""
    first = dataset(1)
    uid = str(first.SOPInstanceUID)
    receive(house, encoded(first), uid)
    receive(house, encoded(first if same else dataset(1, PatientID="P2")), uid)
    flip(house, uid)
    house.follow()
    assert house.ledger.summary()["received"]["instances"] == 2
    held = house.ledger.jobs.list([State.HELD])
    assert len(held) == len({job.spec.digest for job in held}) == 2
    flip(house, uid)
    house.follower.file_again(uid, held[0].spec.digest)
    assert (house.rows(), sizes_of_series(house)) == ([uid], [1])
    if same:
        house.follower.file_again(uid, held[1].spec.digest)
    else:
        with pytest.raises(Conflict):
            house.follower.file_again(uid, held[1].spec.digest)
    assert house.ledger.summary()["received"]["instances"] == (1 if same else 2)
    assert (house.rows(), sizes_of_series(house)) == ([uid], [1])


def test_an_object_is_counted_once_however_often_it_is_filed_again(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    """While the index fails a retry fails too, and the next counts no second Instance."""
    with monkeypatch.context() as broken:
        broken.setattr(head, "read", lambda *_: 1 / 0)
        (uid,) = receive_images(house, 1)
        house.follow()
    (job,) = house.ledger.jobs.list([State.HELD])

    def fail(*_: object) -> None:
        raise StorageFault("the index refuses")

    with monkeypatch.context() as broken:
        broken.setattr(house.index, "add", fail)
        for _ in range(2):
            with pytest.raises(StorageFault, match="refuses"):
                house.follower.file_again(uid, job.spec.digest)
    house.follower.file_again(uid, job.spec.digest)
    assert (house.rows(), sizes_of_series(house)) == ([uid], [1])


@pytest.mark.p5
@pytest.mark.parametrize("name", ["PENUMBRA_10", "P"])
def test_records_of_another_version_are_read(
    house: House, monkeypatch: pytest.MonkeyPatch, name: str
):
    """A record whose file meta another version wrote is filed, and indexed again from the log."""
    with monkeypatch.context() as older:
        end = meta.element(0x0013, b"SH", name.encode("ascii"), b" ")
        older.setattr(part10, "OWN_END", end)
        part10._behind_instance.cache_clear()
        uids = receive_images(house, 1, 2)
    part10._behind_instance.cache_clear()
    house.follow()
    assert house.rows() == uids
    house.close()
    for file in house.data_dir.glob("*.*"):
        file.unlink()
    house.open()
    house.follow()
    assert house.rows() == uids
    assert house.ledger.jobs.list([State.HELD]) == []


def test_a_rebuild_says_what_it_leaves_out(house: House):
    """What cannot be read is not indexed, and a rebuild says so."""
    (uid, other) = receive_images(house, 1, 2)
    flip(house, uid)
    house.follow()
    house.close()
    (house.data_dir / "index.duckdb").unlink()
    with structlog.testing.capture_logs() as lines:
        house.open()
    assert house.rows() == [other]
    assert {"event": "objects not indexed", "records": 1, "log_level": "warning"} in lines


def test_counting_the_lag_takes_no_news_away(house: House):
    """Whoever asks how far filing is behind does not silence the follower's bell."""
    receive_images(house, 1, 2, 3)
    assert house.follower.lag_records() == 3
    assert house.spool.wait(0), "the follower has not looked yet"
    house.follow()
    assert house.follower.lag_records() == 0
    assert not house.spool.wait(0)
    assert not house.spool._publication._unread, "memory goes with what is followed"


def test_the_index_gathers_what_comes_one_by_one(house: House, monkeypatch: pytest.MonkeyPatch):
    """Small batches reach the index together: as soon as there are enough, or at the log's end."""
    monkeypatch.setattr(follow, "BATCH", 3)
    added: list[int] = []
    add = house.index.add

    def counted(entries: Sequence[Entry], positions: Mapping[str, int]) -> None:
        added.append(len(entries))
        add(entries, positions)

    monkeypatch.setattr(house.index, "add", counted)
    uids = []
    for number in range(5):
        uids += receive_images(house, number)
        assert house.follower.step()
    assert added == [3]
    assert house.follower.step() is None
    assert added == [3, 2]
    assert house.rows() == sorted(uids)


def test_what_was_gathered_survives_a_crash(house: House):
    """Rows that the ledger has and the index did not get yet are indexed at the next start."""
    uids = receive_images(house, 1, 2)
    assert house.follower.step()
    assert house.rows() == []
    house.close()
    house.open()
    assert house.rows() == uids
