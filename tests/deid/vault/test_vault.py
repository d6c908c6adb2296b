"""The vault: keeps once, answers for the record, forgets for certain, changes its key."""

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from deid.vault.audit import Asker
from deid.vault.reidentify import NoWayBack
from deid.vault.sealing import NoVaultKey, VaultKey, VaultKeys
from deid.vault.vault import Vault
from dicom.errors import StorageFault
from storage.vault.database import FILE_NAME
from storage.vault.store import VaultStore

TELLING = (
    b"quillob",
    b"cnry",
    b"48213",
    b"schnoor",
    b"19610704",
    b"acc-99120",
    b"1.3.6.1.4.1.5962",
)


def everything(vault, asker, project="heart"):
    return {
        (each.patient, each.kind, each.pseudonym): each.value
        for each in vault.export(project, asker)
    }


def on_disk(folder):
    """Every byte of the database and its log."""
    return b"".join(file.read_bytes() for file in sorted(folder.glob(f"{FILE_NAME}*")))


def actions(vault):
    return [(entry.action, entry.subject) for entry in vault.entries()]


def test_the_way_back_leads_to_the_original(vault, by_hand, asker):
    """A pseudonym that left is answered with what it was, of any kind."""
    kept = vault.keep("heart", *by_hand())
    assert (kept.rows, kept.forgotten) == (5, frozenset())
    (found,) = vault.lookup("P1", asker)
    assert (found.project, found.kind, found.value) == ("heart", "patient", "ID P1")
    (found,) = vault.lookup("2.25.2", asker, "heart")
    assert (found.kind, found.value) == ("uid", "1.2.3.2")
    assert "1.2.3" not in repr(found)


def test_the_same_object_again_adds_nothing(vault, store, by_hand, lab, asker):
    """A retry, in this process or after a restart, changes no row."""
    vault.keep("heart", *by_hand())
    before = everything(vault, asker)
    assert vault.keep("heart", *by_hand()).rows == 0
    again = Vault(store.rows, store.trail, VaultKeys(lab.OLD))
    assert again.keep("heart", *by_hand()).rows == 0
    assert again.keep("heart", *by_hand(count=4)).rows == 1
    assert everything(again, asker) == before | {("P1", "uid", "2.25.3"): "1.2.3.3"}


def test_what_is_known_costs_no_question(vault, by_hand, monkeypatch):
    """An object of which everything is known does not touch the disk."""
    vault.keep("heart", *by_hand())
    monkeypatch.setattr(vault, "_rows", None)
    assert vault.keep("heart", *by_hand()).rows == 0


def test_objects_are_kept_in_one_transaction(vault, by_hand):
    """A batch counts rows that it shares once, also over several patients."""
    batch = [by_hand(), by_hand(), by_hand(start=3), by_hand("P2", "2.25.9")]
    assert vault.keep_all("heart", batch).rows == (1 + 3 + 1) + 3 + (1 + 3 + 1)


def test_nothing_is_known_before_it_is_on_disk(vault, by_hand, monkeypatch):
    """When the rows cannot be written, the next try writes them all."""
    with monkeypatch.context() as broken:
        rows = vault._rows

        class Full:
            def __getattr__(self, name):
                return getattr(rows, name)

            def add(self, originals, studies):
                raise StorageFault("full")

        broken.setattr(vault, "_rows", Full())
        with pytest.raises(StorageFault):
            vault.keep("heart", *by_hand())
    assert vault.keep("heart", *by_hand()).rows == 5


