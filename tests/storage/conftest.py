"""The ledger and the vault on both databases: the same tests run over SQLite and PostgreSQL."""

import pytest

from examples.peers import postgres
from storage.ledger.database import Database, Server
from storage.vault.database import Database as VaultDatabase

BOTH = ("ledger", "evidence", "vault", "retention")
"""Folders whose tests run twice, but for those that are about SQLite's files, or no files:"""
ONCE = {
    "test_arriving.py",
    "test_crash.py",
    "test_machine.py",
    "test_migrate.py",
    "test_nodes.py",
    "test_server.py",
    "test_a_file_that_is_no_vault_is_named",
    "test_counting_the_quarantined_reads_few_rows",
    "test_forgetting_says_when_the_log_could_not_be_wiped",
    "test_statements_speak_postgresql",
    "test_the_file_is_for_its_user_alone",
    "test_two_writers_lose_nothing",
    "test_what_was_kept_outlives_the_process",
}


def pytest_generate_tests(metafunc):
    """Run the tests of these folders once on each database."""
    file, name = metafunc.definition.path, metafunc.definition.name
    if file.parent.name in BOTH and not {file.name, name} & ONCE:
        metafunc.fixturenames.insert(0, "database_kind")
        metafunc.parametrize("database_kind", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(scope="session")
def postgres_cluster():
    """One server for the whole session."""
    if not postgres.is_installed():
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with postgres.running() as made:
        yield made


@pytest.fixture
def new_server(postgres_cluster):
    """Make empty databases, removed at the end of the test."""
    made = []

    def make() -> Server:
        made.append(postgres_cluster.new_database())
        return Server(made[-1])

    yield make
    for url in made:
        postgres_cluster.drop(url)


@pytest.fixture
def database_kind(request, monkeypatch):
    """On PostgreSQL, have each folder that a test opens stand for a database of its own."""
    if request.param == "postgresql":
        new_server = request.getfixturevalue("new_server")
        for kind in (Database, VaultDatabase):
            _redirect(monkeypatch, kind, new_server)
    return request.param


def _redirect(monkeypatch, kind, new_server) -> None:
    open_there, servers = kind.open.__func__, {}

    def open_on_server(cls, data_dir, server=None, **how):
        if server is None:
            if data_dir not in servers:
                servers[data_dir] = new_server()
            server = servers[data_dir]
        return open_there(cls, data_dir, server, **how)

    monkeypatch.setattr(kind, "open", classmethod(open_on_server))
