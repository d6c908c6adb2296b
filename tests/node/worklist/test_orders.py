"""Orders by HL7: what becomes of each field, and which messages ask for what."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.errors import CannotUnderstand
from dicom.worklist import STEPS
from node.worklist import er7
from node.worklist.er7 import NotHl7
from node.worklist.orders import asked_by
from storage.ledger.worklist import Order

MSH = "MSH|^~\\&|RIS|HOSP|PEN|RAD|20261121080000||ORM^O01|17|P|2.3.1||||||UNICODE UTF-8"
PID = "PID|||4711^^^HOSP||Doe^Jane^Q^Jr^Dr||19700131|F|||1 High St^^Town|||||||||||N"
PV1 = "PV1||O|W1^R2^B3|||||0100^House^Gregory^^^Dr|||||||||||V99"
ORC = "ORC|NW|P1|F1||||^^^20261122103000^^S|||||0200^Cuddy^Lisa|||||^Surgery"
OBR = (
    "OBR|1|P1|F1|CTC^CT Chest^L^PR1^Chest low dose^L||||||||^Diabetes|cough||||"
    "|ACC1|RP1|SPS1||||CT||||||WALK|^Cough|||0300&Tech&Terry||||||||||RC1^CT of the chest^L"
)
ZDS = "ZDS|1.2.3.4^RIS^Application^DICOM"
WHOLE = [MSH, PID, PV1, ORC, OBR, ZDS]


def asked(*lines: str, stations: dict[str, str] | None = None):
    """Read a message of these segments."""
    return asked_by(er7.read("\r".join(lines).encode(), "ASCII"), stations or {"CT": "CT1"})


def test_an_order_becomes_an_entry():
    """Each field goes where IHE's Radiology Framework maps it."""
    (draft,) = asked(*WHOLE).drafts
    assert (draft.placer, draft.filler, draft.source) == ("P1", "F1", "hl7")
    item = dict(draft.item)
    (step,) = item.pop(STEPS)
    assert item == {
        "PatientName": "Doe^Jane^Q^Dr^Jr", "PatientID": "4711", "IssuerOfPatientID": "HOSP",
        "PatientBirthDate": "19700131", "PatientSex": "F", "PatientAddress": "1 High St Town",
        "EthnicGroup": "N", "StudyInstanceUID": "1.2.3.4", "AccessionNumber": "ACC1",
        "RequestedProcedureID": "RP1", "RequestedProcedureDescription": "CT of the chest",
        "RequestedProcedureCodeSequence": [
            {"CodeValue": "RC1", "CodeMeaning": "CT of the chest", "CodingSchemeDesignator": "L"}
        ],
        "RequestedProcedurePriority": "STAT", "PatientTransportArrangements": "WALK",
        "ReasonForTheRequestedProcedure": "Cough",
        "PlacerOrderNumberImagingServiceRequest": "P1",
        "FillerOrderNumberImagingServiceRequest": "F1",
        "ReferringPhysicianName": "House^Gregory^^Dr", "RequestingPhysician": "Cuddy^Lisa",
        "RequestingService": "Surgery", "AdmissionID": "V99", "CurrentPatientLocation": "W1 R2 B3",
        "PatientState": "Diabetes", "AdditionalPatientHistory": "cough",
    }  # fmt: skip
    assert step == {
        "Modality": "CT", "ScheduledStationAETitle": "CT1",
        "ScheduledProcedureStepStartDate": "20261122", "ScheduledProcedureStepStartTime": "103000",
        "ScheduledPerformingPhysicianName": "Tech^Terry",
        "ScheduledProcedureStepDescription": "Chest low dose", "ScheduledProcedureStepID": "SPS1",
        "ScheduledProtocolCodeSequence": [
            {"CodeValue": "PR1", "CodeMeaning": "Chest low dose", "CodingSchemeDesignator": "L"}
        ],
    }  # fmt: skip


