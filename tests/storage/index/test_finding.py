"""A question under way: what it holds of the index, and how it lets go."""

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from dicom.errors import StorageFault
from dicom.query import Query, Root, parse
from storage.index.database import Entry, Index


@pytest.fixture
def asked() -> Query:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = identifier.PatientComments = ""
    return parse(identifier, Root.STUDY)


def write_out(index: Index) -> None:
    """Have the index's log written to its file, which no transaction under way may see."""
    with index._cursor() as cursor:
        cursor.execute("CHECKPOINT")


def test_what_is_let_go_holds_nothing(
    index: Index, entry: Callable[..., Entry], asked: Query
) -> None:
    """A question that is let go keeps the index from nothing, and gives no more matches."""
    long = "x" * 10_000
    many = (entry(n, StudyInstanceUID=f"1.{n}", PatientComments=long) for n in range(400))
    index.add(list(many), {})
    with index.finding(asked, 400) as finding:
        assert len(finding.page(16)) == 16
        index.add([entry(1000)], {})
        with pytest.raises(StorageFault):  # it would take the question's state away
            write_out(index)
        finding.let_go()
        write_out(index)
        with pytest.raises(StorageFault):
            finding.page(16)
