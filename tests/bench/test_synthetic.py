"""The made-up index of the benchmark holds what a node's own would."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.query import synthetic
from dicom.selection import Selection
from storage.index.database import Index
from storage.index.keys import HASHED, hash_column, in_sql
from storage.index.schema import COLUMNS

STUDIES = 300


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """A small one."""
    path: Path = tmp_path_factory.mktemp("synthetic") / "index.duckdb"
    synthetic.make(path, STUDIES, seed=1)
    made = Index.open(path)
    yield made
    made.close()


def ask(index: Index, words: str):
    return index.sql(words, timeout_s=20, max_rows=1000).rows


def test_studies_have_1_to_40_series_of_several_objects(index: Index):
    """Most have few; none is empty, and the counts kept are those of the rows."""
    ((studies, fewest, most, said),) = ask(
        index,
        "SELECT count(*), min(NumberOfStudyRelatedSeries), max(NumberOfStudyRelatedSeries),"
        " sum(NumberOfStudyRelatedInstances) FROM study",
    )
    assert (studies, fewest) == (STUDIES, 1)
    assert 10 < most <= synthetic.MOST_SERIES
    (series,) = ask(index, "SELECT count(*), sum(NumberOfSeriesRelatedInstances) FROM series")
    assert index.count() == said == series[1] > 2 * series[0] > 3 * STUDIES
    unlike = (
        "SELECT * FROM study WHERE NumberOfStudyRelatedInstances <>"
        " (SELECT count(*) FROM instance WHERE StudyInstanceUID = study.StudyInstanceUID)"
    )
    assert ask(index, unlike) == ()


@pytest.mark.parametrize("table", ["study", "series", "instance"])
def test_rows_are_found_by_their_numbers(index: Index, table: str):
    """What stands beside a UID is the number that the index looks for."""
    columns = {column.name for column in COLUMNS[table]}
    for keyword in sorted(HASHED & columns):
        wrong = f"{hash_column(keyword)} <> {in_sql(keyword)}"
        assert ask(index, f"SELECT count(*) FROM {table} WHERE {wrong}") == ((0,),)
        ((uid,),) = ask(index, f"SELECT {keyword} FROM {table} LIMIT 1")
        names = {
            "StudyInstanceUID": "study_instance_uids",
            "SeriesInstanceUID": "series_instance_uids",
            "SOPInstanceUID": "sop_instance_uids",
        }
        assert index.instances(Selection(**{names[keyword]: (uid,)}))
