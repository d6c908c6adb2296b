"""Heads in the index: as the objects tell them, stored by difference, filled behind the rows."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from dicom import json_patch
from dicom.entity import Arrival
from dicom.errors import StorageFault
from dicom.json_head import head_json
from dicom.json_text import Parts, head_text
from dicom.part10 import file_meta
from dicom.selection import Selection
from storage.index.database import Index
from storage.ledger.arriving import ReadingHere
from storage.ledger.indexing import Indexing
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def dataset(number: int, series: str = "1.3", **extra: str) -> bytes:
    """A slice of a Series, with much that all have in common."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CT, f"1.2.9.{number}"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2", series
    made.Modality, made.InstanceNumber = "CT", str(number)
    made.PatientName, made.PatientID = "Müller^Jörg", "77"
    made.ImageComments = "a text that all the objects have in common " * 20
    if number % 2:
        made.SeriesDescription = "of some"
    for keyword, value in extra.items():
        setattr(made, keyword, value)
    made.SpecificCharacterSet = "ISO_IR 100"
    out = io.BytesIO()
    dcmwrite(out, made, implicit_vr=False, little_endian=True)
    return out.getvalue()


class House:
    """A spool, and the index that is filled from it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.duckdb"
        self.spool = Spool.open(folder / "spool", segment_bytes=1 << 20, reserve_bytes=0)
        self.reader = SpoolReader(folder / "spool")
        self.open()

    def open(self) -> None:
        self.index = Index.open(self.path)
        self.readings = ReadingHere(self.reader)
        self.indexing = Indexing(self.spool, self.index, self.readings)

    def store(self, number: int, content: bytes) -> None:
        arrival = Arrival(CT, f"1.2.9.{number}", EXPLICIT, "", "", "", "", 1.7e9)
        with self.spool.begin(arrival) as recording:
            recording.write(file_meta(arrival) + content)
            recording.commit()

    def follow(self, most: int = 100) -> None:
        while self.indexing.catch_up(most):
            pass

    def fill(self, most: int = 100) -> int:
        looked_at = 0
        while count := self.indexing.fill_heads(most):
            looked_at += count
        return looked_at

    def heads(self, **which: tuple[str, ...]) -> dict[str, object]:
        asked = Selection(**which) if which else Selection(study_instance_uids=("1.2",))
        return {
            one.instance.arrival.sop_instance_uid: head for one, head in self.index.heads(asked)
        }

    def own(self) -> dict[str, object]:
        """The heads as the objects themselves tell them."""
        found = {}
        for record in self.spool.records({}):
            with self.reader.open(record.location) as stream:
                found[record.arrival.sop_instance_uid] = head_json(stream, EXPLICIT)
        return found

    def close(self) -> None:
        self.index.close()
        self.spool.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def test_heads_are_what_the_objects_tell(house: House):
    """Whole or by difference, each head comes back as its object's bytes give it."""
    for number in range(12):
        house.store(number, dataset(number, series="1.3" if number < 8 else "1.4"))
    house.follow()
    assert list(house.heads().values()) == [None] * 12
    assert house.fill(most=5) == 12
    assert house.heads() == house.own()
    assert house.heads(sop_instance_uids=("1.2.9.3",)) == {"1.2.9.3": house.own()["1.2.9.3"]}
    whole = "SELECT count(*) FILTER (base IS NULL), count(*) FROM head_stored"
    assert house.index.sql(whole, timeout_s=5, max_rows=1).rows == ((2, 12),)


def test_sql_sees_heads_whole(house: House):
    """The view undoes the differences, also where an element is gone or changed its form."""
    contents = [dataset(1), dataset(2), dataset(3, SeriesDescription="")]
    for number, content in enumerate(contents, 1):
        house.store(number, content)
    house.follow()
    house.fill()
    text = """SELECT SOPInstanceUID, head->>'$."00100010".Value[0].Alphabetic',
        head->>'$."0008103E".Value[0]', head->>'$."00200013".Value[0]'
        FROM head ORDER BY 1"""
    assert house.index.sql(text, timeout_s=5, max_rows=9).rows == (
        ("1.2.9.1", "Müller^Jörg", "of some", "1"),
        ("1.2.9.2", "Müller^Jörg", None, "2"),
        ("1.2.9.3", "Müller^Jörg", None, "3"),
    )