def test_an_order_of_hl7_2_5_1_is_read_from_its_own_segments():
    """OMI^O23 says steps in IPC and times in TQ1; each IPC is an entry."""
    made = asked(
        MSH.replace("ORM^O01", "OMI^O23^OMI_O23"), PID, "ORC|NW|P1", "TQ1|||||||20261123||R",
        "OBR|1|P1||CTC^CT^L", "IPC|ACC2|RP2|1.2.9|S1|MR|PR2^Head^L|MR-ROOM|R1|MR1",
        "IPC|ACC2|RP2|1.2.9|S2|MR|PR3^Neck^L|MR-ROOM|R1|MR2",
    ).drafts  # fmt: skip
    assert [one.step_id for one in made] == ["S1", "S2"]
    item = made[1].item
    assert (item["StudyInstanceUID"], item["AccessionNumber"]) == ("1.2.9", "ACC2")
    assert item["RequestedProcedurePriority"] == "ROUTINE"
    assert item[STEPS][0]["ScheduledStationAETitle"] == "MR2"
    assert item[STEPS][0]["ScheduledProcedureStepStartDate"] == "20261123"


def test_lines_of_one_step_are_its_protocols():
    """Two orders with the number of one step are one entry with two protocol codes."""
    more = OBR.replace("PR1^Chest low dose", "PR2^Abdomen")
    (draft,) = asked(MSH, PID, ORC, OBR, ORC, more).drafts
    codes = draft.item[STEPS][0]["ScheduledProtocolCodeSequence"]
    assert [one["CodeValue"] for one in codes] == ["PR1", "PR2"]


def test_a_bare_order_is_enough():
    """Patient, number and modality are enough: the rest is made of them, the same each time."""
    lines = [MSH, "PID|||4711||Doe", "ORC|NW|P1", "OBR|1" + "|" * 23 + "CT"]
    (first,), (second,) = asked(*lines).drafts, asked(*lines).drafts
    assert first == second
    assert first.step_id == "P1"
    step = first.item[STEPS][0]
    assert (step["ScheduledProcedureStepStartDate"], step["ScheduledProcedureStepStartTime"]) == (
        "20261121", "080000",
    )  # fmt: skip
    assert first.item["StudyInstanceUID"].startswith("2.25.")
    assert first.item["RequestedProcedureID"] == "P1"


@pytest.mark.parametrize(
    ("control", "state", "is_said"),
    [("NW", "", True), ("SN", "", True), ("XO", "", True), ("SC", "IP", True),
     ("CA", "", False), ("DC", "", False), ("OC", "", False), ("OD", "", False),
     ("SC", "CM", False), ("SC", "CA", False), ("SC", "DC", False)],
)  # fmt: skip
def test_order_control_says_what_to_do(control, state, is_said):
    """ORC-1 adds and changes, or takes back; a status change takes back what is over."""
    made = asked(MSH, PID, f"ORC|{control}|P1|F1||{state}", OBR)
    assert len(made.drafts) == is_said
    assert made.cancelled == ([] if is_said else [Order("P1", "F1", "SPS1")])


def test_a_name_is_written_in_up_to_three_ways():
    """Repetitions of PID-5 become the component groups of a DICOM name by their XPN-8."""
    names = "Yamada^Tarou^^^^^^A~山田^太郎^^^^^^I~やまだ^たろう^^^^^^P"
    (draft,) = asked(MSH, f"PID|||1||{names}", ORC, OBR).drafts
    assert draft.item["PatientName"] == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_signs_of_dicom_in_a_name_are_spaces():
    """What would separate parts of a DICOM value is none of a name's business."""
    (draft,) = asked(MSH, r"PID|||1||Do\S\e=X^Ja\E\ne", ORC, OBR).drafts
    assert draft.item["PatientName"] == "Do e X^Ja ne"


def test_a_patient_is_known_better_or_merged():
    """ADT^A08 says facts of a number; A40 gives the entries of an old number a new one."""
    (patient,) = asked(MSH.replace("ORM^O01", "ADT^A08"), PID).patients
    assert (patient.patient_id, patient.issuer) == ("4711", "HOSP")
    assert patient.facts["PatientName"] == "Doe^Jane^Q^Dr^Jr"
    (merged,) = asked(MSH.replace("ORM^O01", "ADT^A40"), PID, "MRG|0815^^^HOSP").patients
    assert (merged.patient_id, merged.facts["PatientID"]) == ("0815", "4711")


