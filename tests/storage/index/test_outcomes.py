"""What became of each object is asked for in one table."""

from collections.abc import Callable

from storage.index.database import Entry, Index
from storage.index.offered import Role, offered

Make = Callable[..., Entry]
JOBS = """
    INSERT INTO job BY NAME SELECT * FROM (VALUES
        (1, 'forward', '1.2', '1.3', 1, 'all', 'lake', 'held', TIMESTAMP '2026-01-01'),
        (2, 'forward', '1.2', '1.3', 2, 'all', 'lake', 'done', TIMESTAMP '2026-01-02'),
        (3, 'infer', '1.2', NULL, 1, 'ask', 'model', 'waiting', NULL),
        (4, 'forward', '1.2', '1.4', 1, 'all', 'lake', 'dropped', TIMESTAMP '2026-01-03')
    ) AS made(id, kind, StudyInstanceUID, SeriesInstanceUID, revision, rule, target, state,
        ended_at)"""
DELIVERIES = """
    INSERT INTO delivery BY NAME SELECT * FROM (VALUES
        (1, 1, 'lake', '1.1', 'status', TIMESTAMP '2026-01-01'),
        (2, 2, 'lake', '1.1', 'read-back', TIMESTAMP '2026-01-02'),
        (3, 9, 'other', '1.2', 'read-back', TIMESTAMP '2026-01-02')
    ) AS made(id, job, destination, source_uid, proof, delivered_at)"""
COLUMNS = ("SOPInstanceUID", "job", "target", "state", "proof")


def test_an_object_stands_beside_its_last_jobs(index: Index, entry: Make):
    """Each rule and target once, by its last job; what nobody asked for is there without one."""
    index.add(
        [
            entry(1), entry(2), entry(3, SeriesInstanceUID="1.4"),
            entry(4, StudyInstanceUID="1.9", SeriesInstanceUID="1.5"),
        ],
        {},
    )  # fmt: skip

    def tell(cursor):
        cursor.execute(JOBS)
        cursor.execute(DELIVERIES)

    index.change(tell)
    words = offered(Role.IDENTIFIED)["outcome"].select(COLUMNS) + " ORDER BY ALL"
    with index.reading() as cursor:
        found = cursor.execute(words).fetchall()
    assert found == [
        ("1.1", 2, "lake", "done", "read-back"),
        ("1.1", 3, "model", "waiting", None),
        ("1.2", 2, "lake", "done", None),
        ("1.2", 3, "model", "waiting", None),
        ("1.3", 3, "model", "waiting", None),
        ("1.3", 4, "lake", "dropped", None),
        ("1.4", None, None, None, None),
    ]