@pytest.mark.p6
def test_nothing_of_the_patient_is_readable_on_disk(vault, leave, lab, tmp_path, asker):
    """In the bytes of vault.db and its log there is no name, number, date or original UID."""
    image = leave(lab.part10(lab.original()))
    vault.lookup(image.PatientID, asker)
    with pytest.raises(NoWayBack):
        vault.lookup("CNRY-48213", asker)
    raw = on_disk(tmp_path).lower()
    assert image.PatientID.lower().encode() in raw
    assert [word for word in TELLING if word in raw] == []
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_every_question_is_written_down_before_its_answer(vault, by_hand, asker, monkeypatch):
    """If the trail cannot be written, there is no answer and no deed."""
    vault.keep("heart", *by_hand())

    class Full:
        def append(self, make):
            raise StorageFault("full")

    with monkeypatch.context() as broken:
        broken.setattr(vault, "_trail", Full())
        for ask in (
            lambda: vault.lookup("P1", asker),
            lambda: vault.export("heart", asker),
            lambda: vault.forget("P1", asker),
            lambda: vault.rotate(asker),
            lambda: vault.study("heart", "P1", "2.25.1", asker),
        ):
            with pytest.raises(StorageFault):
                ask()
    vault.lookup("P1", asker)
    vault.export("heart", asker)
    with pytest.raises(NoWayBack):
        vault.lookup("P9", asker)
    vault.forget("ID P1", asker)
    assert actions(vault) == [
        ("lookup", "P1"),
        ("export", "everything"),
        ("lookup", "unknown"),
        ("search", "every patient, by ID"),
        ("forget", "P1"),
    ]
    assert vault.verify().is_whole


def test_a_forgotten_patient_is_gone(vault, store, by_hand, asker, tmp_path):
    """No byte of the patient's key or rows is left in the file or its log, and no answer."""
    vault.keep("heart", *by_hand())
    vault.keep("heart", *by_hand("P2", "2.25.5", start=10))
    key = store.rows.key("heart", "P1")
    rows = store.rows.find("2.25.1", None)
    assert key.wrapped in on_disk(tmp_path)
    assert vault.forget("P1", asker) == [("heart", "P1")]
    raw = on_disk(tmp_path)
    assert key.wrapped not in raw
    assert rows[0].sealed not in raw
    with pytest.raises(NoWayBack, match="P1 was forgotten"):
        vault.lookup("P1", asker)
    with pytest.raises(NoWayBack, match="does not know"):
        vault.lookup("2.25.1", asker)
    assert vault.lookup("P2", asker)


def test_the_forgotten_stay_forgotten(vault, store, by_hand, asker, lab):
    """Objects that leave later bring no way back, whichever process keeps them."""
    vault.keep("heart", *by_hand())
    elsewhere = Vault(store.rows, store.trail, VaultKeys(lab.OLD))
    elsewhere.keep("heart", *by_hand())
    vault.forget("P1", asker)
    assert vault.keep("heart", *by_hand(start=20)).forgotten == {"P1"}
    assert elsewhere.keep("heart", *by_hand(start=30)).rows == 0
    assert everything(vault, asker) == {}


def test_a_patient_is_forgotten_by_the_original_id(vault, by_hand, asker):
    """Who has only the hospital's number can forget the patient, in one project or in every one."""
    vault.keep("heart", *by_hand())
    vault.keep("lung", *by_hand())
    assert vault.forget(" ID P1 ", asker, "lung") == [("lung", "P1")]
    assert vault.forget("ID P1", asker) == [("heart", "P1")]
    with pytest.raises(NoWayBack, match="knows no patient"):
        vault.forget("ID P1", asker)


def test_one_id_of_several_patients_is_not_guessed(vault, by_hand, asker):
    """Two patients of one project with the same ID (of two issuers) are named by pseudonym."""
    for patient in ("P1", "P2"):
        clean, raw = by_hand(patient)
        facts = (replace(clean.originals[0], value="17"), *clean.originals[1:])
        vault.keep("heart", replace(clean, originals=facts), raw)
    with pytest.raises(NoWayBack, match="P1, P2"):
        vault.forget("17", asker)
    assert len(everything(vault, asker)) == 8


def test_forgetting_can_be_repeated(vault, by_hand, asker):
    """A second run, as after a reader held the log, ends well."""
    vault.keep("heart", *by_hand())
    assert vault.forget("P1", asker) == vault.forget("P1", asker) == [("heart", "P1")]


def test_nobody_forgets_the_trail(vault, by_hand, asker):
    """The empty name is no patient: the key of the audit trail cannot be deleted."""
    vault.keep("heart", *by_hand())
    vault.lookup("P1", asker)
    with pytest.raises(NoWayBack):
        vault.forget("", asker)
    assert vault.verify().is_whole