@pytest.mark.parametrize(("trigger", "more"), [("A08", []), ("A40", ["MRG|0815^^^HOSP"])])
@pytest.mark.parametrize("who", ["7" * 65 + "||Doe", "1||D\\XFF\\oe"])
def test_a_patient_is_not_known_worse(trigger, more, who):
    """Facts that no entry could have, or that were lost on their way, are refused."""
    with pytest.raises(CannotUnderstand):
        asked(MSH.replace("ORM^O01", f"ADT^{trigger}"), f"PID|||{who}", *more)


BAD = {
    "another type": ([MSH.replace("ORM^O01", "ORU^R01"), PID], 200),
    "another trigger": ([MSH.replace("ORM^O01", "ADT^A03"), PID], 201),
    "no order": ([MSH, PID], 100),
    "no patient": ([MSH, "PID|||", ORC, OBR], 101),
    "no PID": ([MSH, ORC, OBR], 101),
    "no name": ([MSH, "PID|||1", ORC, OBR], 101),
    "no number": ([MSH, PID, "ORC|NW", "OBR|1"], 101),
    "no modality": ([MSH, PID, ORC, "OBR|1|P1"], 101),
    "no control": ([MSH, PID, "ORC||P1", OBR], 103),
    "an unknown control": ([MSH, PID, "ORC|ZZ|P1", OBR], 103),
    "no time": ([MSH, PID, ORC.replace("20261122103000", "KANARIE"), OBR], 102),
    "a day that is none": ([MSH, PID, ORC.replace("20261122103000", "20261322"), OBR], 102),
    "no old number": ([MSH.replace("ORM^O01", "ADT^A40"), PID, "MRG|"], 101),
    "no MRG": ([MSH.replace("ORM^O01", "ADT^A40"), PID], 100),
}


@pytest.mark.p6
@pytest.mark.parametrize(("lines", "code"), BAD.values(), ids=BAD)
def test_what_is_not_enough_is_refused_by_its_field(lines, code):
    """The fault has a code of HL7 table 0357, names the field, and holds no value."""
    with pytest.raises(NotHl7) as found:
        asked(*lines)
    assert found.value.code == code
    assert "KANARIE" not in str(found.value)


def test_a_number_is_never_cut():
    """A description is cut to its length in DICOM; a number that is too long is refused."""
    long = "X" * 70
    (draft,) = asked(MSH, PID, ORC, OBR.replace("CT of the chest", long)).drafts
    assert draft.item["RequestedProcedureDescription"] == "X" * 64
    with pytest.raises(CannotUnderstand, match="AccessionNumber is longer"):
        asked(MSH, PID, ORC, OBR.replace("ACC1", long))


FIELD = st.text(alphabet="AB1|^~\\&é\t2026", max_size=30)


NAME = st.sampled_from(["PID", "ORC", "OBR", "IPC", "PV1", "MRG", "ZDS"])


@given(st.lists(st.tuples(NAME, FIELD)),
       st.sampled_from(["ORM^O01", "OMI^O23", "ADT^A08", "ADT^A40"]))  # fmt: skip
def test_any_message_is_understood_or_refused(segments, kind):
    """Whatever fields say, there is an entry that is whole, or a fault that can be answered."""
    lines = [MSH.replace("ORM^O01", kind), *(f"{name}|{text}" for name, text in segments)]
    with contextlib.suppress(NotHl7, CannotUnderstand):
        for draft in asked(*lines).drafts:
            assert draft.item["PatientID"]


@given(st.lists(st.tuples(st.integers(3, 5), st.integers(0, 200), FIELD), max_size=4))
def test_any_change_of_an_order_is_understood_or_refused(changes):
    """A good order in which some text was replaced is an entry, or a fault."""
    lines = list(WHOLE)
    for number, at, text in changes:
        line = lines[number]
        lines[number] = line[: at + 4] + text + line[at + 4 + len(text) :]
    with contextlib.suppress(NotHl7, CannotUnderstand):
        asked(*lines)
