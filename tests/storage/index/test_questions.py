"""Questions in a process of their own: forms, limits, parameters, and how many at once."""

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from dicom.errors import CannotUnderstand, Fault, OutOfResources
from storage.index import question_process
from storage.index import questions as module
from storage.index.database import Entry, Index
from storage.index.offered import Role
from storage.index.questions import Answer, Limits, Question, Questions

Ask = Callable[..., Answer]
CANARIES = ("KANARIENVOGEL", "ZZ-4711", "ACC-0815", "19470811", "1947", "9.8.7.6", "DRHOUSE")
KEYS = {
    "PatientName": "KANARIENVOGEL^HANS", "PatientID": "ZZ-4711", "AccessionNumber": "ACC-0815",
    "PatientBirthDate": "19470811", "StudyInstanceUID": "9.8.7.6.1", "StudyID": "KANARIENVOGEL",
    "SeriesInstanceUID": "9.8.7.6.2", "ReferringPhysicianName": "DRHOUSE^G",
    "StudyDescription": "KANARIENVOGEL", "SeriesDescription": "KANARIENVOGEL",
    "StudyDate": "20260131", "StudyTime": "1030", "ProtocolName": "THORAX",
}  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory, entries: Callable[..., Entry]) -> Iterator[Index]:
    """An index of twelve objects in one Series of a patient who must not be named."""
    made = Index.open(tmp_path_factory.mktemp("questions") / "index.duckdb")
    objects = [
        entries(number, SOPInstanceUID=f"9.8.7.6.3.{number}", **KEYS) for number in range(1, 13)
    ]
    made.add(objects, {"seg": 12})
    yield made
    made.close()


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    """A folder of files that nobody asked about."""
    folder = tmp_path_factory.mktemp("secret")
    for name in ("secret.txt", "secret.csv", "secret.json"):
        (folder / name).write_text('{"a": "KANARIENVOGEL"}\n')
    return folder


@pytest.fixture(scope="module")
def ask(index: Index, tmp_path_factory) -> Ask:
    """Ask with the usual limits."""
    desk = Questions(index, Limits(memory_mb=256, answer_mb=4), tmp_path_factory.mktemp("answers"))

    def asked(sql: str, role: Role = Role.PLAIN, **how) -> Answer:
        return desk.ask(Question(sql, how.pop("parameters", {}), **how), role)

    return asked


def rows(answer: Answer) -> list[list[object]]:
    """Read an answer in JSON."""
    return json.loads(b"".join(answer.chunks()))["rows"]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) FROM instance", [[12]]),
        ("FROM study SELECT StudyDate, hour(StudyTime)", [["2026-01-31", 10]]),
        (
            """WITH s AS (SELECT * FROM series) SELECT Modality, ProtocolName, count(*)
            FROM s JOIN instance USING (study_key, series_key) GROUP BY ALL""",
            [["CT", "THORAX", 12]],
        ),
        ("SELECT count(*) FROM instance NATURAL JOIN series", [[12]]),
        ("SELECT s.Modality FROM (SELECT t FROM series t) q(s)", [["CT"]]),
        ("VALUES (1::DECIMAL(5, 2), 'x')", [["1.00", "x"]]),
        ("SELECT sum(r) FROM range(5) t(r)", [[10]]),
        (
            """WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5)
            SELECT max(n) FROM r""",
            [[5]],
        ),
        ("WITH study AS (SELECT 7 AS x) SELECT x FROM study", [[7]]),
        ("SELECT 'it''s; DROP TABLE study' AS words", [["it's; DROP TABLE study"]]),
    ],
)
def test_a_select_is_answered(ask: Ask, sql: str, expected: list[object]):
    """Every usual form of SELECT is answered from the tables that are offered."""
    assert rows(ask(sql)) == expected


def test_each_form_has_the_same_rows(ask: Ask):
    """JSON, lines, CSV and Parquet carry the same answer, with its columns."""
    sql = (
        "SELECT InstanceNumber, 'a;\"b\n' AS words, received_at FROM instance ORDER BY instance_key"
    )

    def bytes_of(form: str) -> bytes:
        answer = ask(sql, form=form)
        content = b"".join(answer.chunks())
        assert (answer.rows, answer.size_bytes) == (12, len(content))
        assert [name for name, _ in answer.columns] == ["InstanceNumber", "words", "received_at"]
        return content

    whole = json.loads(bytes_of("json"))
    assert whole["types"] == ["BIGINT", "VARCHAR", "TIMESTAMP"]
    lines = [json.loads(line) for line in bytes_of("lines").splitlines()]
    assert [list(line.values()) for line in lines] == whole["rows"]
    read = list(csv.reader(io.StringIO(bytes_of("csv").decode(), newline="")))
    assert [line[1:] for line in read[1:]] == [row[1:] for row in whole["rows"]]
    table = parquet.read_table(io.BytesIO(bytes_of("parquet")))
    assert table.column("words").to_pylist() == [row[1] for row in whole["rows"]]


