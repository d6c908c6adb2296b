"""Worklist entries: how they are read and checked, which keys they meet, and how they answer."""

import contextlib
import io
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.filewriter import dcmwrite

from dicom import identifier
from dicom.errors import CannotUnderstand
from dicom.identifier import BadIdentifier
from dicom.worklist import CATALOGUE, STEPS, Entry, Item, State, again, checked, whole
from dicom.worklist_query import (
    IMPLICIT_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
    WorklistQuery,
    answer,
    matches,
    parse,
)
from dicom.worklist_reading import as_told, of_file, of_json

STEP = {
    "ScheduledStationAETitle": "CT1",
    "ScheduledProcedureStepStartDate": "20260706",
    "ScheduledProcedureStepStartTime": "0930",
    "Modality": "CT",
    "ScheduledPerformingPhysicianName": "Jones^Ann",
    "ScheduledProcedureStepDescription": "CT Chest",
    "ScheduledProcedureStepID": "S1",
    "ScheduledProtocolCodeSequence": [
        {"CodeValue": "CTC", "CodingSchemeDesignator": "L", "CodeMeaning": "Chest"}
    ],
}
ITEM: dict[str, Any] = {
    "PatientName": "Müller^Jürgen",
    "PatientID": "4711",
    "PatientSex": "M",
    "StudyInstanceUID": "1.2.3",
    "RequestedProcedureID": "RP1",
    "AccessionNumber": "A1",
    "PregnancyStatus": "4",
    STEPS: [STEP],
}


def dataset(keys: dict[str, Any]) -> Dataset:
    """Make an identifier; a dict is one item, a list several; values are not checked."""
    made = Dataset()
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword)
        vr = dictionary_VR(tag)
        whole_value = value
        if vr == "SQ":
            whole_value = [dataset(one) for one in ([value] if isinstance(value, dict) else value)]
        elif vr == "US" and value and value.isdecimal():
            whole_value = int(value)
        made[tag] = DataElement(tag, vr, whole_value, validation_mode=IGNORE)
    return made


