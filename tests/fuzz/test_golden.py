"""What real senders said, recorded: it is read as they meant it, and written again to the byte."""

import pydicom
import pytest
from pydicom.filebase import DicomBytesIO

from dicom import pdu
from dicom.message import Assembler, Command, Fragment
from tests.fuzz import desk, golden, reference

MAX_PDU = 4096
"""What the recording SCP took."""
RECORDINGS = golden.load_all()
every = pytest.mark.parametrize("one", RECORDINGS, ids=lambda one: one.name)


def test_the_senders_are_there():
    """DCMTK's two senders, pynetdicom, Orthanc and our own SCU are among the recordings."""
    names = {one.name for one in RECORDINGS}
    assert names == {"storescu", "dcmsend", "pynetdicom", "orthanc", "penumbra"}


@every
def test_every_pdu_is_framed_as_its_sender_framed_it(one):
    """Cut by read_header alone, the stream gives the PDUs in it: request, data, release."""
    view, kinds = memoryview(one.stream), []
    while view:
        header = pdu.read_header(view, MAX_PDU)
        assert header.length <= max(MAX_PDU, len(one.pdus[0]))
        kinds.append(header.pdu_type)
        view = view[6 + header.length :]
    data = [pdu.PduType.P_DATA] * (len(one.pdus) - 2)
    assert kinds == [pdu.PduType.ASSOCIATE_RQ, *data, pdu.PduType.RELEASE_RQ]


def messages_of(one):
    """[(command, dataset or None)] as our parser reads them."""
    assembler, found = Assembler(), []
    for whole in one.pdus[1:-1]:
        for pdv in pdu.pdvs(memoryview(whole)[6:]):
            event = assembler.feed(pdv)
            if isinstance(event, Command):
                found.append((event, b"" if event.has_dataset else None))
            elif isinstance(event, Fragment):
                found[-1] = (found[-1][0], found[-1][1] + bytes(event.data))
    assert assembler.is_idle
    return found


@every
def test_what_was_read_is_written_again_to_the_byte(one):
    """Commands and datasets, read and cut anew as long as the sender's longest, are its PDUs."""
    out, longest = b"", max(len(whole) - 6 for whole in one.pdus[1:])  # DCMTK keeps 12 bytes free
    for command, dataset in messages_of(one):
        out += pdu.command_pdus(command.context_id, command.encoded, longest)
        views = [] if dataset is None else [memoryview(dataset)]
        for header, parts in pdu.dataset_pdus(command.context_id, views, longest):
            out += header + b"".join(parts)
    assert out == one.messages


@every
def test_two_readings_agree(one):
    """Our parser and the reference find the same messages."""
    expected = reference.read(one.messages, set(one.contexts), MAX_PDU)
    assert (expected.end, expected.is_between) == ("open", True)
    assert [
        (c.context_id, c.message_id, c.sop_class_uid, c.sop_instance_uid, dataset)
        for c, dataset in messages_of(one) if c.field == 1
    ] == [
        (m.context_id, m.message_id, m.sop_class, m.sop_instance, m.dataset)
        for m in expected.messages if m is not None
    ]  # fmt: skip


@every
def test_every_recorded_object_is_stored(one):
    """Through the lane, both objects are stored and answered, and pydicom reads them."""
    result = desk.run(one.messages + one.pdus[-1], "silence", one.contexts)
    assert [status for _, status in result.answers] == [0, 0]
    assert result.events == ["Evt12"]  # the release goes to pynetdicom
    for number, (arrival, data) in enumerate(result.objects, 1):
        image = pydicom.dcmread(DicomBytesIO(data))
        assert image.SOPInstanceUID == arrival.sop_instance_uid
        assert (image.InstanceNumber, image.PatientID) == (number, "SYNTHETIC")
