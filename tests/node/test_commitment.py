"""Storage commitment at the door: what is taken on, what is refused, and where the report goes."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt

from config.model import Settings
from dicom import commitment
from dicom.commitment import Reference, Report, Request
from dicom.entity import Arrival, Instance, Location, SeriesKey
from dicom.errors import StorageFault
from examples.peers import committing
from examples.peers.committing import STORAGE_COMMITMENT, THE_INSTANCE, CommittingPacs, Reports
from examples.peers.process import wait_until
from node.committing import Committing
from node.exchange import LIST_LIMIT
from node.services.commitment import CommitmentService
from storage.ledger.arrived import Arrived
from storage.ledger.commitments import State
from storage.ledger.expectations import Expected
from storage.ledger.ledger import Ledger

CT = "1.2.840.10008.5.1.4.1.1.2"
ONE = [(CT, "1.2.3.1")]
ANSWERED = 0x0000
SYNTAX = "1.2.840.10008.1.2.1"
PEERS = {
    "SCANNER": {"may": ["store", "commit"]},
    "NOSTORE": {"may": ["find"]},
    "PACS": {"host": "127.0.0.1", "port": 104},
}
DESTINATIONS = {"pacs": {"kind": "dicom", "peer": "PACS", "commit": True}}


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A door with the service, and the ledger and the thread's work behind it."""

    def __init__(self, ledger: Ledger, open_door: Callable[..., Any]) -> None:
        self.ledger, self.clock, self.lag = ledger, Clock(), 0
        self.rang = threading.Event()
        self.committing: Committing
        self.door = open_door(peers=PEERS, destinations=DESTINATIONS, services=self._services)

    @property
    def port(self) -> int:
        return int(self.door.port)

    def step_until(self, state: State) -> None:
        """Do the thread's work until a request stands there."""

        def there() -> bool:
            self.committing.step()
            return self.ledger.commitments.counts()[state] == 1

        wait_until(there, 10, f"a request that is {state}")

    def _services(self, settings: Settings) -> list[CommitmentService]:
        destinations = Settings.model_validate({"destinations": DESTINATIONS}).destinations
        settings = settings.model_copy(update={"destinations": destinations})
        self.committing = Committing(
            settings, self.ledger, [CT], lag=lambda: self.lag, ring=self.rang.set, clock=self.clock
        )
        return [CommitmentService(settings, self.committing, self.ledger.committed, self.clock)]


@pytest.fixture
def desk(tmp_path: Path, open_door: Callable[..., Any]) -> Iterator[Desk]:
    """A door that takes requests for commitment."""
    ledger = Ledger.open(tmp_path / "var")
    made = Desk(ledger, open_door)
    yield made
    made.committing.stop(1)
    ledger.close()


@contextlib.contextmanager
def asking(desk: Desk, reports: Reports | None = None, title: str = "SCANNER") -> Iterator[Any]:
    """Open an association to the door."""
    with committing.asking(desk.port, title, "PENUMBRA", reports) as association:
        yield association


@pytest.mark.p1
def test_success_means_that_the_request_is_in_the_ledger(desk: Desk) -> None:
    """When the modality hears 0x0000, the request is there to be found after a restart."""
    with asking(desk) as association:
        assert committing.ask(association, "1.9", ONE) == ANSWERED
        (asked,) = desk.ledger.commitments.due(desk.clock.now)
        assert (asked.peer, asked.request.transaction_uid) == ("SCANNER", "1.9")


