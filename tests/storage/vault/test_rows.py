"""Rows of the vault: opaque, kept once, found by their place, gone when they are deleted."""

import sqlite3
from itertools import pairwise

import pytest

from dicom.errors import Corrupt, StorageFault
from dicom.sealed import AuditEntry, SealedOriginal, SealedStudy, WrappedKey
from storage.vault.database import FILE_NAME, Database
from storage.vault.rows import PAGE
from storage.vault.store import VaultStore


def key(patient="P1", project="heart", key_id="k1", wrapped=b"wrapped"):
    return WrappedKey(project, patient, key_id, wrapped)


def original(pseudonym="2.25.1", patient="P1", project="heart", kind="uid", sealed=b"sealed"):
    return SealedOriginal(project, patient, kind, pseudonym, sealed)


def entry(number, previous):
    return AuditEntry(number, 1.5, "who", "did", "heart", "P1", "why", f"{previous}+{number}")


def test_the_first_key_stays(store):
    """Of two keys for one patient, the first is the patient's, and both callers get it."""
    assert store.rows.claim_key(key(), {"k1"}) == key()
    assert store.rows.claim_key(key(wrapped=b"another"), {"k1"}) == key()
    assert store.rows.key("heart", "P1") == key()
    assert store.rows.key("lung", "P1") is None


def test_rows_are_kept_once(store):
    """A row that is there stays as it is, and is not counted again."""
    store.rows.claim_key(key(), {"k1"})
    study = SealedStudy("heart", "P1", "2.25.9", b"modules")
    assert store.rows.add([original(), original("2.25.2")], [study]) == 3
    assert store.rows.add([original(sealed=b"other"), original("2.25.3")], [study]) == 1
    assert store.rows.find("2.25.1", None) == [original()]
    assert store.rows.study("heart", "P1", "2.25.9") == study
    assert store.rows.study("heart", "P2", "2.25.9") is None


def test_a_pseudonym_is_found_in_one_project_or_in_all(store):
    """The same pseudonym may stand for several patients and projects, and all are found."""
    places = [("P1", "heart"), ("P2", "heart"), ("P1", "lung")]
    for patient, project in places:
        store.rows.claim_key(key(patient, project), {"k1"})
        store.rows.add([original(patient=patient, project=project)], [])
    assert len(store.rows.find("2.25.1", None)) == 3
    assert [row.patient for row in store.rows.find("2.25.1", "heart")] == ["P1", "P2"]
    assert store.rows.originals("heart", "P2", "uid", ["2.25.1", "2.25.7"]) == [
        original(patient="P2")
    ]


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 2 * PAGE + 3])
def test_every_row_is_given_in_pages(store, count):
    """All rows come, each once, patient by patient, however many there are."""
    store.rows.claim_key(key(), {"k1"})
    store.rows.claim_key(key("P2"), {"k1"})
    rows = [original(f"2.25.{n}", patient=f"P{n % 2 + 1}") for n in range(count)]
    store.rows.add(rows, [])
    found = list(store.rows.every("heart", "uid"))
    assert sorted(row.pseudonym for row in found) == sorted(row.pseudonym for row in rows)
    assert [row.patient for row in found] == sorted(row.patient for row in rows)
    assert len(store.rows.originals("heart", "P1", "uid", [r.pseudonym for r in rows])) == len(
        [row for row in rows if row.patient == "P1"]
    )
    assert list(store.rows.every("heart", "patient")) == list(store.rows.every("lung", None)) == []


def test_forgetting_deletes_and_remembers_only_that(store):
    """Key and rows of a patient go, others stay, and the patient gets no new key."""
    for patient in ("P1", "P2"):
        store.rows.claim_key(key(patient), {"k1"})
        store.rows.add([original(patient=patient)], [SealedStudy("heart", patient, "2.25.9", b"m")])
    assert store.rows.forget("heart", "P1", 5.0)
    assert not store.rows.forget("heart", "P3", 5.0)
    assert store.rows.is_forgotten("heart", "P1")
    assert store.rows.is_forgotten(None, "P1")
    assert not store.rows.is_forgotten("lung", "P1")
    assert store.rows.find("2.25.1", None) == [original(patient="P2")]
    assert store.rows.study("heart", "P1", "2.25.9") is None
    assert store.rows.claim_key(key(), {"k1"}) is None
    assert store.rows.add([original(), original("2.25.5", "P2")], []) == 1
    assert (
        store.rows.patients("P1", None) == store.rows.patients("P1", "heart") == [("heart", "P1")]
    )
    assert store.rows.patients("P1", "lung") == store.rows.patients("", None) == []


def test_rows_without_a_key_are_damage(store):
    """Rows of a patient who has no key, and was not forgotten, are refused."""
    with pytest.raises(Corrupt, match="restore"):
        store.rows.add([original()], [])


