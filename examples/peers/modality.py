"""A modality's performed procedure steps, as pynetdicom sends them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity

MPPS: Final = "1.2.840.10008.3.1.2.3.3"
CT: Final = "1.2.840.10008.5.1.4.1.1.2"


def beginning(study_instance_uid: str) -> Dataset:
    """Make the attributes of a step that begins."""
    scheduled = Dataset()
    scheduled.StudyInstanceUID = study_instance_uid
    dataset = Dataset()
    dataset.ScheduledStepAttributesSequence = [scheduled]
    dataset.PatientName, dataset.PatientID = "KANARIENVOGEL^HANS", "ZZ-4711-0815"
    dataset.PerformedProcedureStepID, dataset.PerformedStationAETitle = "S1", "SCANNER"
    dataset.PerformedProcedureStepStartDate = "20260102"
    dataset.PerformedProcedureStepStartTime = "101112"
    dataset.PerformedProcedureStepStatus, dataset.Modality = "IN PROGRESS", "CT"
    return dataset


def ending(status: str, made: Mapping[str, Sequence[str]]) -> Dataset:
    """Make the modifications that end a step: its Series with the Instances of each."""
    dataset = Dataset()
    dataset.PerformedProcedureStepStatus = status
    dataset.PerformedProcedureStepEndDate = "20260102"
    dataset.PerformedProcedureStepEndTime = "101500"
    dataset.PerformedSeriesSequence = [_series(*each) for each in made.items()]
    return dataset


def _series(series_instance_uid: str, sop_instance_uids: Sequence[str]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID, item.ProtocolName = series_instance_uid, "THORAX"
    item.ReferencedImageSequence = [_reference(each) for each in sop_instance_uids]
    return item


def _reference(sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, sop_instance_uid
    return item


@contextlib.contextmanager
def performing(port: int, calling_ae: str, called_ae: str) -> Iterator[Any]:
    """Open an association for steps, and release it when the block ends."""
    entity = ApplicationEntity(calling_ae)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    entity.add_requested_context(MPPS)
    association = entity.associate("127.0.0.1", port, ae_title=called_ae)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def create(association: Any, sop_instance_uid: str | None, dataset: Dataset) -> Dataset:
    """Send N-CREATE; gives the status with the UID that the answer names."""
    named: list[str] = []

    def note(event: evt.Event) -> None:
        named.append(str(event.message.command_set.get("AffectedSOPInstanceUID", "")))

    association.bind(evt.EVT_DIMSE_RECV, note)
    status: Dataset = association.send_n_create(dataset, MPPS, sop_instance_uid)[0]
    association.unbind(evt.EVT_DIMSE_RECV, note)
    status.AffectedSOPInstanceUID = named[0]
    return status


def change(association: Any, sop_instance_uid: str, dataset: Dataset) -> Dataset:
    """Send N-SET; gives the status with what else was answered."""
    answer, _ = association.send_n_set(dataset, MPPS, sop_instance_uid)
    status: Dataset = answer
    return status
