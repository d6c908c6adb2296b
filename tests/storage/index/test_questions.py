"""Questions in a process of their own: forms, limits, parameters, and how many at once."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from dicom.errors import CannotUnderstand, Fault, OutOfResources
from storage.index import question_process
from storage.index import questions as module
from storage.index.database import Entry, Index
from storage.index.offered import Offer, Role
from storage.index.questions import Answer, Limits, Question, Questions

Ask = Callable[..., Answer]
Here = Callable[..., bytes]


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
def test_a_select_is_answered(here: Here, sql: str, expected: list[object]):
    """Every usual form of SELECT is answered from the tables that are offered."""
    assert json.loads(here(sql, form="json"))["rows"] == expected


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


def test_so_many_questions_at_once_and_no_more(named: Index, tmp_path: Path, monkeypatch):
    """Beyond the limit a question waits for its turn, and is refused when none comes."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    desk = Questions(named, Limits(at_once=1), tmp_path)
    long = Question("SELECT sum(r) FROM range(1000000000000) t(r)", timeout_s=0.8)
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


def test_who_wants_no_answer_any_more_ends_the_question(named: Index, tmp_path: Path):
    """A question ends as soon as nobody wants its answer, and gives its turn to the next one."""
    desk, stop = Questions(named, Limits(at_once=1), tmp_path), threading.Event()
    threading.Timer(0.4, stop.set).start()
    began_s = time.monotonic()
    with pytest.raises(OutOfResources):
        desk.ask(Question("SELECT sum(r) FROM range(1000000000000) t(r)"), Role.PLAIN, stop)
    assert time.monotonic() - began_s < 5
    assert rows(desk.ask(Question("SELECT 1"), Role.PLAIN)) == [[1]]


def test_reading_for_a_question_ends_with_it(named: Index, tmp_path: Path, monkeypatch):
    """What the front reads for a question is interrupted when the question ends."""
    endless = Offer("(SELECT sum(range) AS x FROM range(1000000000000))", {"x": "x"})
    stop, looks = threading.Event(), []

    def offered(_role: Role) -> dict[str, Offer]:
        looks.append(_role)
        if len(looks) == 2:  # now it is read
            threading.Timer(0.1, stop.set).start()
        return {"study": endless}

    monkeypatch.setattr(module, "offered", offered)
    began_s = time.monotonic()
    with pytest.raises(OutOfResources):
        Questions(named, Limits(), tmp_path).ask(Question("SELECT x FROM study"), Role.PLAIN, stop)
    assert time.monotonic() - began_s < 10
    assert named.sql("SELECT 1", timeout_s=5, max_rows=1).rows == ((1,),)


def test_answers_that_nobody_fetches_do_not_fill_the_disk(named: Index, tmp_path: Path):
    """So many answers lie there at most; closing one makes room."""
    desk = Questions(named, Limits(at_once=1), tmp_path)
    lying = [desk.ask(Question("SELECT 1"), Role.PLAIN) for _ in range(module.LYING)]
    with pytest.raises(OutOfResources, match="wait to be fetched"):
        desk.ask(Question("SELECT 1"), Role.PLAIN)
    lying.pop().file.close()
    with pytest.raises(CannotUnderstand):  # nor does one that comes to nothing take room
        desk.ask(Question("SELECT nosuch"), Role.PLAIN)
    assert rows(desk.ask(Question("SELECT 1"), Role.PLAIN)) == [[1]]
    for answer in lying:
        answer.file.close()
    assert list(tmp_path.iterdir()) == []


def test_a_process_whose_front_is_gone_ends_itself(named: Index, tmp_path: Path):
    """Where the front was killed, a question that only sleeps ends all the same."""
    question = Question("SELECT sleep_ms(600000)")
    request = Questions(named, Limits(), tmp_path)._request(question, Role.PLAIN, 0.1)
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", module._MODULE, str(write_end)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(write_end,),
    ) as child:  # fmt: skip
        os.close(write_end)
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        assert child.wait(20) == -signal.SIGALRM
    os.close(read_end)


@pytest.mark.parametrize(
    "value", ["' OR 1=1 --", "'; DROP TABLE study; --", "CT", "$x", "\\", "x" * 1000, "Ä"]
)
def test_a_parameter_is_a_value_and_nothing_else(here: Here, value: str):
    """Whatever stands in a parameter is compared, never read as SQL."""
    sql = "SELECT count(*), $v FROM series WHERE Modality = $v"
    found = json.loads(here(sql, form="json", parameters={"v": value}))["rows"]
    assert found == [[int(value == "CT"), value]]


def test_a_missing_parameter_is_named(ask: Ask):
    """A question that asks for a parameter says which one is missing; one too many is no matter."""
    with pytest.raises(CannotUnderstand, match="parameters: day"):
        ask("SELECT $day", parameters={"other": "1"})
    assert rows(ask("SELECT $a", parameters={"a": "1", "b": "2"})) == [["1"]]


def test_questions_see_what_came_last(named: Index, ask: Ask, entry: Callable[..., Entry]):
    """An object is counted as soon as it is in the index: nothing is copied beforehand."""
    before = rows(ask("SELECT count(*) FROM instance"))[0][0]
    named.add(
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
def test_a_table_that_passes_by_is_read_once(here: Here, sql: str):
    """A question about one table keeps none of it, and misses none of it."""
    assert len(here(sql, form="lines").splitlines()) == 2


def test_what_passes_by_cannot_be_read_twice():
    """Should DuckDB ever read such a table a second time, that is a fault, never no rows."""
    table = pa.table({"a": list(range(5000))})
    connection = duckdb.connect()
    connection.register("t", question_process._Once(table.to_reader(1000)))
    assert connection.execute("SELECT sum(a) FROM t").fetchall() == [(12_497_500,)]
    with pytest.raises(duckdb.Error):
        connection.execute("SELECT sum(a) FROM t").fetchall()
    connection.close()
