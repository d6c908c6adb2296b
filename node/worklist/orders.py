"""What an HL7 message asks of the worklist: entries said, orders taken back, patients known better.

Orders are read as the IHE Radiology Technical Framework maps them (RAD-4, RAD-13; volume 2,
appendix B). Pure: nothing is written here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dicom import moments
from dicom.errors import CannotUnderstand
from dicom.worklist import STEPS, checked, checked_facts, whole
from node.worklist.er7 import Message, NotHl7, Segment, Signs, component_of
from storage.ledger.worklist import Draft, Order

ORDERS: Final = {("ORM", "O01"), ("OMI", "O23"), ("OMG", "O19")}
UPDATES: Final = {("ADT", "A08"), ("ADT", "A31")}
MERGES: Final = {("ADT", "A40"), ("ADT", "A47")}
SAYING: Final = frozenset({"NW", "SN", "XO", "XX", "RP", "RU", "PA", "CH", "SC"})
TAKING_BACK: Final = frozenset({"CA", "OC", "DC", "OD", "CR", "DR"})
_ENDED: Final = frozenset({"CA", "CM", "DC", "RP"})
"""Order states of ORC-5 in which nothing is to be done any more (HL7 table 0038)."""
_SEXES: Final = {"M": "M", "F": "F", "O": "O", "A": "O"}
_PRIORITIES: Final = {
    "S": "STAT", "A": "HIGH", "R": "ROUTINE", "P": "HIGH", "T": "MEDIUM", "C": "HIGH",
}  # fmt: skip
_DTM: Final = re.compile(r"(\d{8})(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,4})?)?)?)?([+-]\d{4})?", re.ASCII)
_NAME_GROUPS: Final = ("A", "I", "P")
"""What XPN-8 calls the writings of a name, in the order of DICOM's component groups."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is now known of a patient: facts by keyword."""

    patient_id: str
    issuer: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a message asks for, in this order."""

    drafts: list[Draft] = field(default_factory=list)
    cancelled: list[Order] = field(default_factory=list)
    patients: list[Patient] = field(default_factory=list)


def asked_by(message: Message, stations: Mapping[str, str]) -> Asked:
    """Say what a message asks for.

    `stations` gives AE titles by modality, for orders that name none. Raises NotHl7 for what is
    not understood or not enough, CannotUnderstand for what no entry can be made of.
    """
    kind = message.type
    if kind in ORDERS:
        return _orders(message, stations)
    if kind in UPDATES:
        patient_id, issuer = _identity(message.first("PID"), 3, "PID-3")
        facts = checked_facts(_patient(message.first("PID")))
        return Asked(patients=[Patient(patient_id, issuer, facts)])
    if kind in MERGES:
        return Asked(patients=list(_merges(message)))
    known = {each for each, _ in ORDERS | UPDATES | MERGES}
    raise NotHl7(201 if kind[0] in known else 200, "MSH-9: this message is not taken here")


def _merges(message: Message) -> Iterator[Patient]:
    """Read each PID with the MRG behind it: entries of the old number go to the new one."""
    pid: Segment | None = None
    found = 0
    for segment in message.segments:
        if segment.name == "PID":
            pid = segment
        elif segment.name == "MRG" and pid is not None:
            old, issuer = _identity(segment, 1, "MRG-1")
            yield Patient(old, issuer, checked_facts(_patient(pid)))
            found += 1
    if not found:
        raise NotHl7(100, "there is no MRG behind PID")


def _orders(message: Message, stations: Mapping[str, str]) -> Asked:
    asked = Asked()
    drafts: dict[tuple[str, str, str], dict[str, Any]] = {}
    numbers: dict[tuple[str, str, str], tuple[str, str]] = {}
    groups = list(_groups(message))
    if not groups:
        raise NotHl7(100, "there is no ORC")
    for group in groups:
        control = group.orc.text(1).upper()
        placer, filler = _numbers(group)
        if not placer and not filler:
            raise NotHl7(101, "ORC-2 and ORC-3 are empty: an order needs a number")
        is_over = control == "SC" and group.orc.text(5).upper() in _ENDED
        if control in TAKING_BACK or is_over:
            asked.cancelled.append(Order(placer, filler, _step_id(group, "")))
            continue
        if control not in SAYING:
            raise NotHl7(103, "ORC-1: this order control is not taken here")
        item = _item(message, group, stations, placer or filler)
        key = (placer, filler, item[STEPS][0]["ScheduledProcedureStepID"])
        if key in drafts:  # one step, ordered line by line: each line is one more protocol
            _add_protocol(drafts[key], item)
        else:
            drafts[key], numbers[key] = item, (placer, filler)
    for key, item in drafts.items():
        placer, filler = numbers[key]
        asked.drafts.append(Draft(checked(whole(item)), "hl7", placer=placer, filler=filler))
    return asked


@dataclass(frozen=True, slots=True)
class _Group:
    """An order: ORC, with the OBR, TQ1 and IPC behind it."""

    orc: Segment
    obr: Segment
    tq1: Segment
    ipc: Segment
    zds: Segment


def _groups(message: Message) -> Iterator[_Group]:
    """Yield the orders of a message, one for each OBR and each IPC."""
    runs: list[list[Segment]] = []
    for segment in message.segments:
        if segment.name == "ORC":
            runs.append([])
        if runs:
            runs[-1].append(segment)
    whole_message = list(message.segments)
    for run in runs:
        orc, tq1 = run[0], _first(run, "TQ1")
        zds = _first(run, "ZDS") if _first(run, "ZDS").fields else _first(whole_message, "ZDS")
        requests = [one for one in run if one.name == "OBR"] or [Segment("OBR", (), orc.signs)]
        steps = [one for one in run if one.name == "IPC"] or [Segment("IPC", (), orc.signs)]
        for obr in requests:
            for ipc in steps:
                yield _Group(orc, obr, tq1, ipc, zds)


def _first(segments: list[Segment], name: str) -> Segment:
    return next((one for one in segments if one.name == name), Segment(name, (), segments[0].signs))


def _numbers(group: _Group) -> tuple[str, str]:
    placer = group.orc.text(2) or group.obr.text(2)
    filler = group.orc.text(3) or group.obr.text(3)
    return placer, filler


def _step_id(group: _Group, otherwise: str) -> str:
    return group.ipc.text(4) or group.obr.text(20) or otherwise


def _item(
    message: Message, group: _Group, stations: Mapping[str, str], number: str
) -> dict[str, Any]:
    """Make an entry of an order."""
    pid, visit = message.first("PID"), message.first("PV1")
    _identity(pid, 3, "PID-3")
    facts = _patient(pid)
    if not facts.get("PatientName"):
        raise NotHl7(101, "PID-5 is empty: an entry needs the patient's name")
    orc, obr = group.orc, group.obr
    made: dict[str, Any] = {
        **facts,
        "StudyInstanceUID": group.ipc.text(3) or group.zds.text(1),
        "AccessionNumber": group.ipc.text(1) or obr.text(18),
        "RequestedProcedureID": group.ipc.text(2) or obr.text(19),
        "RequestedProcedureDescription": obr.text(44, 2) or obr.text(4, 2),
        "RequestedProcedureCodeSequence": _codes(obr, 44, 1) or _codes(obr, 4, 1),
        "RequestedProcedurePriority": _priority(group),
        "PatientTransportArrangements": obr.text(30),
        "ReasonForTheRequestedProcedure": obr.text(31, 2) or obr.text(31),
        "PlacerOrderNumberImagingServiceRequest": orc.text(2) or obr.text(2),
        "FillerOrderNumberImagingServiceRequest": orc.text(3) or obr.text(3),
        "ReferringPhysicianName": _person(visit, 8),
        "RequestingPhysician": _person(orc, 12) or _person(obr, 16),
        "RequestingService": orc.text(17, 2) or orc.text(17),
        "AdmissionID": visit.text(19) or pid.text(18),
        "CurrentPatientLocation": " ".join(
            part for part in (visit.text(3, each) for each in (1, 2, 3)) if part
        ),
        "PatientState": obr.text(12, 2) or obr.text(12),
        "AdditionalPatientHistory": obr.text(13),
        "Allergies": ", ".join(
            one.text(3, 2) or one.text(3) for one in message.all("AL1") if one.field(3)
        ),
        STEPS: [_step(message, group, stations, number)],
    }
    tidied: dict[str, Any] = _tidy(made)
    return tidied


def _step(
    message: Message, group: _Group, stations: Mapping[str, str], number: str
) -> dict[str, Any]:
    obr, ipc = group.obr, group.ipc
    modality = (ipc.text(5) or obr.text(24)).upper()
    if not modality:
        raise NotHl7(101, "OBR-24 (or IPC-5) is empty: which modality is it for?")
    date, time = _start(message, group)
    return {
        "Modality": modality,
        "ScheduledStationAETitle": ipc.text(9) or stations.get(modality, ""),
        "ScheduledStationName": ipc.text(7),
        "ScheduledProcedureStepLocation": ipc.text(8),
        "ScheduledProcedureStepStartDate": date,
        "ScheduledProcedureStepStartTime": time,
        "ScheduledPerformingPhysicianName": _performer(obr),
        "ScheduledProcedureStepDescription": obr.text(4, 5) or obr.text(4, 2),
        "ScheduledProtocolCodeSequence": _codes(ipc, 6, 1) or _codes(obr, 4, 4),
        "ScheduledProcedureStepID": _step_id(group, number),
    }


def _start(message: Message, group: _Group) -> tuple[str, str]:
    """Find when the step is scheduled; the day of the message where nothing says more."""
    said = (
        group.tq1.text(7), group.orc.text(7, 4), group.obr.text(27, 4), group.obr.text(36),
        group.obr.text(6), message.header.text(7),
    )  # fmt: skip
    first = next((one for one in said if one), "")
    if not first:
        raise NotHl7(101, "TQ1-7, ORC-7.4, OBR-27.4 and OBR-36 are empty: when is it scheduled?")
    found = _DTM.fullmatch(first)
    if found is None or moments.date_of(found[1]) is None:
        raise NotHl7(102, "the scheduled start is no date and time")
    time = found[2] or ""
    if time and moments.time_of(time) is None:
        raise NotHl7(102, "the scheduled start is no date and time")
    return found[1], time


def _identity(segment: Segment, number: int, name: str) -> tuple[str, str]:
    """Read a patient's number and who gave it. Raises NotHl7."""
    patient_id = segment.text(number)
    if not patient_id:
        raise NotHl7(101, f"{name} is empty: whose is it?")
    return patient_id, segment.text(number, 4)


