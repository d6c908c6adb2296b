"""What a retrieval names is found, all of it and nothing else, in the order people look at it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom.selection import Selection
from storage.index.database import Entry, Index
from storage.index.keys import MOST

Make = Callable[..., Entry]
NONE = ("9.9",)
MANY = tuple(f"9.{number}" for number in range(50))
MORE = tuple(f"9.{number}" for number in range(MOST + 1))
"""So many that no index is asked."""

# Instance, Study, Series, SeriesNumber, InstanceNumber and PatientID, in the order of arrival.
OBJECTS = (
    ("1.1", "2.1", "3.1", "2", "10", "A"),
    ("1.2", "2.1", "3.1", "2", "9", "A"),
    ("1.3", "2.1", "3.1", "2", "", "A"),
    ("1.4", "2.1", "3.2", "", "1", "A"),
    ("1.5", "2.1", "3.3", "1", "1", "A"),
    ("1.6", "2.2", "3.4", "1", "1", "A"),
    ("1.7", "2.3", "3.5", "1", "1", "B"),
    # A Series UID that another Study has as well.
    ("1.8", "2.3", "3.1", "2", "1", "B"),
)
OF_2_1 = ["1.5", "1.2", "1.1", "1.3", "1.4"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, entries: Make) -> Iterator[Index]:
    """An index of all of them."""
    path: Path = tmp_path_factory.mktemp("selected") / "index.duckdb"
    index = Index.open(path)
    made = [
        entries(number, SOPInstanceUID=uid, StudyInstanceUID=study, SeriesInstanceUID=series,
                SeriesNumber=series_number, InstanceNumber=instance_number, PatientID=patient)
        for number, (uid, study, series, series_number, instance_number, patient)
        in enumerate(OBJECTS)
    ]  # fmt: skip
    index.add(made, {})
    yield index
    index.close()


@pytest.mark.parametrize(
    ("which", "uids"),
    [
        (Selection(patient_ids=("A",)), [*OF_2_1, "1.6"]),
        (Selection(patient_ids=("A", "B")), [*OF_2_1, "1.6", "1.7", "1.8"]),
        (Selection(patient_ids=("A",), study_instance_uids=("2.2", "2.3")), ["1.6"]),
        (Selection(patient_ids=("A",), study_instance_uids=("2.3",)), []),
        (Selection(patient_ids=("nobody",)), []),
        (Selection(study_instance_uids=("2.1",)), OF_2_1),
        (Selection(study_instance_uids=("2.3", *NONE)), ["1.7", "1.8"]),
        (Selection(study_instance_uids=("2.2", *MANY)), ["1.6"]),
        (Selection(study_instance_uids=("2.2", *MORE)), ["1.6"]),
        (Selection(study_instance_uids=("2.1",), series_instance_uids=("3.1",)), OF_2_1[1:4]),
        (Selection(series_instance_uids=("3.1",)), [*OF_2_1[1:4], "1.8"]),
        (Selection(sop_instance_uids=("1.4", "1.1")), ["1.1", "1.4"]),
        (Selection(sop_instance_uids=("1.7", *MORE)), ["1.7"]),
        (Selection(study_instance_uids=("2.2",), sop_instance_uids=("1.1",)), []),
        (Selection(sop_instance_uids=NONE), []),
        (Selection(sop_instance_uids=("' OR 1=1 --",)), []),
    ],
    ids=str,
)
def test_a_selection_is_found_in_order(filled: Index, which: Selection, uids: list[str]):
    """By Study, SeriesNumber, Series and InstanceNumber; what has no number comes last."""
    found = filled.instances(which)
    assert [one.instance.arrival.sop_instance_uid for one in found] == uids


def test_what_is_found_says_where_it_was_filed(filled: Index, entries: Make):
    """A Stored object holds all that its Instance was added with."""
    (found,) = filled.instances(Selection(sop_instance_uids=("1.8",)))
    wanted, _ = entries(7, SOPInstanceUID="1.8")
    assert (found.study_instance_uid, found.series_instance_uid) == ("2.3", "3.1")
    assert found.instance == wanted
