"""A vault whose file was changed, or whose key is another, answers nobody."""

import pytest
from sqlalchemy import text

from deid.vault.sealing import NoVaultKey, VaultKeys, VaultTampered
from deid.vault.vault import Vault
from dicom.errors import Corrupt

SWAPPED = (
    "UPDATE original AS a SET sealed = b.sealed FROM original AS b"
    " WHERE a.pseudonym = '2.25.1' AND b.pseudonym = '2.25.2'"
)
SWAPPED_KEY = (
    "UPDATE patient_key AS a SET wrapped = b.wrapped FROM patient_key AS b"
    " WHERE a.patient = 'P1' AND b.patient = 'P2'"
)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE original SET sealed = zeroblob(40) WHERE pseudonym = '2.25.1'",
        "UPDATE original SET sealed = x'' WHERE pseudonym = '2.25.1'",
        SWAPPED,
        "UPDATE patient_key SET wrapped = zeroblob(60) WHERE patient = 'P1'",
        SWAPPED_KEY,
        "UPDATE original SET patient = 'P2' WHERE pseudonym = '2.25.1'",
        "UPDATE original SET project = 'lung' WHERE pseudonym = '2.25.1'",
    ],
)
def test_rows_that_were_changed_or_swapped_give_no_answer(vault, store, by_hand, asker, damage):
    """Whatever is done to the file, the vault never gives another's original."""
    vault.keep("heart", *by_hand())
    vault.keep("heart", *by_hand("P2", "2.25.5", start=10))
    with store.database.write() as db:
        assert db.execute(text(damage)).rowcount == 1
    if "'lung'" in damage:
        assert vault.lookup("2.25.1", asker) == []
    else:
        with pytest.raises(VaultTampered):
            vault.lookup("2.25.1", asker)


def test_a_swapped_snapshot_gives_no_answer(vault, store, by_hand, asker):
    """The modules of one study never stand in for those of another."""
    vault.keep("heart", *by_hand())
    vault.keep("heart", *by_hand(study="2.25.8"))
    swap = (
        "UPDATE study SET sealed = (SELECT sealed FROM study WHERE study_instance_uid = '2.25.8')"
        " WHERE study_instance_uid = '2.25.1'"
    )
    with store.database.write() as db:
        db.execute(text(swap))
    with pytest.raises(VaultTampered):
        vault.study("heart", "P1", "2.25.1", asker)
    assert vault.study("heart", "P1", "2.25.8", asker).study_instance_uid


def test_a_key_that_went_missing_stops_what_leaves(vault, store, by_hand):
    """A patient's key that is gone, though nobody forgot the patient, is damage: nothing leaves."""
    vault.keep("heart", *by_hand())
    with store.database.write() as db:
        db.execute(text("DELETE FROM patient_key WHERE patient = 'P1'"))
    with pytest.raises(Corrupt, match="restore"):
        vault.keep("heart", *by_hand(start=10))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE audit SET purpose = 'nothing' WHERE number = 2",
        "DELETE FROM audit WHERE number = 1",
        "DELETE FROM audit WHERE number = 2",
        "UPDATE audit SET number = 9 WHERE number = 3",
        "UPDATE patient_key SET wrapped = zeroblob(60) WHERE patient = ''",
    ],
)
def test_a_changed_trail_is_found(vault, store, by_hand, asker, damage):
    """Entries that were changed, dropped or moved in the file break the chain."""
    vault.keep("heart", *by_hand())
    for _ in range(3):
        vault.lookup("P1", asker)
    head = vault.verify().head
    with store.database.write() as db:
        db.execute(text(damage))
    if "patient_key" in damage:
        with pytest.raises(VaultTampered):
            vault.verify()
    else:
        assert not vault.verify(head).is_whole


def test_a_wrong_key_gives_no_answer(vault, store, by_hand, asker, lab):
    """With another key there is neither an answer nor a new row, and the setting is named."""
    vault.keep("heart", *by_hand())
    vault.lookup("P1", asker)
    other = Vault(store.rows, store.trail, VaultKeys(lab.NEW))
    for ask in (
        lambda: other.lookup("P1", asker),
        lambda: other.keep("heart", *by_hand(start=10)),
        lambda: other.rotate(asker),
    ):
        with pytest.raises(NoVaultKey, match=lab.OLD.id):
            ask()