def test_forgetting_says_when_the_log_could_not_be_wiped(store, tmp_path, monkeypatch):
    """While another process reads, the deletion stands, and the words say to run it again."""
    store.rows.claim_key(key(), {"k1"})
    reader = Database.open(tmp_path)
    monkeypatch.setattr("storage.vault.database._PRAGMAS", ("busy_timeout=1",))
    hasty = VaultStore.open(tmp_path)
    with reader.read() as db:
        db.exec_driver_sql("SELECT * FROM patient_key").fetchall()
        with pytest.raises(StorageFault, match="again"):
            hasty.rows.forget("heart", "P1", 5.0)
    assert hasty.rows.forget("heart", "P1", 5.0)
    assert store.rows.key("heart", "P1") is None
    hasty.close()
    reader.close()


def test_keys_are_wrapped_anew(store):
    """Keys under another vault key are listed, counted and replaced; the deleted stay deleted."""
    for patient in ("P1", "P2", "P3"):
        store.rows.claim_key(key(patient), {"k1"})
    store.rows.claim_key(key("P4", key_id="k2"), {"k1"})
    listed = store.rows.keys_not_under("k2", 2)
    assert [each.patient for each in listed] == ["P1", "P2"]
    store.rows.forget("heart", "P2", 5.0)
    store.rows.rewrap([key(each.patient, key_id="k2", wrapped=b"new") for each in listed])
    assert store.rows.key("heart", "P1") == key(key_id="k2", wrapped=b"new")
    assert store.rows.key("heart", "P2") is None
    assert store.rows.count_keys_not_under("k2") == 1


@pytest.mark.parametrize("count", [0, 1, PAGE + 2])
def test_the_trail_grows_in_order(store, count):
    """Each entry gets the next number and the MAC before it, and all come back, oldest first."""
    for _ in range(count):
        store.trail.append(entry)
    entries = list(store.trail.entries())
    assert [each.number for each in entries] == list(range(1, count + 1))
    if count:
        assert entries[0] == entry(1, "")
    assert all(b.mac == f"{a.mac}+{b.number}" for a, b in pairwise(entries))


def test_an_entry_that_cannot_be_made_leaves_nothing(store):
    """If making the entry fails, the trail is as before."""

    def broken(number, previous):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.trail.append(broken)
    assert list(store.trail.entries()) == []


def test_the_file_is_for_its_user_alone(store, tmp_path):
    """Neither the database nor its log may be read by others, whatever the umask."""
    store.rows.claim_key(key(), {"k1"})
    files = list(tmp_path.glob(f"{FILE_NAME}*"))
    assert len(files) == 3
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_what_was_kept_outlives_the_process(tmp_path):
    """Rows and trail are there when the vault is opened again."""
    with pytest.raises(StorageFault, match="reversible"):
        VaultStore.open_existing(tmp_path / "nowhere")
    first = VaultStore.open(tmp_path)
    first.rows.claim_key(key(), {"k1"})
    first.trail.append(entry)
    first.close()
    again = VaultStore.open_existing(tmp_path)
    assert again.rows.key("heart", "P1") == key()
    assert len(list(again.trail.entries())) == 1
    again.close()


def test_a_file_that_is_no_vault_is_named(tmp_path):
    """A foreign file, another version or a folder in its place end in a fault."""
    (tmp_path / FILE_NAME).write_bytes(b"no database at all, " * 100)
    with pytest.raises(StorageFault):
        VaultStore.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == b"no database at all, " * 100
    other = tmp_path / "other"
    VaultStore.open(other).close()
    database = Database.open(other)
    with database.write() as db:
        db.exec_driver_sql("UPDATE version SET version = 99")
    database.close()
    with pytest.raises(Corrupt, match="99"):
        VaultStore.open(other)
    (tmp_path / "third" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(StorageFault, match="cannot be opened"):
        VaultStore.open(tmp_path / "third")


def test_statements_speak_postgresql(store):
    """Every table and the insert that skips known rows compile for PostgreSQL too."""
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    from storage.vault import schema

    dialect = postgresql.dialect()
    for table in schema.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
    insert = postgresql.insert(schema.originals).on_conflict_do_nothing()
    assert "ON CONFLICT DO NOTHING" in str(insert.compile(dialect=dialect))


@pytest.mark.parametrize(
    ("error", "code", "retry"),
    [("SQLITE_FULL", "vault-busy", True), ("SQLITE_IOERR", "storage", False)],
)
def test_what_the_disk_says_is_a_fault(store, monkeypatch, error, code, retry):
    """Also while the log is wiped, a driver's error is a Fault, and a full disk is waited for."""

    class Broken(sqlite3.OperationalError):
        sqlite_errorcode = getattr(sqlite3, error)

    class Raw:
        def cursor(self):
            raise Broken("the disk is in a bad mood")

        def close(self):
            pass

    monkeypatch.setattr(store.database._engine, "raw_connection", Raw)
    with pytest.raises(StorageFault, match="mood") as fault:
        store.database.wipe_log()
    assert (fault.value.code, fault.value.retry) == (code, retry)
