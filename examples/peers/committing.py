"""pynetdicom on both sides of storage commitment: a modality that asks, a PACS that is asked."""

import contextlib
import queue
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import AllStoragePresentationContexts, build_role

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
THE_INSTANCE: Final = "1.2.840.10008.1.20.1.1"


@dataclass(frozen=True, slots=True)
class Told:
    """An N-EVENT-REPORT as it came: what is committed, and what is not and why."""

    event_type: int
    transaction_uid: str
    committed: frozenset[str]
    failed: dict[str, int]


def action(transaction_uid: str, references: Sequence[tuple[str, str]]) -> Dataset:
    """Make the dataset of a request for (SOP Class UID, SOP Instance UID) pairs."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    dataset.ReferencedSOPSequence = [_item(*each) for each in references]
    return dataset


def _item(sop_class_uid: str, sop_instance_uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    if reason is not None:
        item.FailureReason = reason
    return item


def read(event: evt.Event) -> Told:
    """Read a report out of the event that brought it."""
    dataset = event.event_information
    failed = dataset.get("FailedSOPSequence") or []
    return Told(
        event.event_type or 0,
        str(dataset.TransactionUID),
        frozenset(
            str(each.ReferencedSOPInstanceUID)
            for each in dataset.get("ReferencedSOPSequence") or []
        ),
        {str(each.ReferencedSOPInstanceUID): int(each.FailureReason) for each in failed},
    )


class Reports:
    """Takes reports, on whichever association they come."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Told] = queue.Queue()

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        """Answer an N-EVENT-REPORT."""
        self._queue.put(read(event))
        return 0x0000, None

    def next(self, timeout_s: float = 20) -> Told:
        """Wait for the next one; raises queue.Empty."""
        return self._queue.get(timeout=timeout_s)

    @property
    def is_empty(self) -> bool:
        """Whether all that came was taken."""
        return self._queue.empty()


def _entity(title: str) -> ApplicationEntity:
    entity = ApplicationEntity(title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    return entity


@contextlib.contextmanager
def asking(
    port: int, calling_ae: str, called_ae: str, reports: Reports | None = None
) -> Iterator[Any]:
    """Open an association that may ask for commitment; it stays open until the block ends."""
    entity = _entity(calling_ae)
    entity.add_requested_context(STORAGE_COMMITMENT)
    handlers = [(evt.EVT_N_EVENT_REPORT, reports.on_report)] if reports else []
    association = entity.associate("127.0.0.1", port, ae_title=called_ae, evt_handlers=handlers)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
        if association.dul.socket is not None and association.dul.socket.socket is not None:
            association.dul.socket.socket.close()


def ask(
    association: Any, transaction_uid: str, references: Sequence[tuple[str, str]]
) -> int | None:
    """Send N-ACTION on an open association; returns the status heard."""
    dataset = action(transaction_uid, references)
    answer, _ = association.send_n_action(dataset, 1, STORAGE_COMMITMENT, THE_INSTANCE)
    status: int | None = answer.get("Status")
    return status


@contextlib.contextmanager
def listening(title: str, reports: Reports, port: int = 0) -> Iterator[int]:
    """Listen as a modality does for reports on new associations; gives the port."""
    entity = _entity(title)
    entity.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_N_EVENT_REPORT, reports.on_report)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None  # it does not block
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


@dataclass(slots=True)
class CommittingPacs:
    """A PACS in memory that stores, and reports commitment in one of three ways."""

    title: str
    report_to: tuple[str, int]
    """AE title and loopback port of who asks, for reports on a new association."""
    way: Literal["same", "new", "never"] = "same"
    refused: Collection[str] = ()
    """SOP Instance UIDs that it does not commit itself to."""
    calling_ae: str = ""
    """The title under which it reports on a new association; its own by default."""
    stored: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Transaction UIDs, in the order of the requests."""
    statuses: list[int | None] = field(default_factory=list)
    """What its reports were answered."""
    _threads: list[threading.Thread] = field(default_factory=list)

    def on_store(self, event: evt.Event) -> int:
        """Take an object."""
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        """Take a request on, and report on it a moment later."""
        asked = event.action_information
        self.asked.append(str(asked.TransactionUID))
        if self.way != "never":
            thread = threading.Thread(target=self._report, args=(event.assoc, asked))
            self._threads.append(thread)
            thread.start()
        return 0x0000, None

    def finish(self) -> None:
        """Wait until no report is on its way."""
        for thread in self._threads:
            thread.join(20)

    def _report(self, association: Any, asked: Dataset) -> None:
        failures = [
            _item(each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID, 0x0112)
            for each in asked.ReferencedSOPSequence
            if each.ReferencedSOPInstanceUID not in self.stored
            or each.ReferencedSOPInstanceUID in self.refused
        ]
        failed = {each.ReferencedSOPInstanceUID for each in failures}
        dataset = Dataset()
        dataset.TransactionUID = asked.TransactionUID
        committed = [
            _item(each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID)
            for each in asked.ReferencedSOPSequence
            if each.ReferencedSOPInstanceUID not in failed
        ]
        if committed:
            dataset.ReferencedSOPSequence = committed
        if failures:
            dataset.FailedSOPSequence = failures
        self.send(dataset, 2 if failures else 1, association if self.way == "same" else None)

    def send(self, dataset: Dataset, event_type: int, association: Any = None) -> None:
        """Send a report, on this association or on a new one."""
        if association is not None:
            answer, _ = association.send_n_event_report(
                dataset, event_type, STORAGE_COMMITMENT, THE_INSTANCE
            )
            self.statuses.append(answer.get("Status"))
            return
        entity = _entity(self.calling_ae or self.title)
        entity.add_requested_context(STORAGE_COMMITMENT)
        called, port = self.report_to
        new = entity.associate(
            "127.0.0.1", port, ae_title=called,
            ext_neg=[build_role(STORAGE_COMMITMENT, scp_role=True)],
        )  # fmt: skip
        if not new.is_established:
            self.statuses.append(None)
            return
        answer, _ = new.send_n_event_report(dataset, event_type, STORAGE_COMMITMENT, THE_INSTANCE)
        self.statuses.append(answer.get("Status"))
        new.release()


@contextlib.contextmanager
def serving(pacs: CommittingPacs, port: int = 0) -> Iterator[int]:
    """Run a PACS on loopback until the block ends; gives its port."""
    entity = _entity(pacs.title)
    for context in AllStoragePresentationContexts:
        assert context.abstract_syntax is not None
        entity.add_supported_context(context.abstract_syntax)
    entity.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_STORE, pacs.on_store), (evt.EVT_N_ACTION, pacs.on_action)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None  # it does not block
    try:
        yield int(server.server_address[1])
    finally:
        pacs.finish()
        server.shutdown()
