"""What may not leave stays, and is told and counted; the others go on."""

import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest

from deid.vault.audit import Asker
from dicom.errors import ConfigFault, Corrupt, DeidFault, Invalid, StorageFault
from node.commands.status import lines
from node.vault import open_vault
from node.workers import treatment as module
from node.workers.workshop import Stopping, Workshop
from routing.job import Kind
from storage.vault.database import FILE_NAME


@pytest.mark.p4
def test_without_its_vault_a_reversible_profile_sends_nothing(site: Any, shop: Workshop):
    """A vault that is torn or has no key is told in words, and not one object leaves."""
    site.owe("linked")
    file = site.folder / "var" / FILE_NAME
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageFault, match="vault"):
        site.work(shop)
    file.unlink()
    (site.folder / "vault.key").unlink()
    with pytest.raises(ConfigFault, match=r"vault\.key"):
        site.work(shop)
    assert site.out == []
    assert site.evidence() == []


@pytest.mark.p4
def test_a_locked_vault_is_waited_for(site: Any, shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    """While another process holds the vault nothing leaves, and the job is tried again."""
    monkeypatch.setattr("storage.vault.database._PRAGMAS", ("busy_timeout=1", "journal_mode=WAL"))
    site.owe("linked")
    open_vault(shop.settings).close()
    other = sqlite3.connect(site.folder / "var" / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageFault) as fault:
        site.work(shop)
    assert (fault.value.code, fault.value.retry) == ("vault-busy", True)
    assert site.out == []
    other.close()
    site.work(shop)
    assert len(site.out) == len(site.originals().keys() & {e.SOPInstanceUID for e in site.out})


@pytest.mark.p4
def test_a_row_that_does_not_open_quarantines_its_patient_alone(
    lab: SimpleNamespace, site: Any, shop: Workshop
):
    """Objects of a patient whose key was tampered with are held and counted; others go on."""
    other = lab.image(lab.OBJECTS + 1)
    other.PatientID = "OTHER-1"
    site.receive([other])
    site.owe("linked")
    site.work(shop)
    sent = {each.SOPInstanceUID: each.PatientID for each in site.out}
    (alone,) = (p for p in sent.values() if list(sent.values()).count(p) == 1)
    with sqlite3.connect(site.folder / "var" / FILE_NAME) as db:
        db.execute("UPDATE patient_key SET wrapped = zeroblob(60) WHERE patient = ?", (alone,))
    db.close()
    late = [lab.image(lab.OBJECTS + number) for number in (2, 3)]
    late[0].PatientID = "OTHER-1"
    site.receive(late)
    shop.close()
    again = site.workshop()
    with pytest.raises(DeidFault, match="1 of 2 objects may not leave") as fault:
        site.work(again)
    assert fault.value.code == "vault-tampered"
    assert len(site.out) == lab.OBJECTS + 2
    facts = {"node": {"running": False, "ae_title": "X"}, **again.ledger.summary()}
    assert dict(lines(facts))["quarantined"] == "1 instance: vault-tampered 1"
    (told,) = (
        event.data
        for event in again.ledger.outbox.after(0, 100)
        if event.type == "penumbra.series.quarantined"
    )
    assert (told["instances"], told["faults"], told["alarm"]) == (1, {"vault-tampered": 1}, False)
    again.close()


@pytest.mark.p4
def test_a_key_that_is_none_is_named(site: Any, shop: Workshop):
    """A profile's key that is weak or gone holds the job in words, and no object leaves."""
    site.owe("plain")
    (site.folder / "plain.key").write_text("a passphrase")
    with pytest.raises(ConfigFault, match=r"profiles\.plain\.key.*penumbra key new"):
        site.work(shop)
    (site.folder / "plain.key").unlink()
    with pytest.raises(ConfigFault, match=r"profiles\.plain\.key"):
        site.work(shop)
    assert site.out == []


@pytest.mark.p2
def test_objects_before_a_damaged_one_leave(lab: SimpleNamespace, site: Any):
    """A fault of the spool keeps back the damaged object, not those that were ready before it."""
    found = site.receive([lab.image(number) for number in range(1, 6)])
    broken = found[3].location
    file = next((site.folder / "var" / "spool").rglob(f"{broken.segment}*"))
    content = bytearray(file.read_bytes())
    content[broken.offset + broken.length // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
    site.owe("linked")
    shop = site.workshop()
    with pytest.raises(Corrupt):
        site.work(shop)
    assert len(site.out) == len(shop.ledger.receipts.list("out")) == 3
    shop.close()


def test_a_worker_that_is_asked_to_end_stops_between_two_objects(
    site: Any, shop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    """It does not first make a whole batch ready."""
    monkeypatch.setattr(module, "TOGETHER_S", 1000)  # on a busy machine a batch would end before
    site.owe("linked")
    made: list[int] = []
    real = module.deidentify

    def one(*arguments: object) -> object:
        made.append(1)
        if len(made) == 3:
            shop.stopping.set()
        return real(*arguments)

    monkeypatch.setattr(module, "deidentify", one)
    with pytest.raises(Stopping):
        site.work(shop)
    assert (len(made), site.out) == (3, [])


@pytest.mark.parametrize(("limit", "size"), [("TOGETHER_BYTES", 100_000), ("TOGETHER", 2)])
def test_few_objects_are_in_memory_at_once(lab, site, shop, monkeypatch, *, limit, size):
    """A batch ends by number and by size, so that an encrypted spool is never opened whole."""
    monkeypatch.setattr(module, limit, size)
    monkeypatch.setattr(module, "TOGETHER_S", 1000)
    site.owe("linked")
    job = site.claim(shop)
    made = module.treatment(job, shop)
    batches = made._batches(shop.ledger.receipts.owed(lab.KEY, "out", made.applied))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) == 2
    assert sum(sizes) == lab.OBJECTS


@pytest.mark.p6
def test_a_patient_who_is_forgotten_while_a_job_runs_stays_forgotten(
    lab: SimpleNamespace, site: Any, shop: Workshop
):
    """Forgetting in the middle of a Series leaves no way back to any object of it."""
    site.owe("linked")
    job = site.claim(shop)
    made = module.treatment(job, shop)
    ready = made.ready(shop.ledger.receipts.owed(lab.KEY, "out", made.applied))
    _, first = next(ready)
    assert first.sop_instance_uid in site.originals()
    elsewhere = open_vault(shop.settings)
    elsewhere.forget("CNRY-48213", Asker("tester", "withdrawn consent"))
    elsewhere.close()
    assert len(list(ready)) == lab.OBJECTS - 1
    assert site.originals() == {}


@pytest.mark.p4
def test_what_comes_back_is_validated_where_the_rule_holds(lab: SimpleNamespace, site: Any):
    """validation = "hold" speaks also of results that get their identity back."""
    broken = lab.image(1)
    del broken.Rows
    site.receive([broken])
    site.owe("strict", Kind.REIDENTIFY)
    shop = site.workshop()
    with pytest.raises(Invalid, match="missing-type-1"):
        site.work(shop)
    assert site.out == []
    shop.close()


@pytest.mark.p6
def test_nothing_of_the_patient_is_told(lab: SimpleNamespace, site: Any, shop: Workshop):
    """Ledger, events and evidence of a job that ended badly hold no name and no number."""
    broken = lab.image(lab.OBJECTS + 1)
    broken.BurnedInAnnotation = "YES"
    site.receive([broken])
    site.owe("linked")
    with pytest.raises(DeidFault) as fault:
        site.work(shop)
    assert "uillob" not in str(fault.value)
    shop.ledger.database.close()
    raw = b"".join(file.read_bytes() for file in (site.folder / "var").glob("ledger*"))
    assert raw
    assert not [word for word in (b"Quillob", b"CNRY-48213") if word in raw]
