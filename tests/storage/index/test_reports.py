"""A user's SQL: what it may do, and everything that it may not."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom.errors import CannotUnderstand, Fault, OutOfResources
from storage.index.database import Entry, Index

Make = Callable[..., Entry]


def ask(index: Index, text: str, timeout_s: float = 20, max_rows: int = 10):
    return index.sql(text, timeout_s=timeout_s, max_rows=max_rows)


@pytest.fixture
def filled(index: Index, entry: Make) -> Index:
    """An index of five objects."""
    keys = {"StudyDate": "20240131", "StudyTime": "1030", "PatientName": "Doe^Jane"}
    index.add([entry(number, **keys) for number in range(1, 6)], {"seg": 5})
    return index


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("SELECT count(*) AS objects FROM objects;", ("objects",), ((5,),)),
        (
            "WITH s AS (FROM study) SELECT StudyDate, hour(StudyTime) AS hour FROM s",
            ("StudyDate", "hour"),
            ((dt.date(2024, 1, 31), 10),),
        ),
        ("VALUES (1, 'a')", ("col0", "col1"), ((1, "a"),)),
        ("SELECT 'it''s; fine' AS words", ("words",), (("it's; fine",),)),
    ],
)
def test_a_select_is_answered(
    filled: Index, text: str, columns: tuple[str, ...], rows: tuple[tuple[object, ...], ...]
) -> None:
    """Columns and rows come back typed, for every form of SELECT."""
    answer = ask(filled, text)
    assert (answer.columns, answer.rows, answer.truncated) == (columns, rows, False)


@pytest.mark.parametrize("text", ["DESCRIBE objects", "SHOW TABLES", "SUMMARIZE study"])
def test_the_tables_can_be_looked_up(filled: Index, text: str) -> None:
    """A user finds out what there is to ask about."""
    assert ask(filled, text, max_rows=1000).rows


def test_too_many_rows_are_cut_off_and_it_is_said(filled: Index) -> None:
    """More rows than allowed are left out, and the answer says so."""
    answer = ask(filled, "SELECT * FROM range(1000000000)", max_rows=3)
    assert answer.rows == ((0,), (1,), (2,))
    assert answer.truncated
    assert not ask(filled, "SELECT * FROM range(3)", max_rows=3).truncated


FORBIDDEN = [
    "INSERT INTO position VALUES ('x', 1)",
    "UPDATE study SET PatientID = 'x'",
    "DELETE FROM instance",
    "DROP TABLE instance",
    "CREATE TABLE t (a INT)",
    "CREATE TEMP TABLE t (a INT)",
    "WITH gone AS (DELETE FROM instance RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO position VALUES ('x', 1) RETURNING *) SELECT * FROM new",
    "EXPLAIN ANALYZE DELETE FROM instance",
    "SELECT 1; DELETE FROM instance",
    "SELECT 1; SELECT 2",
    "BEGIN",
    "COMMIT",
    "PREPARE p AS DELETE FROM instance",
    "SET memory_limit = '100GB'",
    "SET lock_configuration = false",
    "RESET enable_external_access",
    "PRAGMA enable_external_access = true",
    "ATTACH '{folder}/other.db'",
    "COPY study TO '{folder}/out.csv'",
    "EXPORT DATABASE '{folder}/out'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "USE memory",
    "SELECT * FROM read_text('{folder}/secret.txt')",
    "SELECT * FROM read_csv('{folder}/secret.txt')",
    "SELECT * FROM read_blob('{folder}/secret.txt')",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM parquet_scan('s3://bucket/x')",
    "SELECT * FROM query('DELETE FROM instance')",
    "SELECT getenv('PATH')",
    "SELECT * FROM secret_table",
    "SELECT * FROM python_variable",
    "SELECT nonsense FROM nowhere",
    "SELEC",
    "",
    ";",
]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_nothing_else_is_answered(filled: Index, tmp_path: Path, text: str) -> None:
    """Writing, files, extensions, settings, several statements: all refused, nothing changed."""
    python_variable = {"a": [1]}
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "secret.csv").write_text("a\nsecret\n")
    before = {one.name for one in tmp_path.iterdir()}
    with pytest.raises(CannotUnderstand):
        ask(filled, text.format(folder=tmp_path))
    assert ask(filled, "SELECT count(*) FROM instance").rows == ((5,),)
    assert filled.position() == {"seg": 5}
    assert {one.name for one in tmp_path.iterdir()} == before
    assert python_variable


def test_a_fault_speaks_with_the_databases_words(filled: Index) -> None:
    """A wrong name is told with what the database suggests instead."""
    with pytest.raises(CannotUnderstand, match="patient_nam"):
        ask(filled, "SELECT patient_nam FROM study")


@pytest.mark.p6
@pytest.mark.parametrize(
    "text",
    [
        "SELECT PatientName::INTEGER FROM study",
        "SELECT error(PatientName) FROM study",
        "SELECT strptime(PatientName, '%Y') FROM study",
    ],
)
def test_a_fault_never_quotes_a_row(filled: Index, text: str) -> None:
    """Where the database would quote a stored value in its words, they are held back."""
    with pytest.raises(Fault) as caught:
        ask(filled, text)
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    ],
)
def test_a_question_without_end_is_cut_short(filled: Index, text: str) -> None:
    """A question that takes too long is interrupted, and the index serves on."""
    with pytest.raises(OutOfResources, match=r"0\.2 s"):
        ask(filled, text, timeout_s=0.2)
    assert ask(filled, "SELECT count(*) FROM instance").rows == ((5,),)
