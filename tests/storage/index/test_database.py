"""The index file: what it keeps, how it survives, and what happens when it does not."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import data_store
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom import charset, head, part10
from dicom.attributes import CATALOGUE
from dicom.entity import Arrival, Instance, Location
from dicom.errors import CannotUnderstand, StorageFault
from dicom.query import Root, parse
from storage.index.database import Entry, Index

Make = Callable[..., Entry]
FOLDERS = [Path(one.__path__[0]) for one in (pydicom, data_store)]
REAL = sorted(path for folder in FOLDERS for path in folder.rglob("*.dcm"))


def found(index: Index, level: str = "STUDY", root: Root = Root.STUDY, **keys: str):
    """Find through an identifier; every key is returned."""
    identifier = Dataset()
    identifier.add_new(0x00080052, "CS", level)
    for keyword, value in keys.items():
        identifier.add_new(CATALOGUE[keyword].tag, "PN" if "Name" in keyword else "LO", value)
    return list(index.find(parse(identifier, root), 1000))


STUDY = {
    "StudyInstanceUID": "",
    "ModalitiesInStudy": "",
    "SOPClassesInStudy": "",
    "NumberOfStudyRelatedSeries": "",
    "NumberOfStudyRelatedInstances": "",
}


def test_counts_grow_with_every_object(index: Index, entry: Make) -> None:
    """A Study counts its Series, Instances, modalities and SOP classes over several batches."""
    index.add([entry(1), entry(2)], {"seg": 2})
    index.add([entry(3), entry(4, SeriesInstanceUID="1.4", Modality="SR", SOPClassUID="9.9")], {})
    index.add([entry(5, StudyInstanceUID="2.2")], {})
    assert found(index, **STUDY) == [
        {
            "StudyInstanceUID": "1.2",
            "ModalitiesInStudy": "CT\\SR",
            "SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.2\\9.9",
            "NumberOfStudyRelatedSeries": "2",
            "NumberOfStudyRelatedInstances": "4",
        },
        {
            "StudyInstanceUID": "2.2",
            "ModalitiesInStudy": "CT",
            "SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.2",
            "NumberOfStudyRelatedSeries": "1",
            "NumberOfStudyRelatedInstances": "1",
        },
    ]
    series = found(
        index,
        "SERIES",
        StudyInstanceUID="1.2",
        SeriesInstanceUID="",
        NumberOfSeriesRelatedInstances="",
    )
    assert [one["NumberOfSeriesRelatedInstances"] for one in series] == ["3", "1"]


@pytest.mark.p7
def test_a_duplicate_never_makes_a_second_row(index: Index, entry: Make) -> None:
    """The first object of a UID stays, within a batch and between batches, and is counted once."""
    first = entry(1, digest="a" * 64, InstanceNumber="1")
    index.add([first, entry(1, digest="b" * 64, InstanceNumber="2")], {"seg": 2})
    index.add([entry(1, digest="c" * 64, InstanceNumber="3"), first], {"seg": 4})
    answer = index.sql("SELECT digest, InstanceNumber FROM instance", timeout_s=5, max_rows=9)
    assert answer.rows == (("a" * 64, 1),)
    assert found(index, **STUDY)[0]["NumberOfStudyRelatedInstances"] == "1"
    assert index.position() == {"seg": 4}


def test_the_first_object_speaks_for_its_study(index: Index, entry: Make) -> None:
    """Where objects of a Study disagree, the first one's word stays."""
    index.add([entry(1, PatientID="P1", StudyDate="20240101"), entry(2, PatientID="P2")], {})
    index.add([entry(3, PatientID="P3", StudyDate="20250101")], {})
    assert found(index, PatientID="", StudyDate="") == [
        {"PatientID": "P1", "StudyDate": "20240101"}
    ]