def _patient(pid: Segment) -> dict[str, str]:
    patient_id, issuer = _identity(pid, 3, "PID-3")
    born = pid.text(7)[:8]
    facts = {
        "PatientID": patient_id,
        "IssuerOfPatientID": issuer,
        "PatientName": _name(pid.repetitions(5), pid.signs, first=1),
        "PatientBirthDate": born if moments.date_of(born) else "",
        "PatientSex": _SEXES.get(pid.text(8).upper(), ""),
        "PatientAddress": " ".join(
            part for part in (pid.text(11, each) for each in (1, 5, 3)) if part
        ),
        "EthnicGroup": pid.text(22)[:16],
    }
    tidied = _tidy(facts)
    return {keyword: str(text) for keyword, text in tidied.items()}


def _person(segment: Segment, number: int) -> str:
    """Write a person (XCN) as a DICOM name; the number before the name is left away."""
    return _name(segment.repetitions(number)[:1], segment.signs, first=2)


def _performer(obr: Segment) -> str:
    """Write the technician (OBR-34, NDL: the name is inside its first component)."""
    first = obr.field(34).split(obr.signs.repetition)[0].split(obr.signs.component)[0]
    return _name([first.replace(obr.signs.part, obr.signs.component)], obr.signs, first=2)


def _name(repetitions: list[str], signs: Signs, *, first: int) -> str:
    """Write the writings of a name as component groups (PS3.5 6.2.1); XPN begins at component 1.

    HL7 has the suffix before the prefix, DICOM after it. A name without a code for its writing is
    the alphabetic one.
    """
    groups = dict.fromkeys(_NAME_GROUPS, "")
    for one in repetitions:
        family, given, middle, suffix, prefix = (
            _part(component_of(one, first + number, signs)) for number in range(5)
        )
        writing = component_of(one, 8, signs).upper() if first == 1 else "A"
        group = writing if writing in groups else "A"
        written = f"{family}^{given}^{middle}^{prefix}^{suffix}".rstrip("^")
        groups[group] = groups[group] or written
    return "=".join(groups.values()).rstrip("=")


