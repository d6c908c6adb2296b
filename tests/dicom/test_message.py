"""Messages: commands and datasets come out of any cut, and nothing out of order gets through."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pynetdicom.dsutils import decode, encode

from dicom.errors import ProtocolFault
from dicom.message import Assembler, Command, Fragment, parse_command, store_response
from dicom.pdu import Pdv


def command_of(field=1, dataset=1, uid="1.2.3", message_id=5):
    command = Dataset()
    command.AffectedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    command.CommandField = field
    command.MessageID = message_id
    command.Priority = 2
    command.CommandDataSetType = dataset
    command.AffectedSOPInstanceUID = uid
    return encode(command, True, True)


def pdv(kind, data=b"x", context_id=1):
    """`kind`: c or C for a command fragment, d or D for one of the dataset; capital is the last."""
    return Pdv(context_id, kind in "cC", kind in "CD", memoryview(data))


@given(st.data())
def test_any_cut_gives_the_same_message(data):
    """Cut at any bytes, the command is whole and the dataset's fragments join to the dataset."""
    command, dataset = command_of(), data.draw(st.binary(min_size=1, max_size=200))
    assembler, out = Assembler(), []
    for kind, whole in (("c", command), ("d", dataset)):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            is_last = end == len(whole) and start == ([0, *cuts])[-1]
            event = assembler.feed(pdv(kind.upper() if is_last else kind, whole[start:end]))
            out += [event] if event is not None else []
            if is_last:
                break
    assert isinstance(out[0], Command)
    assert (out[0].message_id, out[0].sop_instance_uid, out[0].encoded) == (5, "1.2.3", command)
    assert b"".join(bytes(one.data) for one in out[1:]) == dataset
    assert [one.is_last for one in out[1:]] == [False] * (len(out) - 2) + [True]
    assert assembler.is_idle


ORDERS = {
    "": True, "C": True, "cC": False, "Cd": True, "CdD": True, "CDCD": True, "CD": True,
    "d": False, "D": False, "CDD": False, "CDd": False, "CC": False, "CdC": False, "Cdc": False,
}  # fmt: skip


@pytest.mark.parametrize(("order", "allowed"), ORDERS.items())
def test_order(order, allowed):
    """A dataset follows its command and nothing comes between; all else is a ProtocolFault."""
    assembler = Assembler()

    def feed():
        for kind in order:
            assembler.feed(pdv(kind, command_of() if kind == "C" else b"x"))

    if allowed:
        feed()
    else:
        with pytest.raises(ProtocolFault):
            feed()


@given(st.text("cCdD", max_size=12), st.integers(0, 1))
def test_any_order_is_served_or_refused(order, dataset):
    """Whatever comes, there is an event, nothing yet, or a ProtocolFault."""
    assembler = Assembler()
    try:
        for kind in order:
            whole = command_of(dataset=0x0101 if dataset else 1)
            event = assembler.feed(pdv(kind, whole if kind == "C" else b""))
            assert event is None or isinstance(event, (Command, Fragment))
    except ProtocolFault:
        return


@given(st.binary(max_size=80))
def test_any_command_is_read_or_refused(encoded):
    """Any bytes in the place of a command set are a command or a ProtocolFault."""
    try:
        assert isinstance(parse_command(1, encoded), Command)
    except ProtocolFault:
        return


def test_a_message_keeps_to_its_context():
    """A dataset in another presentation context than its command is a fault."""
    assembler = Assembler()
    assembler.feed(pdv("C", command_of()))
    with pytest.raises(ProtocolFault, match="presentation context 1"):
        assembler.feed(pdv("D", context_id=3))


def test_a_command_without_end_is_a_fault():
    """A command set is bounded."""
    assembler = Assembler()
    assembler.feed(pdv("c", bytes(30_000)))
    assembler.feed(pdv("c", bytes(30_000)))
    with pytest.raises(ProtocolFault, match="longer than"):
        assembler.feed(pdv("c", bytes(30_000)))


@pytest.mark.parametrize("status", [0, 0xA700])
@pytest.mark.parametrize("comment", ["", "odd", "x" * 100])
def test_response_is_read_by_pynetdicom(status, comment):
    """The response command set is what an independent decoder expects."""
    request = parse_command(1, command_of(uid="1.2.33", message_id=9))
    encoded = store_response(request, status, comment)
    found = decode(io.BytesIO(encoded), True, True)
    assert found.CommandGroupLength == len(encoded) - 12
    assert found.CommandField == 0x8001
    assert found.MessageIDBeingRespondedTo == 9
    assert found.Status == status
    assert found.CommandDataSetType == 0x0101
    assert found.AffectedSOPInstanceUID == "1.2.33"
    assert found.get("ErrorComment", "") == comment[:64]
    assert struct.unpack_from("<HHL", encoded) == (0, 0, 4)