def test_rotation_makes_the_old_key_superfluous(vault, store, by_hand, asker, lab):
    """After a rotation the new key alone answers, and the trail stays whole."""
    for n in range(12):
        vault.keep("heart", *by_hand(f"P{n}", f"2.25.{n}"))
    before = everything(vault, asker)
    both = Vault(store.rows, store.trail, VaultKeys(lab.NEW, [lab.OLD]))
    told = []
    assert both.to_rotate() == both.rotate(asker, told.append) == sum(told) == 13
    assert (both.to_rotate(), both.rotate(asker)) == (0, 0)
    new = Vault(store.rows, store.trail, VaultKeys(lab.NEW))
    assert everything(new, asker) == before
    assert new.verify().is_whole
    with pytest.raises(NoVaultKey):
        Vault(store.rows, store.trail, VaultKeys(lab.OLD)).lookup("P1", asker)


def test_who_was_not_told_of_a_rotation_wraps_nothing(vault, store, by_hand, asker, lab):
    """A worker that still has the old key alone takes no new patient: that key may be destroyed."""
    vault.keep("heart", *by_hand("P1", "2.25.1"))
    both = Vault(store.rows, store.trail, VaultKeys(lab.NEW, [lab.OLD]))
    both.keep("heart", *by_hand("P2", "2.25.2"))  # before the rotation both keys serve
    both.rotate(asker)
    with pytest.raises(StorageFault, match=r"rotated to the key.*restart"):
        vault.keep("heart", *by_hand("P3", "2.25.3"))
    assert vault.keep("heart", *by_hand("P1", "2.25.1", start=20)).rows > 0  # its key is the same
    assert both.to_rotate() == 0
    assert both.keep("heart", *by_hand("P3", "2.25.3")).rows > 0
    alone = Vault(store.rows, store.trail, VaultKeys(lab.NEW))
    assert len({patient for patient, _, _ in everything(alone, asker)}) == 3


def test_a_backup_from_before_is_shut_once_the_old_key_is_gone(
    vault, store, by_hand, lab, tmp_path
):
    """Forget, rotate, destroy the old key: an older copy of the file tells nobody the patient."""
    vault.keep("heart", *by_hand())
    store.database.wipe_log()
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / FILE_NAME).write_bytes((tmp_path / FILE_NAME).read_bytes())
    asker = Asker("tester", "consent withdrawn")
    vault.forget("P1", asker)
    Vault(store.rows, store.trail, VaultKeys(lab.NEW, [lab.OLD])).rotate(asker)
    backup = VaultStore.open_existing(tmp_path / "backup")
    with pytest.raises(NoVaultKey):
        list(
            Vault(backup.rows, backup.trail, VaultKeys(lab.NEW))._opened(
                backup.rows.find("P1", None)
            )
        )
    backup.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.sampled_from(["keep", "keep", "lookup", "forget", "rotate", "restart"]), max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_any_sequence_of_deeds_keeps_the_promises(store, by_hand, asker, steps, chance):
    """After any deeds in any order, whoever was not forgotten is found and the trail is whole."""
    project = os.urandom(6).hex()
    rows = [VaultKey(os.urandom(16) + bytes(range(16)))]
    with store.database.write() as db:
        for table in ("patient_key", "original", "study", "forgotten", "audit"):
            db.execute(text(f"DELETE FROM {table}"))
    vault = Vault(store.rows, store.trail, VaultKeys(rows[0]))
    kept, forgotten = set(), set()
    for step in steps:
        patient = chance.choice(["P1", "P2"])
        if step == "keep":
            assert bool(vault.keep(project, *by_hand(patient)).forgotten) == (patient in forgotten)
            kept |= {patient} - forgotten
        elif step == "forget" and patient in kept | forgotten:
            vault.forget(patient, asker)
            forgotten.add(patient)
            kept.discard(patient)
        elif step == "rotate":
            rows.insert(0, VaultKey(os.urandom(16) + bytes(range(16))))
            vault = Vault(store.rows, store.trail, VaultKeys(rows[0], rows[1:2]))
            vault.rotate(asker)
        elif step == "restart":
            vault = Vault(store.rows, store.trail, VaultKeys(rows[0]))
        for each in kept:
            assert vault.lookup(each, asker)[0].value == f"ID {each}"
        for each in forgotten:
            with pytest.raises(NoWayBack):
                vault.lookup(each, Asker("tester", "is it gone"))
    assert vault.verify().is_whole
