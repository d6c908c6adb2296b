"""C-FIND over the wire: real clients ask the service, and get what PS3.4 C.4.1 promises."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pynetdicom import AE

from config.model import Settings
from dicom.attributes import Level
from dicom.find_answer import Responses
from examples.peers import orthanc
from examples.peers.find_scu import (
    EXPLICIT,
    FINDSCU,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    STUDY_ROOT,
    ask,
    findscu,
    identifier,
)
from examples.peers.raw_finder import encoded
from examples.peers.raw_scu import IMPLICIT
from node import extended
from node.questioner import Questioner
from node.services.find import FindService
from node.services.questioning import Question
from storage.index.database import Index

Serving = Callable[..., AbstractContextManager[int]]
DEFLATED, BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
needs_findscu = pytest.mark.skipif(FINDSCU is None, reason="findscu is in Debian's dcmtk")


def test_an_answer_holds_the_requested_keys_and_no_others(port: int) -> None:
    """Requested keys, the level and the AE title to retrieve from; nothing else (C.4.1.1.3.2)."""
    asked = identifier(PatientID="latin1", StudyDate="", StudyTime="", ModalitiesInStudy="")
    _, (match,) = ask(port, asked)
    assert {one.keyword: str(one.value or "") for one in match} == {
        "QueryRetrieveLevel": "STUDY",
        "RetrieveAETitle": "PENUMBRA",
        "PatientID": "latin1",
        "StudyDate": "20240131",
        "StudyTime": "",
        "ModalitiesInStudy": "CT",
    }


def test_every_level_of_every_model_is_answered(port: int) -> None:
    """Patient Root and Study Root answer down to the Instance, Patient/Study Only to the Study."""
    uids = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
    patient = {"PatientID": "latin1"}
    for model, level, keys, wanted in [
        (PATIENT_ROOT, "PATIENT", {"PatientID": "latin?"}, "PatientID"),
        (PATIENT_ROOT, "STUDY", patient, "StudyInstanceUID"),
        (PATIENT_ROOT, "SERIES", patient | {"StudyInstanceUID": "1.1"}, "SeriesInstanceUID"),
        (PATIENT_ROOT, "IMAGE", patient | uids, "SOPInstanceUID"),
        (PATIENT_STUDY_ONLY, "PATIENT", {"PatientID": "latin?"}, "PatientID"),
        (PATIENT_STUDY_ONLY, "STUDY", patient, "StudyInstanceUID"),
        (STUDY_ROOT, "STUDY", patient, "StudyInstanceUID"),
        (STUDY_ROOT, "SERIES", {"StudyInstanceUID": "1.1"}, "SeriesInstanceUID"),
        (STUDY_ROOT, "IMAGE", uids, "SOPInstanceUID"),
    ]:
        asked = identifier(level, **keys)
        asked.setdefault(wanted, None)
        if wanted == "PatientID":
            asked.PatientName = ""
        status, matches = ask(port, asked, model)
        assert status.Status == 0x0000, (model, level)
        found = {one[wanted].value for one in matches}
        expected = {
            "PatientID": {f"latin{number}" for number in range(1, 6)},
            "StudyInstanceUID": {"1.1"},
            "SeriesInstanceUID": {"1.1.1"},
            "SOPInstanceUID": {"1.1.1.1"},
        }
        assert found == expected[wanted], (model, level)


@needs_findscu
def test_findscu_asks_patient_root(port: int, tmp_path: Path) -> None:
    """findscu's Patient Root query for a wildcard gets every patient that fits."""
    matches = findscu(port, tmp_path / "out", identifier("PATIENT", PatientID="??e*"), "-P")
    assert {one.PatientID for one in matches} == {"greek"}


def test_pending_says_whether_keys_were_ignored(port: int) -> None:
    """0xFF00 where every key is supported, 0xFF01 where some were ignored (C.4.1.1.4)."""
    ae = AE("SCANNER")
    ae.add_requested_context(STUDY_ROOT)
    association = ae.associate("127.0.0.1", port, ae_title="PENUMBRA")
    plain = list(association.send_c_find(identifier(PatientID="latin1"), STUDY_ROOT))
    odd = identifier(PatientID="latin1", PatientSize="1.7")
    ignored = list(association.send_c_find(odd, STUDY_ROOT))
    association.release()
    assert [status.Status for status, _ in plain] == [0xFF00, 0x0000]
    assert [status.Status for status, _ in ignored] == [0xFF01, 0x0000]
    assert "PatientSize" not in ignored[0][1]