@pytest.mark.p1
def test_a_ledger_that_fails_is_no_success(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that could not be written down is not taken on."""

    def fail(*_: object) -> int:
        raise StorageFault("the disk is gone")

    monkeypatch.setattr("storage.ledger.commitments.Commitments.receive", fail)
    with asking(desk) as association:
        assert committing.ask(association, "1.9", ONE) == 0x0213
    monkeypatch.setattr("storage.ledger.commitments.Commitments.receive", lambda *_: 1 // 0)
    with structlog.testing.capture_logs() as lines, asking(desk) as association:
        assert committing.ask(association, "1.9", ONE) == 0x0110
    assert "ZeroDivisionError at" in str(lines)


def without(keyword: str) -> Dataset:
    """Make a request that lacks an attribute."""
    dataset = committing.action("1.9", ONE)
    delattr(dataset, keyword)
    return dataset


@pytest.mark.parametrize(
    ("dataset", "action", "instance", "status"),
    [
        (committing.action("1.9", ONE), 2, THE_INSTANCE, 0x0123),
        (committing.action("1.9", ONE), 1, "1.2.3", 0x0112),
        (None, 1, THE_INSTANCE, 0x0115),
        (without("TransactionUID"), 1, THE_INSTANCE, 0x0115),
        (without("ReferencedSOPSequence"), 1, THE_INSTANCE, 0x0115),
        (committing.action("1.9", []), 1, THE_INSTANCE, 0x0115),
    ],
)
def test_bad_requests_hear_why(
    desk: Desk, dataset: Dataset | None, action: int, instance: str, status: int
) -> None:
    """Each kind of slip has its status, a comment says which, and the association goes on."""
    with asking(desk) as association:
        answer, _ = association.send_n_action(dataset, action, STORAGE_COMMITMENT, instance)
        assert (answer.Status, bool(answer.ErrorComment)) == (status, True)
        assert committing.ask(association, "1.9", ONE) == ANSWERED


def test_a_list_has_an_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many Instances as are allowed are taken on; one more is answered 0x0213, and nothing is
    kept of it. No list of that length is too long for the association."""
    longest = Reference("1." + "2" * 62, "1." + "2" * 62)
    one, two = (
        len(commitment.write_request(Request("1.9", (longest,) * count), SYNTAX))
        for count in (1, 2)
    )
    assert one + (two - one) * commitment.MOST_REFERENCES < LIST_LIMIT
    monkeypatch.setattr(commitment, "MOST_REFERENCES", 10_000)
    many = tuple(Reference(CT, f"1.2.3.{number}") for number in range(10_001))
    for count, status in ((10_000, ANSWERED), (10_001, 0x0213)):
        encoded = commitment.write_request(Request("1.9", many[:count]), SYNTAX)
        monkeypatch.setattr("pynetdicom.association.encode", lambda *_, e=encoded: e)
        with asking(desk) as association:
            association.dimse_timeout = 60
            assert committing.ask(association, "1.9", ONE) == status
    (asked,) = desk.ledger.commitments.due(desk.clock.now)
    assert len(asked.request.references) == 10_000


def test_who_may_not_ask_is_refused_at_the_door(desk: Desk) -> None:
    """Without the permission the presentation context is refused."""
    with asking(desk, title="NOSTORE") as association:
        assert not association.is_established


def test_a_pacs_that_is_asked_may_answer_and_not_ask(desk: Desk) -> None:
    """A peer with commit = true has the context for its answers; its own requests are refused."""
    with asking(desk, title="PACS") as association:
        assert committing.ask(association, "1.9", ONE) == 0x0124


def test_answers_count_from_whom_was_asked_for_what_was_asked(desk: Desk) -> None:
    """A report with our Transaction UID is noted, with roles selected as PS3.7 D.3.3.4 says."""
    desk.ledger.committed.ask("1.8", 1, "PACS", [], 1000)
    pacs = CommittingPacs("PACS", ("PENUMBRA", desk.port))
    for title, transaction, event_type, status in (
        ("SCANNER", "1.8", 1, 0x0115),
        ("PACS", "1.7", 1, 0x0115),
        ("PACS", "1.8", 3, 0x0113),
        ("PACS", "1.8", 1, 0x0000),
    ):
        pacs.calling_ae = title
        pacs.send(committing.action(transaction, ONE), event_type)
        assert pacs.statuses[-1] == status, (title, transaction, event_type)
    assert desk.ledger.committed.open(1).answered_at == 1000


def test_an_unknown_instance_has_its_time(desk: Desk) -> None:
    """It may still come, within the grace time and while objects wait to be filed; not after."""
    reports = Reports()
    with asking(desk, reports) as association:
        committing.ask(association, "1.9", ONE)
        desk.committing.step()
        assert desk.ledger.commitments.counts()["pending"] == 1
        desk.clock.now += 61
        desk.lag = 1
        desk.committing.step()
        assert desk.ledger.commitments.counts()["pending"] == 1
        desk.clock.now += 61
        desk.lag = 0
        desk.step_until(State.REPORTED)
        assert reports.next().failed == {"1.2.3.1": 0x0112}


def test_a_class_that_is_not_stored_is_told_at_once(desk: Desk) -> None:
    """Nobody waits for an Instance that the node would not take (0x0122)."""
    reports = Reports()
    with asking(desk, reports) as association:
        committing.ask(association, "1.9", [("1.2.3", "1.2.3.1")])
        desk.step_until(State.REPORTED)
        assert reports.next().failed == {"1.2.3.1": 0x0122}


def test_who_releases_is_told_by_a_job(desk: Desk) -> None:
    """Once the association is gone, the report is a job for that peer, written once."""
    with asking(desk) as association:
        committing.ask(association, "1.9", [("1.2.3", "1.2.3.1")])
    desk.step_until(State.OWED)
    desk.committing.step()
    (job,) = desk.ledger.jobs.list(list(desk.ledger.jobs.counts()), 9)
    assert (job.spec.kind, job.spec.target) == ("report", "SCANNER")
    assert desk.rang.is_set()


def test_who_does_not_take_its_report_there_is_told_by_a_job(desk: Desk) -> None:
    """A peer that refuses the report, or ends the association over it, has not been told."""

    class Refusing(Reports):
        def on_report(self, event: evt.Event) -> tuple[int, None]:
            super().on_report(event)
            return 0x0110, None

    with asking(desk, Refusing()) as association:
        committing.ask(association, "1.9", [("1.2.3", "1.2.3.1")])
        desk.step_until(State.OWED)

    class Leaving(Reports):
        def on_report(self, event: evt.Event) -> tuple[int, None]:
            event.assoc.abort()
            return 0x0000, None

    with asking(desk, Leaving()) as association:
        committing.ask(association, "1.10", [("1.2.3", "1.2.3.1")])
        wait_until(
            lambda: desk.committing.step() > -1 and desk.ledger.commitments.counts()["owed"] == 2,
            20,
            "the second job",
        )


def test_a_report_is_read_whatever_the_transfer_syntax() -> None:
    """Both little endian syntaxes that are offered carry the same report."""
    report = Report("1.2.3", (Reference(CT, "1.2.3.4"),))
    for syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"):
        assert commitment.read_report(commitment.write_report(report, syntax), syntax, 1) == report


def test_who_may_still_release_is_left_in_peace(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after the answer nothing is sent: a requester that releases then hears it elsewhere."""
    monkeypatch.setattr("node.committing.QUIET_S", 3600.0)
    reports = Reports()
    with asking(desk, reports) as association:
        committing.ask(association, "1.9", [("1.2.3", "1.2.3.1")])
        desk.step_until(State.JUDGED)
        desk.committing.step()
        assert desk.ledger.commitments.counts()["judged"] == 1
    desk.step_until(State.OWED)
    assert reports.is_empty


@pytest.mark.parametrize(
    ("of_series", "told"),
    [({"1": "1.2.7"}, "1.2.7"), ({"1": "1.2.7", "2": "1.2.7"}, "1.2.7"),
     ({"1": "1.2.7", "2": "1.2.8"}, "")],
)  # fmt: skip
def test_what_is_asked_about_and_missing_is_waited_for(
    desk: Desk, of_series: dict[str, str], told: str
) -> None:
    """Where all that is there is of one Series, it waits for the rest; else its Study does."""
    for number, series in of_series.items():
        arrival = Arrival(CT, f"1.2.3.{number}", SYNTAX, "SCANNER", "N", "a", "h", 999.0)
        instance = Instance(arrival, Location("s", 0, 1), "d" + number)
        desk.ledger.intake.absorb([Arrived(instance, SeriesKey("1.2", series))], {}, 999.0)
    with asking(desk) as association:
        committing.ask(association, "1.9", [(CT, f"1.2.3.{number}") for number in "123"])
        desk.lag = 1  # the rest may be here already
        desk.committing.step()
        assert desk.ledger.expectations.of_study("1.2") == []
        desk.lag, desk.clock.now = 0, desk.clock.now + 1
        desk.committing.step()
    (noted,) = desk.ledger.expectations.of_study("1.2")
    names = ("1.2.3.1", "1.2.3.2", "1.2.3.3")
    assert noted == Expected("1.2", told, "commitment", 3, names)
