"""An index of an older version, and one that is read again: no row is lost, none is left wrong."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from dicom.selection import Selection
from storage.index.database import Entry, Index
from storage.index.heads import HeadRow
from storage.index.schema import VERSION

Make = Callable[..., Entry]

OLDER = """
    CREATE TABLE about (version BIGINT NOT NULL);
    INSERT INTO about VALUES ({version});
    CREATE TABLE position (segment VARCHAR PRIMARY KEY, position BIGINT NOT NULL);
    INSERT INTO position VALUES ('seg', 100);
    CREATE TABLE patient (PatientID VARCHAR NOT NULL, IssuerOfPatientID VARCHAR NOT NULL,
        PatientName VARCHAR, PRIMARY KEY (PatientID, IssuerOfPatientID));
    CREATE TABLE study (StudyInstanceUID VARCHAR PRIMARY KEY, PatientID VARCHAR NOT NULL,
        IssuerOfPatientID VARCHAR NOT NULL, PatientName VARCHAR, PatientName_folded VARCHAR,
        StudyDate DATE, AccessionNumber VARCHAR, ModalitiesInStudy VARCHAR,
        SOPClassesInStudy VARCHAR, NumberOfStudyRelatedSeries BIGINT NOT NULL,
        NumberOfStudyRelatedInstances BIGINT NOT NULL);
    CREATE TABLE series (StudyInstanceUID VARCHAR NOT NULL, SeriesInstanceUID VARCHAR NOT NULL,
        Modality VARCHAR, NumberOfSeriesRelatedInstances BIGINT NOT NULL,
        PRIMARY KEY (StudyInstanceUID, SeriesInstanceUID));
    CREATE TABLE instance (StudyInstanceUID VARCHAR NOT NULL, SeriesInstanceUID VARCHAR NOT NULL,
        SOPInstanceUID VARCHAR PRIMARY KEY, SOPClassUID VARCHAR, received_at TIMESTAMP,
        calling_ae VARCHAR, called_ae VARCHAR, address VARCHAR, association VARCHAR,
        origin VARCHAR, rule VARCHAR, transfer_syntax_uid VARCHAR, digest VARCHAR,
        segment VARCHAR, segment_offset BIGINT, length_bytes BIGINT);
    INSERT INTO patient VALUES ('7', '', 'A^B');
    INSERT INTO study VALUES ('1.2', '7', '', 'A^B', 'a^b', '2026-01-02', 'ACC', 'CT', '', 1, 2);
    INSERT INTO series VALUES ('1.2', '1.3', 'CT', 2);
    INSERT INTO instance SELECT '1.2', '1.3', '1.' || n, '1.2.840.10008.5.1.4.1.1.2',
        '2026-01-02 03:04:05', 'SCANNER', 'PENUMBRA', '', 'assoc', 'dimse', '',
        '1.2.840.10008.1.2.1',
        lpad(n::VARCHAR, 64, '0'), 'seg', n * 100, 100 FROM (VALUES (1), (9)) AS t (n);