def _part(text: str) -> str:
    return re.sub(r"[\^=\\]", " ", text).strip()


def _codes(segment: Segment, number: int, first: int) -> list[dict[str, str]]:
    """Read a coded element (CE) as an item of a code sequence; none without a scheme."""
    found = [
        {
            "CodeValue": component_of(one, first, segment.signs)[:16],
            "CodeMeaning": component_of(one, first + 1, segment.signs)[:64],
            "CodingSchemeDesignator": component_of(one, first + 2, segment.signs)[:16],
        }
        for one in segment.repetitions(number)
    ]
    return [one for one in found if one["CodeValue"] and one["CodingSchemeDesignator"]]


def _add_protocol(made: dict[str, Any], more: Mapping[str, Any]) -> None:
    step, further = made[STEPS][0], more[STEPS][0]
    codes = step.get("ScheduledProtocolCodeSequence", [])
    for code in further.get("ScheduledProtocolCodeSequence", []):
        if code not in codes:
            codes = [*codes, code]
    if codes:
        step["ScheduledProtocolCodeSequence"] = codes


def _priority(group: _Group) -> str:
    said = group.tq1.text(9) or group.orc.text(7, 6) or group.obr.text(27, 6) or group.obr.text(5)
    return _PRIORITIES.get(said[:1].upper(), "")