@pytest.mark.parametrize(
    ("asked", "offending"),
    [
        (identifier("", PatientID="P1"), 0x00080052),
        (identifier("PATIENT"), 0x00080052),
        (identifier("SERIES"), 0x0020000D),
        (identifier("IMAGE", StudyInstanceUID="1.1"), 0x0020000E),
        (identifier("STUDY", StudyDate="20240131-20240101-"), 0x00080020),
    ],
)
def test_a_broken_identifier_hears_which_element(port: int, asked: Dataset, offending: int) -> None:
    """0xA900 with the offending element and a comment, and the association lives on."""
    status, matches = ask(port, asked)
    assert not matches
    assert status.Status == 0xA900
    assert status.OffendingElement == offending
    assert status.ErrorComment
    assert ask(port, identifier(PatientID="latin1"))[0].Status == 0x0000


class Heard:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.data = b""

    def send(self, data: bytes) -> int:
        self.data += data
        return len(data)


def test_who_may_not_find_hears_so(
    port: int, index: Index, find_settings: Callable[..., Settings]
) -> None:
    """A peer without the permission gets no context; if it had one, it would hear 0x0124."""
    ae = AE("NOFIND")
    ae.add_requested_context(STUDY_ROOT)
    assert not ae.associate("127.0.0.1", port, ae_title="PENUMBRA").is_established
    heard = Heard()
    questioner = Questioner(heard, Responses(1, 1, STUDY_ROOT, 0), 1)
    data = encoded(identifier(PatientID=""))
    asked = Question(data, STUDY_ROOT, IMPLICIT, "NOFIND", b"", questioner)
    FindService(find_settings(), index).serve_question(asked)
    assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x24\x01" in heard.data  # (0000,0900) is 0x0124
    assert b"NOFIND" in heard.data


@pytest.mark.skipif(orthanc.binary() is None, reason="Orthanc is in Debian's orthanc")
def test_orthanc_asks_too(port: int, tmp_path: Path) -> None:
    """Orthanc as an SCU lists patients, Studies, Series and Instances of the node."""
    with orthanc.running(tmp_path / "orthanc") as pacs:
        pacs.introduce("PENUMBRA", port)
        people = pacs.query("Patient", {"PatientID": "latin?"})
        assert {one["PatientID"] for one in people} == {f"latin{n}" for n in range(1, 6)}
        (study,) = pacs.query("Study", {"PatientName": "Müller*", "StudyDate": "20240101-"})
        assert (study["PatientName"], study["StudyInstanceUID"]) == ("Müller^Jürgen", "1.1")
        (series,) = pacs.query("Series", {"StudyInstanceUID": "1.1", "Modality": ""})
        assert (series["SeriesInstanceUID"], series["Modality"]) == ("1.1.1", "CT")
        uids = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
        (instance,) = pacs.query("Instance", uids)
        assert instance["SOPInstanceUID"] == "1.1.1.1"


def test_what_has_left_the_spool_is_nearline(index: Index, serving: Serving) -> None:
    """InstanceAvailability tells at each level what has to be fetched first (PS3.3 C.4.23.1.1)."""
    asked: list[tuple[str, tuple[str, ...]]] = []

    def released(level: Level, uids: Sequence[str]) -> set[str]:
        asked.append((str(level), tuple(uids)))
        return {"1.1", "1.1.1.1"}

    with serving(index, released=released) as port:
        near = ask(port, identifier(PatientID="latin1", InstanceAvailability=""))[1]
        here = ask(port, identifier(PatientID="latin2", InstanceAvailability=""))[1]
        uids = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
        image = ask(port, identifier("IMAGE", InstanceAvailability="", **uids))[1]
        person = identifier("PATIENT", PatientID="latin1", InstanceAvailability="")
        patient = ask(port, person, PATIENT_ROOT)[1]
    told = [one[0].InstanceAvailability for one in (near, here, image, patient)]
    assert told == ["NEARLINE", "ONLINE", "NEARLINE", ""]
    assert asked == [("STUDY", ("1.1",)), ("STUDY", ("1.2",)), ("IMAGE", ("1.1.1.1",))]
    assert "StudyInstanceUID" not in near[0]


def test_no_match_is_success(port: int) -> None:
    """Nothing found is one Success and no identifier."""
    status, matches = ask(port, identifier(PatientID="nobody"))
    assert (status.Status, matches) == (0x0000, [])


