"""A worklist query answered: cancelled, refused, too long, too many, with nobody there."""

import struct
from types import SimpleNamespace

import pytest
import structlog
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from config.model import Settings
from dicom.errors import StorageFault
from dicom.find_answer import Responses
from dicom.worklist import MODALITY_WORKLIST, STEPS, Entry
from dicom.worklist_query import IMPLICIT_LITTLE_ENDIAN
from node.exchange import FIND_LIMIT
from node.questioner import Questioner
from node.services.questioning import Question
from node.services.worklist import WorklistService
from node.transport import PeerGone

ITEM = {
    "PatientName": "KANARIENVOGEL", "PatientID": "4711", "StudyInstanceUID": "1.2",
    STEPS: [{"Modality": "CT", "ScheduledProcedureStepID": "S1",
             "ScheduledProcedureStepStartDate": "20260706"}],
}  # fmt: skip
SETTINGS = Settings.model_validate({"peers": {"CT1": {"may": ["worklist"]}, "WS": {}}})
_STATUS = struct.pack("<HHL", 0, 0x0900, 2)


class Peer:
    """A requester's end of the connection: what it was sent, and what it does meanwhile."""

    def __init__(self, after_first=lambda asker: None):
        self.sent = b""
        self.sends = 0
        self._after_first = after_first
        responses = Responses(1, 7, MODALITY_WORKLIST, 16384)
        self.asker = Questioner(SimpleNamespace(send=self._take), responses, 7)

    def _take(self, data):
        self.sent += data
        self.sends += 1
        if self.sends == 1:
            self._after_first(self.asker)

    @property
    def statuses(self):
        """The status of each response."""
        found = self.sent.split(_STATUS)[1:]
        return [struct.unpack_from("<H", each)[0] for each in found]


def ask(peer, entries, *, caller="CT1", identifier=None, most=1000, keys=("PatientName",)):
    """Have the service answer a query over so many entries, or over a fault."""
    asked = Dataset()
    for keyword in keys:
        setattr(asked, keyword, "")

    def candidates(which):
        if isinstance(entries, Exception):
            raise entries
        return (Entry(str(number), "rest", ITEM) for number in range(entries))

    service = WorklistService(SETTINGS, SimpleNamespace(candidates=candidates), most)
    whole = encode(asked, is_implicit_vr=True, is_little_endian=True)
    data = whole if identifier is None else identifier
    with structlog.testing.capture_logs() as lines:
        service.serve_question(
            Question(data, MODALITY_WORKLIST, IMPLICIT_LITTLE_ENDIAN, caller, b"", peer.asker)
        )
    return lines


def test_the_first_match_does_not_wait_for_others():
    """The first is sent by itself, others together, and then Success."""
    peer = Peer()
    (line,) = ask(peer, 100)
    assert peer.statuses == [0xFF00] * 100 + [0]
    assert 2 < peer.sends < 10
    assert (line["matches"], line["status"], line["keys"]) == (100, "0x0000", [])


def test_a_cancelled_query_ends():
    """After C-CANCEL few matches come, and the answer is 0xFE00."""
    peer = Peer(lambda asker: asker.cancel())
    (line,) = ask(peer, 10_000)
    assert peer.statuses[-1] == 0xFE00
    assert len(peer.statuses) < 50
    assert line["status"] == "0xFE00"


def test_who_is_gone_is_asked_no_more():
    """A requester that hung up ends the search."""
    peer = Peer(lambda asker: asker.hang_up())
    with pytest.raises(PeerGone):
        ask(peer, 10_000)
    assert len(peer.statuses) == 1


def test_too_many_matches_are_said():
    """Beyond the limit the answer is 0xA700, after what was found."""
    peer = Peer()
    ask(peer, 10, most=5)
    assert peer.statuses == [0xFF00] * 5 + [0xA700]


REFUSED = {
    "another caller": ({"caller": "WS"}, 0x0124),
    "an identifier that is too long": ({"identifier": b"\0" * (FIND_LIMIT + 1)}, 0xA700),
    "an identifier that is none": ({"identifier": b"\x10\x00\x10\x00\xff\xff\0\0KANARIE"}, 0xC000),
    "a key that is none": (
        {"identifier": struct.pack("<HHL", 0x10, 0x30, 8) + b"KANARIE "}, 0xA900,
    ),
    "a ledger that fails": ({"entries": StorageFault("ledger: disk I/O error")}, 0xA700),
    "a bug": ({"entries": KeyError("KANARIENVOGEL")}, 0x0110),
}  # fmt: skip


@pytest.mark.p6
@pytest.mark.parametrize(("how", "status"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_answered_is_refused(how, status):
    """Each has its status, one line in the log, and nobody's name in either."""
    peer = Peer()
    (line,) = ask(peer, **{"entries": 1, **how})
    assert peer.statuses == [status]
    assert line["status"] == f"0x{status:04X}"
    assert "KANARIE" not in f"{line}{peer.sent!r}"


def test_keys_that_are_not_known_are_said():
    """Each match is 0xFF01 where a key was ignored."""
    peer = Peer()
    ask(peer, 2, keys=("PatientName", "InstanceCreatorUID"))
    assert peer.statuses == [0xFF01, 0xFF01, 0]
