"""Which Series are staged for other machines."""

from dicom.entity import SeriesKey
from routing.job import Kind, NewJob
from routing.plan import with_staging

ONE, TWO = SeriesKey("1.2", "1.2.3"), SeriesKey("1.2", "1.2.4")


def job(kind: Kind, key: SeriesKey, target: str, priority: int = 0) -> NewJob:
    return NewJob(kind, key, 1, "r", target, priority=priority)


def test_each_series_that_is_owed_is_staged_once_and_first():
    """However many destinations it has; what only a model wants, stays where it is."""
    owed = [
        job(Kind.FORWARD, ONE, "lake", 4),
        job(Kind.REIDENTIFY, ONE, "pacs", 4),
        job(Kind.INFER, TWO, "lungs"),
    ]
    first, *rest = with_staging(owed, "bucket")
    assert rest == owed
    assert (first.kind, first.series, first.target) == (Kind.STAGE, ONE, "bucket")
    assert first.priority > 4


def test_without_staging_nothing_is_staged():
    """A node that has no bucket for it plans as before."""
    owed = [job(Kind.FORWARD, ONE, "lake")]
    assert with_staging(owed, "") == owed