def test_an_unreadable_identifier_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no dataset hear 0xA900 or 0xC000, and the service serves on."""
    with monkeypatch.context() as patched:
        patched.setattr("pynetdicom.association.encode", lambda *_: b"\xff\xfe\x10" * 99)
        status, matches = ask(port, identifier(PatientID=""))
    assert status.Status in {0xA900, 0xC000}
    assert not matches
    assert ask(port, identifier(PatientID="latin1"))[0].Status == 0x0000


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG])
def test_every_transfer_syntax_is_spoken(port: int, syntax: str) -> None:
    """Texts, numbers and sequences come back right in each transfer syntax (PS3.5 Annex A)."""
    asked = identifier("IMAGE", StudyInstanceUID="7.1", SeriesInstanceUID="7.1.1", Rows=512,
                       PatientName="", ImageType="", StudyDate="")  # fmt: skip
    asked.RequestAttributesSequence = Items()
    asked.SOPInstanceUID = None
    status, (match,) = ask(port, asked, transfer_syntax=syntax)
    assert status.Status == 0x0000
    assert (match.Rows, match.PatientName, match.StudyDate) == (512, "Şequence^Ümit", "20240131")
    assert list(match.ImageType) == ["ORIGINAL", "PRIMARY"]
    first, second = match.RequestAttributesSequence
    assert (first.RequestedProcedureID, second.RequestedProcedureID) == ("RP1", "RP2")
    assert first.ScheduledProtocolCodeSequence[0].CodeMeaning == "Schädel"


def test_a_sequence_is_matched_and_told_as_asked(port: int) -> None:
    """Of a sequence come the items that match, with the asked attributes alone (C.2.2.2.6)."""
    asked = identifier("SERIES", StudyInstanceUID="7.1", SeriesInstanceUID="")
    wanted = Dataset()
    wanted.RequestedProcedureID = "RP2"
    asked.RequestAttributesSequence = Items([wanted])
    _, (match,) = ask(port, asked)
    (item,) = match.RequestAttributesSequence
    assert (list(item.keys()), item.RequestedProcedureID) == ([0x00401001], "RP2")
    wanted.RequestedProcedureID = "RP3"
    assert ask(port, asked)[1] == []


def test_each_byte_of_an_item_is_answered() -> None:
    """As many bytes as were asked come back: what is there as 1, what is not as 0 (C.5.1.1.2)."""
    for asked, granted in ((b"\1", b"\1"), (b"\1" * 7, b"\1\1\1\1\0\1\0"), (b"\0" * 6, b"\0" * 6)):
        event = SimpleNamespace(app_info={STUDY_ROOT: asked})
        assert extended.answer(event) == {STUDY_ROOT: granted}


def test_what_is_negotiated_is_granted(port: int) -> None:
    """Relational queries, combined date and time, and fuzzy names work for who asks for them."""
    series = identifier("SERIES", PatientID="sequences", SeriesInstanceUID="")
    assert ask(port, series)[0].Status == 0xA900
    status, (match,) = ask(port, series, options=b"\1")
    assert (status.Status, match.SeriesInstanceUID) == (0x0000, "7.1.1")
    fuzzy = identifier(
        SpecificCharacterSet="ISO_IR 192", PatientName="Juergen Mueller", PatientID=""
    )
    assert ask(port, fuzzy)[1] == []
    _, found = ask(port, fuzzy, options=b"\0\0\1")
    assert [one.PatientID for one in found] == ["latin1"]
    moment = identifier(PatientID="seq*", StudyDate="20240130-20240131", StudyTime="2200-0100")
    assert ask(port, moment)[1] == []
    _, found = ask(port, moment, options=b"\0\1")
    assert [one.PatientID for one in found] == ["sequences"]


def test_where_and_whether_it_can_be_had(port: int) -> None:
    """InstanceAvailability is told where it is asked for (C.4.1.1.3), and is no key."""
    _, (match,) = ask(port, identifier(PatientID="latin1", InstanceAvailability="OFFLINE"))
    assert (match.InstanceAvailability, match.RetrieveAETitle) == ("ONLINE", "PENUMBRA")


def test_the_service_is_one_row_of_the_listener(
    index: Index, find_settings: Callable[..., Settings]
) -> None:
    """The service offers all three models, in every transfer syntax of identifiers."""
    service = FindService(find_settings(), index)
    names = {one.abstract_syntax for one in service.contexts()}
    assert names == {PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY}
    assert not service.handlers()