def test_a_patient_is_found_with_all_studies(index: Index, entry: Make) -> None:
    """Patient Root counts over every Study of a Patient; another issuer is another Patient."""
    index.add(
        [
            entry(1, PatientID="P1", PatientName="Doe^John"),
            entry(2, PatientID="P1", StudyInstanceUID="2.2"),
            entry(3, PatientID="P1", StudyInstanceUID="2.3", IssuerOfPatientID="elsewhere"),
        ],
        {},
    )
    answer = found(
        index,
        "PATIENT",
        Root.PATIENT,
        PatientID="P1",
        PatientName="",
        IssuerOfPatientID="",
        NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="",
        NumberOfPatientRelatedInstances="",
    )
    numbers = {"NumberOfPatientRelatedSeries": "2", "NumberOfPatientRelatedInstances": "2"}
    here, elsewhere = sorted(answer, key=lambda one: one["IssuerOfPatientID"])
    assert here == {
        "PatientID": "P1",
        "PatientName": "Doe^John",
        "IssuerOfPatientID": "",
        "NumberOfPatientRelatedStudies": "2",
        **numbers,
    }
    assert elsewhere["NumberOfPatientRelatedStudies"] == "1"


def test_provenance_stands_beside_every_instance(index: Index, entry: Make) -> None:
    """SQL tells where an object came from and where its bytes lie."""
    index.add([entry(7)], {})
    answer = index.sql(
        "SELECT calling_ae, association, origin, transfer_syntax_uid, segment, segment_offset,"
        " length_bytes, received_at::VARCHAR, modality FROM objects",
        timeout_s=5,
        max_rows=9,
    )
    assert answer.rows == (
        ("SCANNER", "assoc", "dimse", "1.2.840.10008.1.2.1", "seg", 700, 100,
         "2023-11-14 22:13:20", "CT"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({"StudyDate": "not a date"}, {"StudyDate": ""}),
        ({"StudyDate": "2024.01.31"}, {"StudyDate": "20240131"}),
        ({"StudyTime": "99"}, {"StudyTime": ""}),
        ({"StudyTime": "1030"}, {"StudyTime": "103000"}),
        ({"PatientName": "Doe\\Roe"}, {"PatientName": "Doe\\Roe"}),
        ({"AccessionNumber": "A" * 5000}, {"AccessionNumber": "A" * 5000}),
        ({"StudyDescription": "a\0b"}, {"StudyDescription": "ab"}),
    ],
)
def test_a_wrong_value_costs_itself_only(
    index: Index, entry: Make, keys: dict[str, str], kept: dict[str, str]
) -> None:
    """A value that breaks its representation is left out or kept as it is; the rest is indexed."""
    index.add([entry(1, **keys), entry(2, StudyInstanceUID="2.2")], {"seg": 2})
    everything = dict.fromkeys(keys, "")
    answer = found(index, StudyInstanceUID="1.2", **everything)
    assert answer == [{"StudyInstanceUID": "1.2", **kept}]
    assert len(found(index, StudyInstanceUID="")) == 2


@pytest.mark.parametrize("number", ["x", "1e9", "99999999999999999999", "1\\2"])
def test_a_wrong_number_is_left_out(index: Index, entry: Make, number: str) -> None:
    """An IS that is no integer, or none that fits, is unknown."""
    index.add([entry(1, InstanceNumber=number, SeriesNumber=number)], {})
    answer = index.sql("SELECT InstanceNumber, SeriesNumber FROM objects", timeout_s=5, max_rows=9)
    assert answer.rows == ((None, None),)


