"""Storage commitment's datasets: written and read alike, and judged before they are believed."""

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom import commitment
from dicom.commitment import FailureReason, Reference, Report, Request
from dicom.errors import ServiceFault
from dicom.normalized import InvalidArgument, NoSuchEventType, ResourceLimitation

CT = "1.2.840.10008.5.1.4.1.1.2"
SYNTAXES = (str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian))
uids = st.integers(1, 10**39).map("2.25.{}".format)
references = st.builds(Reference, uids, uids)
reasons = st.sampled_from(list(FailureReason))


def encoded(dataset: Dataset, syntax: str) -> bytes:
    """Write a dataset as pydicom does."""
    stream = io.BytesIO()
    implicit = syntax == ImplicitVRLittleEndian
    dcmwrite(stream, dataset, implicit_vr=implicit, little_endian=True)
    return stream.getvalue()


@given(
    st.builds(Request, uids, st.lists(references, min_size=1, max_size=5, unique=True).map(tuple)),
    st.sampled_from(SYNTAXES),
)
def test_a_request_reads_as_it_was_written(request: Request, syntax: str) -> None:
    """What goes out in a request is what comes in of it, in either transfer syntax."""
    assert commitment.read_request(commitment.write_request(request, syntax), syntax) == request


@given(
    st.builds(
        Report,
        uids,
        st.lists(references, max_size=5, unique=True).map(tuple),
        st.lists(st.tuples(references, reasons.map(int)), max_size=5).map(tuple),
    ),
    st.sampled_from(SYNTAXES),
)
def test_a_report_reads_as_it_was_written(report: Report, syntax: str) -> None:
    """What goes out in a report is what comes in of it, in either transfer syntax."""
    dataset = commitment.write_report(report, syntax)
    assert commitment.read_report(dataset, syntax, int(report.event)) == report


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pydicom_reads_what_is_written(syntax: str) -> None:
    """Another implementation finds the attributes of PS3.3 C.14 where they belong."""
    failed = ((Reference(CT, "1.2.4"), 0x0112),)
    report = Report("1.2.3", (Reference(CT, "1.2.3.4"),), failed)
    stream = io.BytesIO(commitment.write_report(report, syntax))
    dataset = read_dataset(stream, syntax == ImplicitVRLittleEndian, is_little_endian=True)
    assert dataset.TransactionUID == "1.2.3"
    assert dataset.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    assert dataset.FailedSOPSequence[0].FailureReason == 0x0112
    assert dataset.FailedSOPSequence[0].ReferencedSOPClassUID == CT


def request_dataset(**changes: object) -> Dataset:
    """Make a good request, then spoil it."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, "1.2.3.4"
    dataset = Dataset()
    dataset.TransactionUID, dataset.ReferencedSOPSequence = "1.2.3", [item]
    for keyword, value in changes.items():
        target = dataset if keyword in dataset else item
        if value is None:
            delattr(target, keyword)
        else:
            setattr(target, keyword, value)
    return dataset


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    "changes",
    [
        {"TransactionUID": None},
        {"TransactionUID": ""},
        {"ReferencedSOPSequence": None},
        {"ReferencedSOPSequence": []},
        {"ReferencedSOPClassUID": None},
        {"ReferencedSOPInstanceUID": ""},
    ],
)
def test_a_request_that_lacks_something_is_refused(syntax: str, changes: dict) -> None:
    """Without Transaction UID, list, class or instance there is nothing to vouch for."""
    good = commitment.read_request(encoded(request_dataset(), syntax), syntax)
    assert good == Request("1.2.3", (Reference(CT, "1.2.3.4"),))
    with pytest.raises(InvalidArgument):
        commitment.read_request(encoded(request_dataset(**changes), syntax), syntax)


@given(st.binary(max_size=300), st.sampled_from(SYNTAXES))
def test_any_bytes_are_a_request_or_a_fault(junk: bytes, syntax: str) -> None:
    """Whatever a peer sends, it is read or refused with a status, and nothing else happens."""
    for read in (commitment.read_request, lambda *what: commitment.read_report(*what, 1)):
        with contextlib.suppress(InvalidArgument, ResourceLimitation):
            read(junk, syntax)


@given(st.data())
def test_spoilt_bytes_are_a_request_or_a_fault(data: st.DataObject) -> None:
    """A good request with bytes changed, cut or repeated is read or refused likewise."""
    good = commitment.write_request(
        Request("1.2.3", (Reference(CT, "1.2.3.4"), Reference(CT, "1.2.3.5"))), SYNTAXES[1]
    )
    at = data.draw(st.integers(0, len(good) - 1))
    patch = data.draw(st.binary(max_size=6))
    spoilt = good[:at] + patch + good[at + data.draw(st.integers(0, 6)) :]
    try:
        request = commitment.read_request(spoilt, SYNTAXES[1])
    except ServiceFault:
        return
    assert request.references


def test_an_event_type_of_no_kind_is_refused() -> None:
    """Only event types 1 and 2 exist (PS3.4 J.3.3)."""
    dataset = commitment.write_report(Report("1.2.3", (Reference(CT, "1.2"),)), SYNTAXES[0])
    with pytest.raises(NoSuchEventType):
        commitment.read_report(dataset, SYNTAXES[0], 3)


def test_reasons_are_said_in_words() -> None:
    """Each reason of PS3.3 C.14.1.1 has words; another has its number."""
    for reason in FailureReason:
        assert f"0x{reason:04X}" in commitment.told(reason)
    assert commitment.told(0x9999) == "a reason of its own (0x9999)"