def part10(keys: Dataset) -> bytes:
    """The bytes of a dataset, as a peer sends it, or dump2dcm writes it."""
    buffer = io.BytesIO()
    dcmwrite(buffer, keys, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return buffer.getvalue()


def asks(keys: dict[str, Any]) -> Any:
    """Parse an identifier as it comes over the wire."""
    made = dataset(keys)
    made.SpecificCharacterSet = "ISO_IR 192"
    return parse(identifier.read(part10(made), IMPLICIT_LITTLE_ENDIAN))


def step(**keys: Any) -> dict[str, Any]:
    """Keys inside the Scheduled Procedure Step Sequence."""
    return {STEPS: keys}


UNIVERSAL = "C.2.2.2.3"
SINGLE = "C.2.2.2.1"
WILD = "C.2.2.2.4"
RANGE = "C.2.2.2.5"
SEQUENCE = "C.2.2.2.6"
MATCHING = [
    (UNIVERSAL, {"PatientName": ""}, True),
    (UNIVERSAL, {"PatientName": "*", "PatientID": "*"}, True),
    (UNIVERSAL, {STEPS: []}, True),
    (UNIVERSAL, {STEPS: {}}, True),
    (UNIVERSAL, step(Modality="", ScheduledStationAETitle=""), True),
    (SINGLE, {"PatientID": "4711"}, True),
    (SINGLE, {"PatientID": "471"}, False),
    (SINGLE, {"AccessionNumber": "A1"}, True),
    (SINGLE, {"AccessionNumber": "a1"}, False),
    (SINGLE, {"PatientName": "MULLER^JURGEN"}, True),
    (SINGLE, {"PatientName": "Müller"}, False),
    (SINGLE, step(Modality="CT"), True),
    (SINGLE, step(Modality="MR"), False),
    (SINGLE, step(ScheduledStationAETitle="CT1"), True),
    (SINGLE, step(ScheduledStationAETitle="CT1 "), True),
    (SINGLE, step(ScheduledStationAETitle="CT2"), False),
    (SINGLE, step(ScheduledPerformingPhysicianName="JONES^ANN"), True),
    (SINGLE, step(ScheduledProcedureStepID="S2"), False),
    ("C.2.2.2.2", {"StudyInstanceUID": ["1.2.9", "1.2.3"]}, True),
    ("C.2.2.2.2", {"StudyInstanceUID": ["1.2.9", "1.2.8"]}, False),
    (WILD, {"PatientName": "mul*"}, True),
    (WILD, {"PatientName": "mul*^j*"}, True),
    (WILD, {"PatientName": "?uller^*"}, True),
    (WILD, {"PatientName": "ma*"}, False),
    (WILD, {"PatientID": "47.1"}, False),
    (WILD, {"PatientID": "'; DROP TABLE worklist_entry; --"}, False),
    (WILD, step(ScheduledPerformingPhysicianName="jon*"), True),
    (RANGE, step(ScheduledProcedureStepStartDate="20260706"), True),
    (RANGE, step(ScheduledProcedureStepStartDate="20260705"), False),
    (RANGE, step(ScheduledProcedureStepStartDate="20260705-20260707"), True),
    (RANGE, step(ScheduledProcedureStepStartDate="-20260706"), True),
    (RANGE, step(ScheduledProcedureStepStartDate="20260706-"), True),
    (RANGE, step(ScheduledProcedureStepStartDate="20260707-"), False),
    (RANGE, step(ScheduledProcedureStepStartTime="0900-1000"), True),
    (RANGE, step(ScheduledProcedureStepStartTime="1000-1800"), False),
    (RANGE, step(ScheduledProcedureStepStartTime="0930"), True),
    (SEQUENCE, {STEPS: {"ScheduledProtocolCodeSequence": {"CodeValue": "CTC"}}}, True),
    (SEQUENCE, {STEPS: {"ScheduledProtocolCodeSequence": {"CodeValue": "MRC"}}}, False),
    (SEQUENCE, {"RequestedProcedureCodeSequence": {"CodeValue": "X"}}, False),
    (SEQUENCE, {"RequestedProcedureCodeSequence": {"CodeValue": ""}}, True),
]


@pytest.mark.parametrize(("section", "keys", "is_match"), MATCHING)
def test_keys_match_as_the_standard_says(section: str, keys: dict[str, Any], is_match: bool):
    """Each kind of matching of PS3.4 C.2.2.2 decides as its section says, also in the step."""
    assert matches(asks(keys), ITEM) is is_match, section


START, TIME = "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime"


@pytest.mark.parametrize(
    ("day", "time", "is_match"),
    [
        ("20260705", "0959", False),
        ("20260705", "1000", True),
        ("20260706", "0300", True),  # between the two days, at whatever hour
        ("20260706", "2359", True),
        ("20260707", "1800", True),
        ("20260707", "1801", False),
        ("20260707", "", True),  # an hour that nobody knows hides no patient
        ("20260708", "1200", False),
    ],
)
def test_two_ranges_are_one_period(day: str, time: str, is_match: bool):
    """July 5 to 7 and 10:00 to 18:00 ask for all between the two ends (PS3.4 Table K.6-1)."""
    asked = asks(step(**{START: "20260705-20260707", TIME: "1000-1800"}))
    assert matches(asked, {**ITEM, STEPS: [{**STEP, START: day, TIME: time}]}) is is_match


@pytest.mark.parametrize(
    ("dates", "times", "is_match"),
    [("20260706", "0900-1000", True), ("20260706", "1000-", False), ("20260701-", "0931-", True),
     ("-20260706", "-0900", False), ("20260701-20260731", "0930", True)],
)  # fmt: skip
def test_open_ends_and_single_values_stay_apart(dates: str, times: str, is_match: bool):
    """A single value beside a range is met by itself, and an open end is open."""
    assert matches(asks(step(**{START: dates, TIME: times})), ITEM) is is_match


BAD = [
    (step(ScheduledProcedureStepStartDate="2026-07-06"), 0x00400002),
    (step(ScheduledProcedureStepStartDate="tomorrow"), 0x00400002),
    (step(ScheduledProcedureStepStartTime="25"), 0x00400003),
    ({"PatientBirthDate": "*"}, 0x00100030),
    ({STEPS: [{"Modality": "CT"}, {"Modality": "MR"}]}, 0x00400100),
    ({STEPS: {"ScheduledProtocolCodeSequence": [{}, {}]}}, 0x00400008),
    ({"PregnancyStatus": "many"}, 0x001021C0),
]


@pytest.mark.parametrize(("keys", "tag"), BAD)
def test_a_bad_key_is_named(keys: dict[str, Any], tag: int):
    """What breaks a rule is named by its tag, in words without its value."""
    made = dataset(keys)
    with pytest.raises(BadIdentifier) as found:
        parse(made)
    assert found.value.tag == tag
    assert "tomorrow" not in str(found.value)


def answered(asked: WorklistQuery, item: Item, syntax: str = IMPLICIT_LITTLE_ENDIAN) -> Dataset:
    """An answer as a scanner reads it."""
    stream = io.BytesIO(answer(asked, item, syntax))
    return read_dataset(stream, syntax == IMPLICIT_LITTLE_ENDIAN, is_little_endian=True)


def test_the_answer_has_what_was_asked_for_and_no_more():
    """Requested keys are answered, empty where nothing is known; sequences by item or whole."""
    asked = asks({
        "PatientName": "", "OtherPatientIDs": "", "PregnancyStatus": None,
        STEPS: {"Modality": "", "ScheduledProtocolCodeSequence": []},
        "ReferencedStudySequence": [], "InstanceCreatorUID": "",
    })  # fmt: skip
    made = answered(asked, Entry("1", "rest", ITEM).told())
    assert {each.keyword for each in made} == {
        "SpecificCharacterSet", "PatientName", "OtherPatientIDs", "PregnancyStatus", STEPS,
        "ReferencedStudySequence",
    }  # fmt: skip
    assert asked.unsupported == (tag_for_keyword("InstanceCreatorUID"),)
    assert made.PatientName == "Müller^Jürgen"
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert made.PregnancyStatus == 4
    assert not made.OtherPatientIDs
    assert list(made.ReferencedStudySequence) == []
    (item,) = made[STEPS].value
    assert {each.keyword for each in item} == {"Modality", "ScheduledProtocolCodeSequence"}
    assert item.ScheduledProtocolCodeSequence[0].CodeMeaning == "Chest"


def test_a_step_asked_for_as_a_whole_is_told_with_its_state():
    """Without an item every attribute of the step comes; its status is what the node knows."""
    entry = Entry("1", "rest", ITEM, State.STARTED)
    (item,) = answered(asks({STEPS: []}), entry.told())[STEPS].value
    assert item.ScheduledProcedureStepStatus == "STARTED"
    assert item.ScheduledStationAETitle == "CT1"
    ready = {**ITEM, STEPS: [{**STEP, "ScheduledProcedureStepStatus": "READY"}]}
    for state, told in ((State.SCHEDULED, "READY"), (State.STARTED, "STARTED")):
        (step,) = Entry("1", "rest", ready, state).told()[STEPS]
        assert step["ScheduledProcedureStepStatus"] == told


def test_a_dataset_and_json_say_the_same():
    """A .wl file, its DICOM JSON Model and its keywords are read as one entry."""
    keys = dataset(ITEM)
    keys.SpecificCharacterSet = "ISO_IR 100"
    keys.PatientName = "Müller^Jürgen"
    model = json.dumps(keys.to_json_dict()).encode()
    told = json.dumps(dict(as_told(ITEM)), ensure_ascii=False).encode()
    assert of_file(part10(keys)) == of_file(model) == of_file(told) == [ITEM]


def test_each_step_is_an_entry():
    """A file with two scheduled steps is two entries of one Study."""
    two = {**ITEM, STEPS: [STEP, {**STEP, "ScheduledProcedureStepID": "S2"}]}
    made = of_json(json.dumps([two]).encode())
    assert [one[STEPS][0]["ScheduledProcedureStepID"] for one in made] == ["S1", "S2"]


def test_what_can_be_known_is_added():
    """Without a Study Instance UID an entry gets one, the same each time and of no other's."""
    bare = {key: value for key, value in ITEM.items() if key != "StudyInstanceUID"}
    first, other = whole(bare), whole({**bare, "AccessionNumber": "A2"})
    assert first["StudyInstanceUID"] == whole(bare)["StudyInstanceUID"]
    assert first["StudyInstanceUID"] != other["StudyInstanceUID"]
    assert first["StudyInstanceUID"].startswith("2.25.")


WRONG = {
    "no patient": ({"PatientID": ""}, "PatientID is missing"),
    "no name": ({"PatientName": ""}, "PatientName is missing"),
    "two steps": ({STEPS: [STEP, STEP]}, "must have one item"),
    "no step": ({STEPS: []}, "must have one item"),
    "a step that is text": ({STEPS: "KANARIE"}, "must have one item"),
    "no modality": ({STEPS: [{**STEP, "Modality": ""}]}, "Modality is missing"),
    "no date": ({STEPS: [{**STEP, START: ""}]}, f"{START} is missing"),
    "a date that is none": ({STEPS: [{**STEP, START: "20261301"}]}, "is no date"),
    "a time that is none": ({STEPS: [{**STEP, TIME: "99"}]}, "is no time"),
    "a UID that is none": ({"StudyInstanceUID": "KANARIE VOGEL"}, "is no UID"),
    "a long number": ({"AccessionNumber": "KANARIE" * 10}, "is longer than 64"),
    "a control character": ({"PatientName": "KANARIE\x00"}, "control character"),
    "half a character": ({"PatientName": "KANARIE\ud800"}, "was lost on its way"),
    "no character": ({"PatientName": "KANARIE\ufffd"}, "was lost on its way"),
    "two patients": ({"PatientID": "KANARIE\\2"}, "must have one value"),
    "an unknown keyword": ({"Kanarie": "1"}, "not one of a worklist entry"),
    "an item that is text": ({"ReferencedStudySequence": ["KANARIE"]}, "must be a list of items"),
    "a number that is none": ({"PatientWeight": "KANARIE"}, "must be a number"),
    "an AE title that is none": (
        {STEPS: [{**STEP, "ScheduledStationAETitle": "KANARIEKANARIEKANARIE"}]}, "longer than 16"
    ),
}  # fmt: skip


@pytest.mark.p6
@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_without_values(change: dict[str, Any], words: str):
    """An entry that no scanner could use is refused in words that name attributes alone."""
    with pytest.raises(CannotUnderstand, match=words) as found:
        checked({**ITEM, **change})
    assert "KANARIE" not in str(found.value)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"{", b"[1]", b"[]", b'{"PatientID": {}}', b'{"PatientID": [[1]]}',
             b"[" * 100_000, b'{"00100020": 1}', b'{"00100020": {"Value": 1}}', b"null",
             b'{"PatientID": true}', b"\xff\xfe"],
)  # fmt: skip
def test_what_is_no_entry_is_refused(data: bytes):
    """Garbage is one kind of fault, whatever it is."""
    with pytest.raises(CannotUnderstand):
        of_file(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*list(CATALOGUE)[:6], "00100010", "Value", "x"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_refused(told: Any):
    """Whatever JSON comes is an entry or CannotUnderstand, and nothing else."""
    with contextlib.suppress(CannotUnderstand):
        of_json(json.dumps(told).encode())


TEXTS = st.text(alphabet="ab*?^=\\ -0126:.é", max_size=10)


@given(name=TEXTS, patient=TEXTS, date=TEXTS, time=TEXTS, modality=TEXTS)
def test_any_key_is_matched_or_named(name, patient, date, time, modality):
    """Whatever text a key holds is decided or named as bad; what matches can be answered."""
    keys = {"PatientName": name, "PatientID": patient, STEPS: {START: date, TIME: time,
            "Modality": modality}}  # fmt: skip
    try:
        asked = parse(dataset(keys))
    except BadIdentifier:
        return
    assert len(answered(asked, ITEM)[STEPS].value) == 1 or not matches(asked, ITEM)


HOURS = st.tuples(st.integers(1, 9), st.integers(0, 23))


@given(moment=HOURS, first=HOURS, last=HOURS)
def test_a_period_is_what_a_clock_would_say(moment, first, last):
    """Two ranges match exactly the moments between their ends, as plain text compares them."""
    (day, hour), (from_day, from_hour), (to_day, to_hour) = moment, first, last
    dates, times = f"2026070{from_day}-2026070{to_day}", f"{from_hour:02}-{to_hour:02}"
    asked = parse(dataset(step(**{START: dates, TIME: times})))
    item = {**ITEM, STEPS: [{**STEP, START: f"2026070{day}", TIME: f"{hour:02}30"}]}
    assert matches(asked, item) is (first <= moment <= last)


def test_what_was_discontinued_is_planned_anew_when_it_changes():
    """Said again as it was it stays over, with another day it is scheduled; done is done."""
    later = {**ITEM, STEPS: [{**STEP, START: "20260801"}]}
    assert again(State.DISCONTINUED, ITEM, ITEM) is State.DISCONTINUED
    assert again(State.DISCONTINUED, ITEM, later) is State.SCHEDULED
    assert again(State.COMPLETED, ITEM, later) is State.COMPLETED
    assert again(State.STARTED, ITEM, later) is State.STARTED


def test_of_a_sequence_the_items_that_match_are_told():
    """Of several codes the one that was asked for comes, with the keys asked for (C.2.2.2.6)."""
    codes = [{"CodeValue": each, "CodingSchemeDesignator": "99X"} for each in "AB"]
    asked = asks({"RequestedProcedureCodeSequence": {"CodeValue": "B"}})
    made = answered(asked, {**ITEM, "RequestedProcedureCodeSequence": codes})
    (item,) = made.RequestedProcedureCodeSequence
    assert ([one.keyword for one in item], item.CodeValue) == (["CodeValue"], "B")


def test_a_sequence_that_is_cut_is_named():
    """A sequence whose bytes are no item is a bad identifier, not a bug."""
    data = dcmread(io.BytesIO(b"\x40\0\0\x01\x02\0\0\0AB"), force=True)
    with pytest.raises(BadIdentifier, match="ScheduledProcedureStepSequence"):
        parse(data)


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_an_answer_reads_as_it_was_made(syntax: str):
    """Encoded in either syntax, an answer's names and sequences come back as they were."""
    asked = asks({"PatientName": "", STEPS: [], "PregnancyStatus": None})
    read = answered(asked, {**ITEM, "PatientName": "Yamada=山田^太郎"}, syntax)
    assert str(read.PatientName) == "Yamada=山田^太郎"
    assert read[STEPS].value[0].Modality == "CT"
    assert read.PregnancyStatus == 4


def test_a_hundred_thousand_uids_are_a_question_like_any_other():
    """A long list of UIDs is looked up, not walked through, for each of many entries."""
    uids = [f"1.2.{number}" for number in range(100_000)]
    asked = parse(dataset({"StudyInstanceUID": uids}))
    assert asked.single("StudyInstanceUID") is None
    started = time.perf_counter()
    assert all(matches(asked, ITEM) for _ in range(2_000))
    assert time.perf_counter() - started < 2