@pytest.mark.parametrize("form", ["json", "lines", "csv", "parquet"])
def test_too_many_rows_are_cut_off_and_it_is_said(ask: Ask, form: str):
    """No more rows than allowed, and the answer says that there were more, if there were."""
    answer = ask("SELECT * FROM range(100000)", form=form, max_rows=7)
    assert (answer.rows, answer.truncated) == (7, True)
    answer.file.close()
    answer = ask("SELECT * FROM range(7)", form=form, max_rows=7)
    assert (answer.rows, answer.truncated) == (7, False)
    answer.file.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
        """SELECT count(*) FROM range(10000000000) t(r)
        WHERE regexp_matches(r::VARCHAR || repeat('a', 200), '(a+)+(a+)+(a+)+b')""",
    ],
    ids=["join", "recursion", "regex"],
)
def test_a_question_without_end_is_cut_short(ask: Ask, sql: str):
    """What takes too long ends within a second of its time, and the next question is answered."""
    began_s = time.monotonic()
    with pytest.raises(OutOfResources, match=r"0\.5 s"):
        ask(sql, timeout_s=0.5)
    assert time.monotonic() - began_s < 0.5 + 1
    assert rows(ask("SELECT 1")) == [[1]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 4000000000)",
        "SELECT list_sum(range(2000000000))",
        "SELECT string_agg(repeat('y', 100000), '') FROM range(1000000)",
        "SELECT array_agg(range) FROM range(1000000000)",
    ],
)
def test_a_question_that_eats_memory_harms_itself_alone(ask: Ask, sql: str):
    """A question gets its memory and no more; what the front has stays as it is."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OutOfResources):
        ask(sql, timeout_s=20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10
    assert rows(ask("SELECT 1")) == [[1]]


def test_an_answer_has_a_length_at_most(ask: Ask):
    """An answer that would fill the disk is refused."""
    with pytest.raises(OutOfResources, match="answer_mb"):
        ask("SELECT repeat('x', 1000) FROM range(10000)", form="csv", max_rows=100_000)


def test_a_process_that_dies_is_a_refusal(ask: Ask, monkeypatch):
    """Should DuckDB break, the question is refused and the front goes on."""
    monkeypatch.setattr(module, "_MODULE", "storage.index.there_is_no_such_module")
    with pytest.raises(OutOfResources, match="broke the process"):
        ask("SELECT 1")


def test_so_many_questions_at_once_and_no_more(index: Index, tmp_path: Path, monkeypatch):
    """Beyond the limit a question waits for its turn, and is refused when none comes."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    desk = Questions(index, Limits(at_once=1), tmp_path)
    long = Question("SELECT sum(r) FROM range(1000000000000) t(r)", timeout_s=1.5)
    done: list[Fault] = []

    def ask_long() -> None:
        try:
            desk.ask(long, Role.PLAIN)
        except Fault as fault:
            done.append(fault)

    thread = threading.Thread(target=ask_long)
    thread.start()
    while desk._turns._value:
        time.sleep(0.005)
    with pytest.raises(OutOfResources, match="1 questions"):
        desk.ask(Question("SELECT 1"), Role.PLAIN)
    thread.join()
    assert [type(one) for one in done] == [OutOfResources]
    assert rows(desk.ask(Question("SELECT 1"), Role.PLAIN)) == [[1]]


@pytest.mark.parametrize(
    "value", ["' OR 1=1 --", "'; DROP TABLE study; --", "CT", "$x", "\\", "x" * 1000, "Ä"]
)
def test_a_parameter_is_a_value_and_nothing_else(ask: Ask, value: str):
    """Whatever stands in a parameter is compared, never read as SQL."""
    found = rows(
        ask("SELECT count(*), $v FROM series WHERE Modality = $v", parameters={"v": value})
    )
    assert found == [[int(value == "CT"), value]]


def test_a_missing_parameter_is_named(ask: Ask):
    """A question that asks for a parameter says which one is missing; one too many is no matter."""
    with pytest.raises(CannotUnderstand, match="parameters: day"):
        ask("SELECT $day", parameters={"other": "1"})
    assert rows(ask("SELECT $a", parameters={"a": "1", "b": "2"})) == [["1"]]


def test_questions_see_what_came_last(index: Index, ask: Ask, entry: Callable[..., Entry]):
    """An object is counted as soon as it is in the index: nothing is copied beforehand."""
    before = rows(ask("SELECT count(*) FROM instance"))[0][0]
    index.add(
        [entry(99, SOPInstanceUID="7.7", StudyInstanceUID="7.1", SeriesInstanceUID="7.2")], {}
    )
    assert rows(ask("SELECT count(*) FROM instance")) == [[before + 1]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM instance ORDER BY received_at LIMIT 2",
        "SELECT * FROM instance QUALIFY row_number() OVER (ORDER BY InstanceNumber) < 3",
        "SELECT count(*) FROM instance GROUP BY ROLLUP (calling_ae) ORDER BY ALL",
        "SELECT a.calling_ae FROM (SELECT * FROM instance) a LIMIT 2",
    ],
)
def test_a_table_that_passes_by_is_read_once(ask: Ask, sql: str):
    """A question about one table keeps none of it, and misses none of it."""
    assert len(rows(ask(sql))) == 2


def test_what_passes_by_cannot_be_read_twice():
    """Should DuckDB ever read such a table a second time, that is a fault, never no rows."""
    table = pa.table({"a": list(range(5000))})
    connection = duckdb.connect()
    connection.register("t", question_process._Once.reader(table.to_reader(1000)))
    assert connection.execute("SELECT sum(a) FROM t").fetchall() == [(12_497_500,)]
    with pytest.raises(duckdb.Error):
        connection.execute("SELECT sum(a) FROM t").fetchall()
    connection.close()
