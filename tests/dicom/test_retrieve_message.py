"""Responses to C-MOVE and C-GET, read back by pydicom."""

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset

from dicom.encoding import BIG_ENDIAN
from dicom.message import C_GET_RSP, C_MOVE_RSP, Behalf, store_request
from dicom.retrieve_message import Answer, command, failed_list
from dicom.suboperations import Counts

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"


def read(encoded: bytes, syntax: str = IMPLICIT):
    return read_dataset(
        DicomBytesIO(encoded), syntax == IMPLICIT, syntax != BIG_ENDIAN, bytelength=len(encoded)
    )


def test_a_pending_response_tells_all_counts():
    """Every element of PS3.7 9.3.4.2 stands in it, in order of tags, and no dataset follows."""
    found = read(command(C_MOVE_RSP, 7, MOVE, Answer(0xFF00, Counts(4, 3, 2, 1))))
    assert found.AffectedSOPClassUID == MOVE
    assert (found.CommandField, found.MessageIDBeingRespondedTo) == (0x8021, 7)
    assert (found.CommandDataSetType, found.Status) == (0x0101, 0xFF00)
    assert found.NumberOfRemainingSuboperations == 4
    assert found.NumberOfCompletedSuboperations == 3
    assert found.NumberOfFailedSuboperations == 2
    assert found.NumberOfWarningSuboperations == 1
    assert list(found.keys()) == sorted(found.keys())


def test_a_last_response_has_no_remaining_and_may_have_a_list():
    """What is over has nothing left; with failed UIDs it says that a dataset follows."""
    answer = Answer(
        0xB000, Counts(0, 3, 2, 1), comment="x" * 80, offending=0x00080052,
        failed_uids=["1.2"], with_remaining=False,
    )  # fmt: skip
    found = read(command(C_GET_RSP, 7, MOVE, answer))
    assert "NumberOfRemainingSuboperations" not in found
    assert found.CommandDataSetType != 0x0101
    assert found.CommandField == 0x8010
    assert found.ErrorComment == "x" * 64
    assert found.OffendingElement == 0x00080052


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("count", [1, 2, 3, 2000])
def test_failed_uids_can_be_read_in_every_syntax(syntax, count):
    """The list is one element of an even length, also where it is too long for its VR."""
    uids = [f"1.2.826.0.1.3680043.8.498.{10**36 + number}" for number in range(count)]
    encoded = failed_list(uids, syntax)
    assert len(encoded) % 2 == 0
    value = read(encoded, syntax).FailedSOPInstanceUIDList
    found = value.decode().strip("\0").split("\\") if isinstance(value, bytes) else value
    assert ([found] if isinstance(found, str) else list(found)) == uids


def test_a_c_store_names_its_originator():
    """Move Originator title and message id stand in the request of a C-MOVE, and in no other."""
    named = read(store_request(1, "1.2", "1.3", Behalf(2, "WS1", 513)))
    assert named.MoveOriginatorApplicationEntityTitle == "WS1"
    assert (named.MoveOriginatorMessageID, named.Priority) == (513, 2)
    plain = read(store_request(1, "1.2", "1.3"))
    assert "MoveOriginatorMessageID" not in plain
    assert plain.Priority == 0
