"""The order of results: the newest Studies first, within them by number, and by UID at last.

The same as storage/index/select.py has in SQL. Few results are put in order here, for the database
plans a question without an order in two thirds of the time.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final

from dicom.attributes import Level
from dicom.query import Query

Row = Sequence[str]
_NEWEST: Final = ("StudyDate", "StudyTime")
_BY: Final[dict[Level, tuple[str, ...]]] = {
    Level.STUDY: ("StudyInstanceUID",),
    Level.SERIES: ("StudyInstanceUID", "SeriesNumber", "SeriesInstanceUID"),
    Level.IMAGE: ("StudyInstanceUID", "SeriesInstanceUID", "InstanceNumber", "SOPInstanceUID"),
}


def ordered(query: Query, rows: Sequence[Row]) -> Sequence[Row]:
    """Put rows of a query's returned attributes in order; all of `_BY` must be among them."""
    if len(rows) < 2:
        return rows
    places = {one.keyword: place for place, one in enumerate(query.returning)}
    keys = [_key(keyword, places[keyword]) for keyword in _BY[query.level]]
    found = sorted(rows, key=lambda row: [key(row) for key in keys])
    if query.level is Level.STUDY:
        found.sort(key=itemgetter(*(places[keyword] for keyword in _NEWEST)), reverse=True)
    return found


def _key(keyword: str, place: int) -> Callable[[Row], tuple[bool, int, str]]:
    """Make the key of one attribute; what is unknown comes last."""
    if keyword.endswith("Number"):
        return lambda row: (not row[place], int(row[place] or 0), "")
    return lambda row: (not row[place], 0, row[place])