@pytest.mark.p5
def test_heads_go_on_where_they_were(house: House):
    """After a restart nothing is made twice, and what is missing is made."""
    for number in range(3):
        house.store(number, dataset(number))
    house.follow()
    assert house.indexing.fill_heads(2) == 2
    house.index.close()
    house.open()
    assert house.fill() == 1
    house.store(5, dataset(5))
    assert house.fill() == 0  # its row is not there yet
    house.follow()
    assert house.index.wholly_read() != house.index.position()
    assert house.fill() == 1
    assert house.index.wholly_read() == house.index.position()
    assert house.heads() == house.own()


def test_a_renewal_makes_missing_heads_alone(house: House):
    """When the spool is read again, heads that are there stay as they are."""
    for number in range(4):
        house.store(number, dataset(number))
    house.follow()
    house.fill()
    house.index.change(
        lambda cursor: cursor.execute("DELETE FROM head_stored WHERE SOPInstanceUID = '1.2.9.2'")
    )
    house.index.begin_renewal()
    while house.indexing.renew(100):
        pass
    assert house.fill() == 4
    assert house.heads() == house.own()
    count = house.index.sql("SELECT count(*) FROM head_stored", timeout_s=5, max_rows=1)
    assert count.rows == ((4,),)


def test_a_batch_that_failed_is_made_again(house: House, monkeypatch: pytest.MonkeyPatch):
    """Heads that were not stored are not referred to by later ones."""
    for number in range(4):
        house.store(number, dataset(number))
    house.follow()
    with monkeypatch.context() as patch:

        def broken(*_: object) -> None:
            raise StorageFault("no")

        patch.setattr(house.index, "add_heads", broken)
        with pytest.raises(StorageFault):
            house.fill()
    house.fill()
    assert house.heads() == house.own()


def test_only_the_first_object_of_a_uid_gives_its_head(house: House):
    """A second object under the same UID is a conflict, and changes no head (P7)."""
    house.store(1, dataset(1))
    house.store(1, dataset(1, StudyDescription="another one"))
    house.follow()
    assert house.fill() == 2
    (found,) = house.heads().values()
    assert "another" not in str(found)
    count = house.index.sql("SELECT count(*) FROM head_stored", timeout_s=5, max_rows=1)
    assert count.rows == ((1,),)


def test_what_cannot_be_read_has_no_head(house: House):
    """An object too large for the index, or broken, is passed over."""
    house.store(1, dataset(1))
    house.store(2, dataset(2))
    house.follow()
    house.readings._heading.head = lambda record: None  # type: ignore[method-assign]  # as a broken one
    assert house.fill() == 2
    assert list(house.heads().values()) == [None, None]
    assert house.index.wholly_read() == house.index.position()


TEXTS = st.sampled_from(
    ['{"vr":"LO"}', '{"vr":"LO","Value":["a"]}', '{"vr":"LO","Value":["b",null]}',
     '{"vr":"UN","InlineBinary":"AA=="}', '{"vr":"OB","BulkDataURI":"x"}',
     '{"vr":"SQ","Value":[{"00080018":{"vr":"UI"}}]}']
)  # fmt: skip
HEADS = st.dictionaries(st.sampled_from([0x00080018, 0x00100010, 0x00200013, 0x7FE00010]), TEXTS)


def parts(of: dict[int, str]) -> Parts:
    return {tag: f'"{tag:08X}":{text}' for tag, text in sorted(of.items())}


@given(base=HEADS.map(parts), own=HEADS.map(parts))
def test_a_difference_can_be_undone(base: Parts, own: Parts):
    """In Python as in SQL (RFC 7396), whatever appears, changes its form or goes."""
    padding = {1: f'"00000001":{{"vr":"LO","Value":["{"x" * 999}"]}}'}
    text = json_patch.patch_text({**padding, **base}, {**padding, **own})
    assert text is not None
    former = json_patch.read(head_text({**padding, **base}))
    wanted = json_patch.read(head_text({**padding, **own}))
    assert json_patch.patched(former, json_patch.read(text)) == wanted
    assert merged(former, json_patch.read(text)) == wanted


def merged(target: object, patch: object) -> object:
    """RFC 7396, as it is written there."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merged(out.get(name), value)
    return out