def test_objects_without_a_place_are_passed_over(index: Index, entry: Make) -> None:
    """An object without Study or Series UID is not indexed, and the others are."""
    index.add([entry(1, StudyInstanceUID=""), entry(2, SeriesInstanceUID=""), entry(3)], {"s": 1})
    assert found(index, **STUDY)[0]["NumberOfStudyRelatedInstances"] == "1"
    assert index.position() == {"s": 1}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_bytes_in_any_key_are_indexed(
    tmp_path_factory: pytest.TempPathFactory, entry: Make, data: st.DataObject
) -> None:
    """Whatever bytes stand in the keys of a batch, every object of it is found."""
    index = Index.open(tmp_path_factory.mktemp("index") / "index.duckdb")
    keywords = sorted(set(CATALOGUE) - {"Rows", "Columns"})
    batch = []
    for number in range(3):
        keys = st.dictionaries(st.sampled_from(keywords), st.binary(max_size=12), max_size=5)
        instance, texts = entry(number)
        for keyword, raw in data.draw(keys).items():
            if not keyword.endswith(("InstanceUID", "SOPClassUID")):
                texts = {
                    **texts,
                    keyword: charset.of_raw(raw, CATALOGUE[keyword].vr, charset.ASCII),
                }
        batch.append((instance, texts))
    index.add(batch, {})
    answer = found(index, **dict.fromkeys(STUDY, ""))
    index.close()
    assert answer[0]["NumberOfStudyRelatedInstances"] == "3"


def test_real_heads_are_indexed(index: Index) -> None:
    """Every real object of pydicom's that can be read is found again under its own values."""
    batch: list[Entry] = []
    uids: set[str] = set()
    for number, path in enumerate(REAL):
        try:
            read = part10.read_head(path.read_bytes())
        except CannotUnderstand:
            continue
        keys = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
        texts = head.of_dataset(read)
        if not all(map(texts.get, keys)):
            continue
        uid = texts["SOPInstanceUID"]
        arrival = Arrival("1.2", uid, read.file_meta.TransferSyntaxUID, "A", "B", "c", "d", 1.0)
        batch.append((Instance(arrival, Location("s", number, 1), f"{number:064x}"), texts))
        uids.add(uid)
    assert len(uids) > 60
    index.add(batch, {"s": len(batch)})
    rows = index.sql("SELECT SOPInstanceUID FROM objects", timeout_s=5, max_rows=1000).rows
    assert {row[0] for row in rows} == uids
    answer = found(
        index, PatientID="1CT1", PatientName="", StudyDate="", StudyTime="", StudyDescription=""
    )
    assert answer == [
        {
            "PatientID": "1CT1",
            "PatientName": "CompressedSamples^CT1",
            "StudyDate": "20040119",
            "StudyTime": "072730",
            "StudyDescription": "e+1",
        }
    ]


def test_readers_and_a_writer_work_at_once(index: Index, entry: Make) -> None:
    """Threads that search while a batch is written each see whole batches."""
    stop = threading.Event()
    seen: list[set[int]] = []

    def read() -> None:
        mine: set[int] = set()
        while not stop.is_set():
            answers: list[Mapping[str, str]] = found(index, **STUDY)
            mine.update(int(one["NumberOfStudyRelatedInstances"]) % 10 for one in answers)
        seen.append(mine)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for batch in range(10):
        index.add([entry(batch * 10 + one) for one in range(10)], {"seg": batch})
    stop.set()
    for reader in readers:
        reader.join(20)
    assert len(seen) == 3
    assert set.union(*seen) <= {0}
    assert found(index, **STUDY)[0]["NumberOfStudyRelatedInstances"] == "100"


def test_a_search_sees_one_moment(index: Index, entry: Make) -> None:
    """Matches that are still being fetched are those of the moment the search began."""
    index.add([entry(n, StudyInstanceUID=f"1.{n}") for n in range(1, 301)], {})
    identifier = Dataset()
    identifier.add_new(0x00080052, "CS", "STUDY")
    matches = index.find(parse(identifier, Root.STUDY), 1000)
    next(matches)
    index.add([entry(999, StudyInstanceUID="9.9")], {})
    assert len(list(matches)) == 299
    assert len(list(index.find(parse(identifier, Root.STUDY), 100))) == 100


def test_a_closed_index_says_so(tmp_path: Path) -> None:
    """After close, a search is a fault and no crash."""
    index = Index.open(tmp_path / "index.duckdb")
    index.close()
    with pytest.raises(StorageFault):
        index.position()