"""


def rows(index: Index, text: str) -> tuple[tuple[object, ...], ...]:
    return index.sql(text, timeout_s=10, max_rows=100).rows


def make_older(path: Path, version: int) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(OLDER.format(version=version))


@pytest.mark.p5
@pytest.mark.parametrize("version", [1, 2])
def test_an_older_index_is_carried_over(tmp_path: Path, entry: Make, version: int):
    """Its rows are found as before, and what it did not know is read from the spool again."""
    path = tmp_path / "index.duckdb"
    make_older(path, version)
    index = Index.open(path)
    assert rows(index, "SELECT version FROM about") == ((VERSION,),)
    assert index.position() == {"seg": 100}
    found = index.instances(Selection(sop_instance_uids=("1.9",)))
    assert [one.instance.location.offset for one in found] == [900]
    assert index.renewal() == {}
    asked = "SELECT SOPInstanceUID, InstanceNumber FROM instance ORDER BY 1"
    assert rows(index, asked) == (("1.1", None), ("1.9", None))
    names = {"PatientID": "7", "PatientName": "Other^Name", "StudyDescription": "told now"}
    index.renew([entry(1, InstanceNumber="5", Modality="CT", **names)], {"seg": 100}, 1)
    assert rows(index, asked) == (("1.1", 5), ("1.9", None))  # the other has left the spool
    text = "SELECT PatientName, StudyDescription, NumberOfStudyRelatedInstances FROM study"
    assert rows(index, text) == (("A^B", "told now", 2),)
    index.end_renewal()
    assert index.renewal() is None
    index.close()
    assert not list(tmp_path.glob("*.new*"))
    again = Index.open(path)
    assert again.count() == 2
    assert again.renewal() is None
    again.close()


@pytest.mark.p5
def test_an_index_without_a_new_column_is_carried_over(tmp_path: Path, entry: Make):
    """A key that the node learns to answer is filled in; heads stay."""
    path = tmp_path / "index.duckdb"
    index = Index.open(path)
    index.add([entry(1, StudyDescription="x")], {"seg": 10})
    index.add_heads([HeadRow("1.3", "1.1", None, "{}")], {"seg": 10})
    with index._cursor() as cursor:
        cursor.execute("DROP VIEW objects")
        cursor.execute("DROP INDEX series_StudyInstanceUID_hash")
        cursor.execute("DROP INDEX series_SeriesInstanceUID_hash")
        cursor.execute("ALTER TABLE series DROP COLUMN ProtocolName")
    index.close()
    again = Index.open(path)
    assert again.renewal() == {}
    assert [head for _, head in again.heads(Selection(study_instance_uids=("1.2",)))] == [{}]
    again.renew([entry(1, ProtocolName="brain")], {"seg": 10}, 1)
    assert rows(again, "SELECT ProtocolName FROM series") == (("brain",),)
    again.close()


def test_a_newer_index_is_set_aside(tmp_path: Path):
    """What a newer program wrote is not guessed at."""
    path = tmp_path / "index.duckdb"
    make_older(path, VERSION + 1)
    index = Index.open(path)
    assert index.count() == 0
    index.close()
    assert (tmp_path / "index.duckdb.unusable").exists()


def test_a_renewal_corrects_and_adds(tmp_path: Path, entry: Make):
    """Rows that are wrong or missing are right afterwards; counts stay counts."""
    index = Index.open(tmp_path / "index.duckdb")
    index.add([entry(1, InstanceNumber="1"), entry(2, InstanceNumber="2")], {"seg": 10})
    index.change(lambda cursor: cursor.execute("UPDATE instance SET InstanceNumber = 77"))
    index.begin_renewal()
    again = [entry(n, InstanceNumber=str(n), PatientName="A^B") for n in (1, 2, 3)]
    index.renew(again, {"seg": 20}, 3)
    assert index.renewal() == {"seg": 20}
    assert index.renewed_records() == 3
    assert rows(index, "SELECT SOPInstanceUID, InstanceNumber FROM instance ORDER BY 1") == (
        ("1.1", 1), ("1.2", 2), ("1.3", 3),
    )  # fmt: skip
    counts = "SELECT NumberOfStudyRelatedInstances, NumberOfStudyRelatedSeries FROM study"
    assert rows(index, counts) == ((3, 1),)
    assert rows(index, "SELECT PatientName, PatientName_folded FROM study") == (("A^B", "a^b"),)
    index.end_renewal()
    index.close()


@pytest.mark.p7
def test_a_renewal_leaves_the_first_object_of_a_uid(tmp_path: Path, entry: Make):
    """A conflicting object that is read again changes nothing."""
    index = Index.open(tmp_path / "index.duckdb")
    index.add([entry(1, InstanceNumber="1")], {"seg": 10})
    index.begin_renewal()
    instance, texts = entry(5, SOPInstanceUID="1.1", InstanceNumber="9")
    index.renew([(instance, texts)], {"seg": 20}, 1)
    assert rows(index, "SELECT InstanceNumber FROM instance") == ((1,),)
    index.close()
