"""Every way around what a role may see that we know: refused by each of the walls alone."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dicom.errors import CannotUnderstand, Fault, NotAuthorised, OutOfResources
from storage.index import question_process
from storage.index.database import Entry, Index
from storage.index.offered import Offer, Role, offered
from storage.index.questions import Answer, Limits, Question, Questions
from storage.index.sieve import Reads

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


@pytest.mark.p6
def test_a_role_sees_no_identity(ask: Ask):
    """Every row of every table that the plain role is offered holds nothing that identifies."""
    seen = 0
    for table in offered(Role.PLAIN):
        answer = ask(f"SELECT * FROM {table}", form="csv")
        text = b"".join(answer.chunks()).decode()
        seen += answer.rows
        for canary in CANARIES:
            assert canary not in text, table
    assert seen >= 12 + 3
    identified = b"".join(ask("SELECT * FROM study", Role.IDENTIFIED).chunks()).decode()
    assert all(canary in identified for canary in ("KANARIENVOGEL", "ZZ-4711", "ACC-0815"))


def test_keys_join_and_tell_nothing(ask: Ask, index: Index):
    """A key is the same in every table, joins as its UID does, and is no plain digest of it."""
    ((study, patient),) = rows(ask("SELECT study_key, patient_key FROM study"))
    assert rows(ask("SELECT DISTINCT study_key FROM instance")) == [[study]]
    assert rows(ask("SELECT patient_key FROM patient")) == [[patient]]
    plain = index.sql("SELECT left(sha256('9.8.7.6.1'), 20)", timeout_s=5, max_rows=1).rows[0][0]
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


class Here:
    """The process that answers, in this one: quicker, and without the limits of its own."""

    def __init__(self, index: Index, folder: Path) -> None:
        self._desk = Questions(index, Limits(memory_mb=256), folder)
        self._tables = io.BytesIO()

    def write(self, line: str) -> None:
        """Be told what is needed, and give it."""
        child = SimpleNamespace(into=self._tables)
        self._desk._give(child, json.loads(line)["need"], Role.PLAIN)
        self._tables.seek(0)

    def answer(self, sql: str) -> bytes:
        """Answer a question as the plain role."""
        request = self._desk._request(Question(sql, form="csv"), Role.PLAIN, 5)
        out = io.BytesIO()
        question_process.answer(request, self._tables, out, self)
        return out.getvalue()


@pytest.mark.p6
@pytest.mark.parametrize("sql", ATTACKS, ids=range(len(ATTACKS)))
def test_every_way_around_is_refused(index: Index, secret: Path, tmp_path: Path, sql: str):
    """No table, file, setting, function or statement beside those offered is within reach."""
    before = sorted(one.name for one in secret.iterdir())
    with pytest.raises(Fault) as caught:
        Here(index, tmp_path).answer(sql.replace("{folder}", str(secret)))
    assert isinstance(caught.value, (CannotUnderstand, NotAuthorised, OutOfResources))
    assert not any(canary in str(caught.value) for canary in CANARIES)
    assert sorted(one.name for one in secret.iterdir()) == before


@pytest.mark.p6
@pytest.mark.parametrize("sql", READING, ids=range(len(READING)))
def test_the_second_wall_holds_alone(
    index: Index, secret: Path, tmp_path: Path, monkeypatch, sql: str
):
    """With the sieve gone, what a question reaches is still no identity and no file."""

    def let_through(_tree: object, given: dict[str, list[str]]) -> Reads:
        return Reads({"study": given["study"]})

    monkeypatch.setattr(question_process, "reads", let_through)
    before = sorted(one.name for one in secret.iterdir())
    said = b""
    with contextlib.suppress(Fault):
        said = Here(index, tmp_path).answer(sql.replace("{folder}", str(secret)))
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
def test_without_the_first_sieve_there_is_still_nothing(index: Index, tmp_path: Path, role: Role):
    """The process is given what the role is offered, whatever it asks for: the front decides."""
    desk = Questions(index, Limits(), tmp_path)
    needs = [{"pseudonym": ["salt"]}, {"study": ["salt"]}, {"position": ["segment"]}]
    for need in [*needs, *([{"study": ["PatientName"]}] if role is Role.PLAIN else [])]:
        child = SimpleNamespace(send=lambda _line: None, hear=lambda need=need: {"need": need})
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
    ],
)
def test_a_fault_never_quotes_a_row(ask: Ask, sql: str):
    """Where DuckDB would quote a stored value, its words are held back."""
    with pytest.raises(CannotUnderstand) as caught:
        ask(sql, Role.IDENTIFIED)
    assert "KANARIENVOGEL" not in str(caught.value)
