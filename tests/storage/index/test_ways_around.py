"""Every way around what a role may see that we know: refused by each of the walls alone."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from dicom.errors import CannotUnderstand, Fault, NotAuthorised, OutOfResources
from storage.index import question_process
from storage.index.database import Index
from storage.index.offered import Offer, Role, offered
from storage.index.questions import Answer, Limits, Questions
from storage.index.sieve import Reads

Ask = Callable[..., Answer]
Here = Callable[..., bytes]
CANARIES = ("KANARIENVOGEL", "ZZ-4711", "ACC-0815", "19470811", "1947", "9.8.7.6", "DRHOUSE")


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    """A folder of files that nobody asked about."""
    folder = tmp_path_factory.mktemp("secret")
    for name in ("secret.txt", "secret.csv", "secret.json"):
        (folder / name).write_text('{"a": "KANARIENVOGEL"}\n')
    return folder


def rows(answer: Answer) -> list[list[object]]:
    """Read an answer in JSON."""
    return json.loads(b"".join(answer.chunks()))["rows"]


@pytest.mark.p6
def test_a_role_sees_no_identity(here: Here):
    """Every row of every table that the plain role is offered holds nothing that identifies."""
    seen = 0
    for table in offered(Role.PLAIN):
        text = here(f"SELECT * FROM {table}").decode()
        seen += len(text.splitlines()) - 1
        for canary in CANARIES:
            assert canary not in text, table
    assert seen >= 12 + 3
    identified = here("SELECT * FROM study", Role.IDENTIFIED).decode()
    assert all(canary in identified for canary in ("KANARIENVOGEL", "ZZ-4711", "ACC-0815"))


def test_keys_join_and_tell_nothing(here: Here, named: Index):
    """A key is the same in every table, joins as its UID does, and is no plain digest of it."""

    def lines(sql: str) -> list[str]:
        return here(sql).decode().splitlines()[1:]

    study, patient = lines("SELECT study_key, patient_key FROM study")[0].split(",")
    assert lines("SELECT DISTINCT study_key FROM instance") == [study]
    assert lines("SELECT patient_key FROM patient") == [patient]
    plain = named.sql("SELECT left(sha256('9.8.7.6.1'), 20)", timeout_s=5, max_rows=1).rows[0][0]
    assert study not in {plain, patient}
    assert len(study) == 20


ATTACKS = [
    "SELECT PatientName FROM study",
    'SELECT "PatientID" FROM patient',
    "SELECT StudyInstanceUID FROM instance",
    "SELECT * FROM main.study",
    "SELECT * FROM memory.main.study",
    "SELECT * FROM index.main.study",
    "SELECT * FROM head",
    "SELECT * FROM head_stored",
    "SELECT * FROM pseudonym",
    "SELECT * FROM position",
    "SELECT * FROM about",
    "SELECT (SELECT salt FROM pseudonym)",
    "WITH x AS (SELECT * FROM pseudonym) SELECT * FROM x",
    "WITH pseudonym AS (SELECT * FROM pseudonym) SELECT * FROM pseudonym",
    "WITH RECURSIVE position AS (SELECT 1 UNION ALL SELECT * FROM position) FROM main.position",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM pseudonym)",
    "SELECT 1 ORDER BY (SELECT salt FROM pseudonym)",
    "SELECT 1 LIMIT (SELECT count(*) FROM pseudonym)",
    "SELECT 1 FROM study QUALIFY row_number() OVER (ORDER BY (SELECT salt FROM pseudonym)) = 1",
    "SELECT * FROM study, LATERAL (SELECT * FROM pseudonym)",
    "SELECT * FROM study JOIN pseudonym ON true",
    "SELECT * FROM study POSITIONAL JOIN pseudonym",
    "SELECT * FROM study UNION ALL BY NAME SELECT * FROM pseudonym",
    "SELECT list_transform([1], lambda x: (SELECT salt FROM pseudonym))",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_columns()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM duckdb_databases",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM pg_class",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM pragma_table_info('study')",
    "SELECT * FROM pragma_storage_info('study')",
    "SELECT * FROM pragma_database_size()",
    "CALL pragma_version()",
    "PRAGMA show_tables",
    "PRAGMA enable_external_access = true",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "DESCRIBE study",
    "SUMMARIZE study",
    "SELECT * FROM (DESCRIBE study)",
    "SELECT * FROM query('SELECT * FROM pseudonym')",
    "SELECT * FROM query_table('pseudonym')",
    "SELECT * FROM query_table(['study', 'pseudonym'])",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT json_execute_serialized_sql('x')",
    "SELECT * FROM seq_scan('pseudonym')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM python_map_function(1)",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_csv_auto('{folder}/secret.csv')",
    "SELECT * FROM read_text('{folder}/secret.txt')",
    "SELECT * FROM read_blob('{folder}/secret.txt')",
    "SELECT * FROM read_json('{folder}/secret.json')",
    "SELECT * FROM read_parquet('{folder}/x.parquet')",
    "SELECT * FROM parquet_metadata('{folder}/x.parquet')",
    "SELECT * FROM sniff_csv('{folder}/secret.csv')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM '{folder}/secret.csv'",
    "FROM '{folder}/secret.json'",
    'FROM "{folder}/secret.csv"',
    "SELECT * FROM 'https://example.org/x.parquet'",
    "SELECT * FROM 's3://bucket/x.parquet'",
    "SELECT read_text('{folder}/secret.txt')",
    "SELECT getenv('PATH')",
    "SELECT current_setting('memory_limit')",
    "SELECT getvariable('x')",
    "SELECT nextval('x')",
    "COPY study TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{folder}/out.csv'",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/other.db'",
    "ATTACH ':memory:' AS other",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '100GB'",
    "SET lock_configuration = false",
    "RESET enable_external_access",
    "SET VARIABLE x = 1",
    "CREATE TABLE t (a INT)",
    "CREATE MACRO m() AS TABLE SELECT * FROM pseudonym",
    "CREATE VIEW v AS SELECT * FROM pseudonym",
    "INSERT INTO study SELECT * FROM study",
    "DELETE FROM study",
    "WITH gone AS (DELETE FROM study RETURNING *) SELECT * FROM gone",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE study",
    "PIVOT study ON StudyDate",
    "SELECT * FROM repeat_row(1, num_rows := 1000000000)",
    "SELECT * FROM test_all_types()",
    "SELECT * FROM study AT (VERSION => 1)",
    "SELEC",
    "",
    ";",
    "\0",
    "SELECT 1 \0 FROM study",
    "SELECT " + "+".join(["1"] * 5000),
]


ENDING = ("_scan(", "python_map", "repeat_row")
"""Without the sieve these end the process that answers, and would end the one that tests."""
READING = [
    sql
    for sql in ATTACKS
    if sql.startswith(("SELECT ", "FROM ", "WITH ")) and not any(each in sql for each in ENDING)
]


@pytest.mark.p6
@pytest.mark.parametrize("sql", ATTACKS, ids=range(len(ATTACKS)))
def test_every_way_around_is_refused(here: Here, secret: Path, sql: str):
    """No table, file, setting, function or statement beside those offered is within reach."""
    before = sorted(one.name for one in secret.iterdir())
    with pytest.raises(Fault) as caught:
        here(sql.replace("{folder}", str(secret)))
    assert isinstance(caught.value, (CannotUnderstand, NotAuthorised, OutOfResources))
    assert not any(canary in str(caught.value) for canary in CANARIES)
    assert sorted(one.name for one in secret.iterdir()) == before


@pytest.mark.p6
@pytest.mark.parametrize("sql", READING, ids=range(len(READING)))
def test_the_second_wall_holds_alone(here: Here, secret: Path, monkeypatch, sql: str):
    """With the sieve gone, what a question reaches is still no identity and no file."""

    def let_through(_tree: object, given: dict[str, list[str]]) -> Reads:
        return Reads({"study": given["study"]})

    monkeypatch.setattr(question_process, "reads", let_through)
    before = sorted(one.name for one in secret.iterdir())
    said = b""
    with contextlib.suppress(Fault):
        said = here(sql.replace("{folder}", str(secret)))
    assert not any(canary.encode() in said for canary in CANARIES)
    assert sorted(one.name for one in secret.iterdir()) == before


@pytest.mark.p6
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT PatientName FROM study",
        "SELECT * FROM pseudonym",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT 1; SELECT 2",
        "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
    ],
    ids=range(6),
)
def test_the_process_itself_refuses(ask: Ask, sql: str):
    """The same through the process, and what would break a parser breaks nothing else."""
    with pytest.raises((CannotUnderstand, NotAuthorised, OutOfResources)):
        ask(sql)


@pytest.mark.p6
@pytest.mark.parametrize("role", Role)
def test_without_the_first_sieve_there_is_still_nothing(named: Index, tmp_path: Path, role: Role):
    """The process is given what the role is offered, whatever it asks for: the front decides."""
    desk = Questions(named, Limits(), tmp_path)
    needs = [{"pseudonym": ["salt"]}, {"study": ["salt"]}, {"position": ["segment"]}]
    for need in [*needs, *([{"study": ["PatientName"]}] if role is Role.PLAIN else [])]:
        child = SimpleNamespace(
            late=False, send=lambda _line: None, hear=lambda need=need: {"need": need}
        )
        with pytest.raises(NotAuthorised):
            desk._converse(child, {}, role)
    with pytest.raises(NotAuthorised):
        Offer("study", {"a": "a"}).select(['a" FROM study; --'])


@pytest.mark.p6
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT PatientName::INTEGER FROM study",
        "SELECT error(PatientName) FROM study",
        "SELECT strptime(PatientName, '%Y') FROM study",
        "SELECT timezone(PatientName, now()) FROM study",
        "SELECT make_timestamptz(2020, 1, 1, 1, 1, 1.0, PatientName) FROM study",
        """SELECT ('x
        LINE 1: ' || PatientName || '
                ^')::INT FROM study""",
    ],
)
def test_a_fault_never_quotes_a_row(here: Here, named: Index, sql: str):
    """Where DuckDB would quote a stored value, its words are held back."""
    with pytest.raises(CannotUnderstand) as caught:
        here(sql, Role.IDENTIFIED)
    assert "KANARIENVOGEL" not in str(caught.value)
    with pytest.raises(CannotUnderstand) as caught:
        named.sql(sql, timeout_s=20, max_rows=1)
    assert "KANARIENVOGEL" not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT PatientName FROM study", "GET /api/v1/sql lists the columns"),
        ("SELECT nosuch FROM study", "LINE 1: SELECT nosuch FROM study\n               ^"),
        ("SELECT 1 FROM study WHERE StudyDate = '2026-13-45'", "near: '2026-13-45'"),
        ("PIVOT study ON PatientSex", "one SELECT statement"),
        ("DESCRIBE study", "one SELECT statement"),
        ("SELECT * FROM nosuch", "GET /api/v1/sql lists those"),
    ],
)
def test_a_fault_says_what_to_mend(here: Here, sql: str, words: str):
    """A refusal says which part of the question it is about, or where to look."""
    with pytest.raises((CannotUnderstand, NotAuthorised)) as caught:
        here(sql)
    assert words in str(caught.value)