_CUT: Final = {
    "RequestedProcedureDescription": 64, "PatientTransportArrangements": 64,
    "ReasonForTheRequestedProcedure": 64, "RequestingService": 64, "AdmissionID": 64,
    "CurrentPatientLocation": 64, "PatientState": 64, "PatientAddress": 64, "Allergies": 64,
    "ScheduledProcedureStepDescription": 64, "CodeMeaning": 64, "ScheduledStationName": 16,
    "ScheduledProcedureStepLocation": 16,
    "AdditionalPatientHistory": 10_000,
}  # fmt: skip
"""Descriptions are cut to what DICOM has room for; numbers never are: they are refused instead."""


def _tidy(value: Any, keyword: str = "") -> Any:
    """Leave away what is empty, and signs that would mean something else in DICOM."""
    if isinstance(value, dict):
        tidied = {key: _tidy(each, key) for key, each in value.items()}
        return {key: each for key, each in tidied.items() if each}
    if isinstance(value, list):
        return [_tidy(one) for one in value]
    text = "".join(" " if ord(sign) < 32 or sign == "\\" else sign for sign in value)
    return text[: _CUT.get(keyword)].strip() if keyword in _CUT else text.strip()


def is_message_fault(fault: Exception) -> bool:
    """Whether the message is at fault, so that sending it again cannot help."""
    return isinstance(fault, (NotHl7, CannotUnderstand))
