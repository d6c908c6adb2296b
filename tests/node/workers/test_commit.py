"""A job that asks a PACS to commit itself, taken up again after its worker died."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.model import Settings
from dicom.entity import Arrival, Instance, Location, SeriesKey
from node.workers import commit as module
from node.workers.workshop import Later
from routing.job import Kind, NewJob
from storage.destinations.base import Receipt
from storage.ledger.arrived import Arrived
from storage.ledger.committed import Transaction
from storage.ledger.ledger import Ledger

KEY = SeriesKey("1.2", "1.2.3")
JOB = SimpleNamespace(id=1, spec=NewJob(Kind.COMMIT, KEY, 1, "rule", "pacs"))
CONFIG = {
    "peers": {"PACS": {"host": "127.0.0.1", "port": 104}},
    "destinations": {"pacs": {"kind": "dicom", "peer": "PACS", "commit": True}},
}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Any]:
    """A workshop with one object that the PACS has a receipt for."""
    ledger = Ledger.open(tmp_path)
    arrival = Arrival("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1", "1.2.840.10008.1.2.1",
                      "CT1", "PENUMBRA", "a1", "127.0.0.1", 10)  # fmt: skip
    instance = Instance(arrival, Location("w-1", 0, 100), "d")
    ledger.intake.absorb([Arrived(instance, KEY, {"Modality": "CT"})], {}, 11)
    receipt = Receipt("pacs", "d", "1.2.3.1", "PACS@h:1", "x", "", "status 0x0000", 21.0)
    ledger.receipts.add(1, "", [(instance, receipt)])
    yield SimpleNamespace(settings=Settings.model_validate(CONFIG), ledger=ledger)
    ledger.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what is asked, in place of an association."""
    names: list[str] = []

    def ask(_job: object, workshop: Any, _destination: object, _wanted: object) -> Transaction:
        names.append(f"1.9.{len(names)}")
        return Transaction(names[-1], workshop.ledger.database.now(), None)

    monkeypatch.setattr(module, "_ask", ask)
    return names


def test_what_was_perhaps_never_sent_is_asked_anew(shop: Any, asked: list[str]) -> None:
    """A worker that died before the PACS took its request costs no waiting; one that died after
    it leaves the answer to be waited for."""
    room, database = shop.ledger.committed, shop.ledger.database
    room.ask("1.8", JOB.id, "PACS", room.missing(KEY, "pacs"), database.now())
    with pytest.raises(Later):
        module.commit(JOB, shop)  # type: ignore[arg-type]  # as much of a job as it looks at
    assert asked == ["1.9.0"]
    assert room.open(JOB.id) is None
    room.ask("1.8.1", JOB.id, "PACS", room.missing(KEY, "pacs"), database.now())
    room.taken("1.8.1", database.now())
    with pytest.raises(Later):
        module.commit(JOB, shop)  # type: ignore[arg-type]
    assert asked == ["1.9.0"]
