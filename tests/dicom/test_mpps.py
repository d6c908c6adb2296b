"""Performed procedure steps: what is read of them, and what may follow what."""

import contextlib
import io
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from dicom import mpps
from dicom.errors import ServiceFault
from dicom.mpps import FOLLOWERS, Change, PerformedSeries, Scheduled, Status, Step
from dicom.normalized import (
    InvalidAttributeValue,
    MissingAttribute,
    MissingAttributeValue,
    NoLongerUpdated,
)
from examples.peers.modality import beginning, ending

SYNTAX = str(ExplicitVRLittleEndian)
SERIES = (PerformedSeries("1.2.3.1", ("1.2.3.1.1", "1.2.3.1.2")), PerformedSeries("1.2.3.2"))


def encoded(dataset: Dataset) -> bytes:
    """Write a dataset as pydicom does."""
    stream = io.BytesIO()
    dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def test_a_step_begins_and_ends() -> None:
    """The Study is read when it begins; Series, Instances and the end when it is completed."""
    step = mpps.created(encoded(beginning("1.2.3")), SYNTAX)
    assert step == Step(Status.IN_PROGRESS, ("1.2.3",), scheduled=(Scheduled("1.2.3", ""),))
    made = {"1.2.3.1": ["1.2.3.1.1", "1.2.3.1.2"], "1.2.3.2": []}
    by = mpps.change(encoded(ending("COMPLETED", made)), SYNTAX)
    assert by == Change(Status.COMPLETED, SERIES, has_ended=True)
    assert mpps.changed(step, by) == Step(Status.COMPLETED, ("1.2.3",), SERIES, has_ended=True)


@pytest.mark.parametrize(
    ("keyword", "value", "fault"),
    [
        ("PerformedProcedureStepStatus", None, MissingAttribute),
        ("PerformedProcedureStepID", None, MissingAttribute),
        ("PerformedProcedureStepID", "", MissingAttributeValue),
        ("PerformedStationAETitle", None, MissingAttribute),
        ("PerformedProcedureStepStartDate", "", MissingAttributeValue),
        ("PerformedProcedureStepStartTime", None, MissingAttribute),
        ("Modality", None, MissingAttribute),
        ("ScheduledStepAttributesSequence", None, MissingAttribute),
        ("ScheduledStepAttributesSequence", [], MissingAttributeValue),
        ("ScheduledStepAttributesSequence", [Dataset()], MissingAttribute),
        ("PerformedProcedureStepStatus", "COMPLETED", InvalidAttributeValue),
        ("PerformedProcedureStepStatus", "DONE", InvalidAttributeValue),
    ],
)
def test_a_step_that_lacks_something_is_not_created(
    keyword: str, value: object, fault: type[ServiceFault]
) -> None:
    """What is of type 1 must be there and have a value, and a step begins in progress."""
    dataset = beginning("1.2.3")
    if value is None:
        delattr(dataset, keyword)
    else:
        setattr(dataset, keyword, value)
    with pytest.raises(fault):
        mpps.created(encoded(dataset), SYNTAX)


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_every_pair_of_states(before: Status, after: Status) -> None:
    """A step in progress may become anything; one that is over is not touched again."""
    step = Step(before, ("1.2",), SERIES, has_ended=True)
    if after in FOLLOWERS[before]:
        assert mpps.changed(step, Change(after)).status is after
        return
    with pytest.raises(NoLongerUpdated) as refused:
        mpps.changed(step, Change(after))
    assert (refused.value.status, refused.value.error_id) == (0x0110, 0xA710)


@pytest.mark.parametrize(
    ("status", "series", "has_ended"),
    [
        (Status.COMPLETED, (), True),
        (Status.COMPLETED, SERIES, False),
        (Status.DISCONTINUED, (), False),
    ],
)
def test_an_end_needs_its_attributes(
    status: Status, series: tuple[PerformedSeries, ...], has_ended: bool
) -> None:
    """Completed needs Series, and either end its date and time (PS3.4 Table F.7.2-1)."""
    step = Step(Status.IN_PROGRESS, ("1.2",))
    with pytest.raises(MissingAttribute):
        mpps.changed(step, Change(status, series, has_ended=has_ended))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_step_or_a_fault(junk: bytes) -> None:
    """Whatever a modality sends, it is read or refused with a status."""
    for read in (mpps.created, mpps.change):
        with contextlib.suppress(ServiceFault):
            read(junk, SYNTAX)
