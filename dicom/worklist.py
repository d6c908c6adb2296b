"""What an entry of the modality worklist says, and which attributes it may have (PS3.4 K.6).

An entry is one Scheduled Procedure Step. It is kept as an Item: text by keyword, with several
values joined by a backslash, and for a sequence the Items in it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from dicom import ae, moments, uid
from dicom.attributes import Attribute, Level
from dicom.errors import CannotUnderstand
from dicom.keywords import tag_for_keyword, vm_of_tag, vr_of_tag

MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"
"""Modality Worklist Information Model - FIND."""

Item = Mapping[str, Any]
"""By keyword: text, or a list of Items where the keyword is a sequence's."""

STEPS: Final = "ScheduledProcedureStepSequence"
STATUS: Final = "ScheduledProcedureStepStatus"

_CODE: Final = "CodeValue CodingSchemeDesignator CodingSchemeVersion CodeMeaning"
_REFERENCE: Final = "ReferencedSOPClassUID ReferencedSOPInstanceUID"
_ISSUER: Final = "LocalNamespaceEntityID UniversalEntityID UniversalEntityIDType"
_SEQUENCES: Final[Mapping[str, str]] = {
    STEPS: """
        ScheduledStationAETitle ScheduledStationName ScheduledProcedureStepLocation
        ScheduledProcedureStepStartDate ScheduledProcedureStepStartTime
        ScheduledProcedureStepEndDate ScheduledProcedureStepEndTime
        ScheduledPerformingPhysicianName ScheduledProcedureStepDescription
        ScheduledProtocolCodeSequence ScheduledProcedureStepID ScheduledProcedureStepStatus
        CommentsOnTheScheduledProcedureStep Modality RequestedContrastAgent PreMedication
        AnatomicalOrientationType ReferencedDefinedProtocolSequence ScheduledSpecimenSequence""",
    "ScheduledProtocolCodeSequence": _CODE,
    "ReferencedDefinedProtocolSequence": _REFERENCE,
    "ScheduledSpecimenSequence": "ContainerIdentifier ContainerTypeCodeSequence",
    "ContainerTypeCodeSequence": _CODE,
    "RequestedProcedureCodeSequence": _CODE,
    "ReasonForRequestedProcedureCodeSequence": _CODE,
    "RequestingServiceCodeSequence": _CODE,
    "AdmittingDiagnosesCodeSequence": _CODE,
    "EthnicGroupCodeSequence": _CODE,
    "PatientPrimaryLanguageCodeSequence": _CODE,
    "InstitutionCodeSequence": _CODE,
    "ReferencedStudySequence": _REFERENCE,
    "ReferencedPatientSequence": _REFERENCE,
    "IssuerOfAccessionNumberSequence": _ISSUER,
    "OrderPlacerIdentifierSequence": _ISSUER,
    "OrderFillerIdentifierSequence": _ISSUER,
    "IssuerOfAdmissionIDSequence": _ISSUER,
    "OtherPatientIDsSequence": "PatientID IssuerOfPatientID TypeOfPatientID",
}
_TOP: Final = f"""
    {STEPS}
    RequestedProcedureID RequestedProcedureDescription RequestedProcedureCodeSequence
    StudyInstanceUID StudyDate StudyTime ReferencedStudySequence RequestedProcedurePriority
    PatientTransportArrangements ReasonForTheRequestedProcedure
    ReasonForRequestedProcedureCodeSequence RequestedProcedureComments RequestedProcedureLocation
    ConfidentialityCode ReportingPriority NamesOfIntendedRecipientsOfResults
    AccessionNumber IssuerOfAccessionNumberSequence RequestingPhysician ReferringPhysicianName
    RequestingService RequestingServiceCodeSequence PlacerOrderNumberImagingServiceRequest
    FillerOrderNumberImagingServiceRequest OrderPlacerIdentifierSequence
    OrderFillerIdentifierSequence IssueDateOfImagingServiceRequest
    IssueTimeOfImagingServiceRequest OrderEnteredBy OrderEntererLocation OrderCallbackPhoneNumber
    ImagingServiceRequestComments ReasonForTheImagingServiceRequest
    InstitutionName InstitutionAddress InstitutionCodeSequence InstitutionalDepartmentName
    AdmissionID IssuerOfAdmissionIDSequence ServiceEpisodeID CurrentPatientLocation
    PatientInstitutionResidence VisitStatusID VisitComments AdmittingDate AdmittingTime
    AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence ReferencedPatientSequence
    PatientName PatientID IssuerOfPatientID TypeOfPatientID OtherPatientIDs
    OtherPatientIDsSequence OtherPatientNames PatientBirthName PatientMotherBirthName
    PatientBirthDate PatientBirthTime PatientSex PatientAge PatientSize PatientWeight EthnicGroup
    EthnicGroupCodeSequence PatientAddress PatientTelephoneNumbers MilitaryRank BranchOfService
    CountryOfResidence RegionOfResidence PatientReligiousPreference Occupation SmokingStatus
    PatientComments PatientPrimaryLanguageCodeSequence ResponsiblePerson ResponsiblePersonRole
    ResponsibleOrganization PatientSpeciesDescription PatientBreedDescription PatientSexNeutered
    ConfidentialityConstraintOnPatientDataDescription PatientState PregnancyStatus MedicalAlerts
    Allergies SpecialNeeds LastMenstrualDate AdditionalPatientHistory
"""


@dataclass(frozen=True, slots=True)
class Known:
    """An attribute of an entry, and what the items of a sequence may have."""

    attribute: Attribute
    inside: Mapping[str, "Known"] | None = None


def _known(keywords: str) -> dict[str, Known]:
    found = {}
    for keyword in keywords.split():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        many = vm_of_tag(tag) != "1"
        attribute = Attribute(keyword, tag, vr_of_tag(tag), Level.STUDY, many)
        inside = _known(_SEQUENCES[keyword]) if attribute.vr == "SQ" else None
        found[keyword] = Known(attribute, inside)
    return found


CATALOGUE: Final[Mapping[str, Known]] = _known(_TOP)
"""What an entry may say, by keyword: the attributes of PS3.4 Table K.6-1."""

REQUIRED: Final = ("PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureID")
REQUIRED_IN_STEP: Final = (
    "Modality",
    "ScheduledProcedureStepID",
    "ScheduledProcedureStepStartDate",
)
"""What an entry cannot do without: a scanner needs it, or could not find the entry."""

_LONGEST: Final[Mapping[str, int]] = {
    "AE": 16, "CS": 64, "DS": 16, "SH": 64, "LO": 64, "PN": 324, "UI": 64, "US": 5,
}  # fmt: skip
_LONGEST_TEXT: Final = 10_240
_MOST_ITEMS: Final = 100


class State(StrEnum):
    """How far an entry's step is; what scanners are told in ScheduledProcedureStepStatus."""

    SCHEDULED = "SCHEDULED"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


ANSWERED: Final = frozenset({State.SCHEDULED, State.STARTED})
"""The states in which an entry is on the worklist."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is kept."""

    id: str
    source: str
    """"rest", "hl7", or "folder"."""
    item: Item
    state: State = State.SCHEDULED
    performed_step: str = ""
    """SOP Instance UID of the performed procedure step that was last heard of."""
    changed_at: float = 0.0

    @property
    def step(self) -> Item:
        """Its Scheduled Procedure Step."""
        found: Item = self.item[STEPS][0]
        return found

    def told(self) -> Item:
        """Give what scanners are told: as it was said, with the state that it has come to."""
        own = self.step.get(STATUS, "")
        status = own if own and self.state is State.SCHEDULED else str(self.state)
        return {**self.item, STEPS: [{**self.step, STATUS: status}]}


def again(state: State, before: Item, after: Item) -> State:
    """Say the state of an entry that is said again: what was discontinued may be planned anew."""
    if state is State.DISCONTINUED and before != after:
        return State.SCHEDULED
    return state


def whole(item: Item) -> Item:
    """Add what can be known of an entry that leaves it away.

    The Requested Procedure has the number of the request or of the step, and the Study a UID that
    is the same each time the entry is said.
    """
    steps = item.get(STEPS) or [{}]
    step_id = str(steps[0].get("ScheduledProcedureStepID", ""))
    number = str(item.get("AccessionNumber") or step_id)
    made = dict(item)
    if not made.get("RequestedProcedureID"):
        made["RequestedProcedureID"] = number[:16]
    if not made.get("StudyInstanceUID") and number:
        patient, issuer = made.get("PatientID", ""), made.get("IssuerOfPatientID", "")
        requested = str(made["RequestedProcedureID"])
        made["StudyInstanceUID"] = uid.derive("worklist", issuer, patient, number, requested)
    return made


def checked(item: Item) -> Item:
    """Give an entry as it is. Raises CannotUnderstand with all that is wrong, without values."""
    steps = item.get(STEPS)
    found = [f"{each} is missing" for each in REQUIRED if not item.get(each)]
    if not isinstance(steps, list) or len(steps) != 1:
        found.append(f"{STEPS} must have one item")
    else:
        found += [f"{each} is missing" for each in REQUIRED_IN_STEP if not steps[0].get(each)]
    found += _wrong(item, CATALOGUE)
    if found:
        raise CannotUnderstand("; ".join(found[:20]))
    return item


def _wrong(item: Item, catalogue: Mapping[str, Known]) -> Iterator[str]:
    for keyword, value in item.items():
        known = catalogue.get(keyword)
        if known is None:
            yield "an attribute is not one of a worklist entry (PS3.4 Table K.6-1)"
        elif known.inside is None:
            if words := _fault(known.attribute, value):
                yield f"{keyword} {words}"
        elif not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
            yield f"{keyword} must be a list of items"
        elif len(value) > _MOST_ITEMS:
            yield f"{keyword} has more than {_MOST_ITEMS} items"
        else:
            for one in value:
                yield from _wrong(one, known.inside)


def _fault(attribute: Attribute, value: object) -> str:
    """Say what is wrong with a value; "" where nothing is."""
    if not isinstance(value, str):
        return "must be text"
    vr = attribute.vr
    is_text = vr in {"LT", "ST", "UT"}
    if any(ord(sign) < 32 and not (is_text and sign in "\t\n\f\r") for sign in value):
        return "holds a control character"
    if any("\ud800" <= sign <= "\udfff" or sign == "\ufffd" for sign in value):
        return "holds a character that was lost on its way"
    if is_text:
        return "is too long" if len(value) > _LONGEST_TEXT else ""
    values = value.split("\\")
    if len(values) > 1 and not attribute.many:
        return "must have one value, without a backslash"
    return next((words for one in values if one and (words := _form(vr, one))), "")


def _form(vr: str, value: str) -> str:
    longest = _LONGEST.get(vr, _LONGEST_TEXT)
    if len(value) > longest:
        return f"is longer than {longest}"
    is_right, words = _FORMS.get(vr, _ANY_FORM)
    return "" if is_right(value) else words


def _is_number(text: str) -> bool:
    return re.fullmatch(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *", text, re.ASCII) is not None


def _is_short(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 1 << 16


_ANY_FORM: Final[tuple[Callable[[str], bool], str]] = (lambda _: True, "")
_FORMS: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "AE": (ae.is_valid, "is no AE title"),
    "DA": (lambda text: moments.date_of(text) is not None, "is no date: YYYYMMDD"),
    "DS": (_is_number, "must be a number"),
    "TM": (lambda text: moments.time_of(text) is not None, "is no time: HHMMSS"),
    "UI": (uid.is_storable, "is no UID"),
    "US": (_is_short, "must be a whole number"),
}


def checked_facts(facts: Mapping[str, str]) -> Mapping[str, str]:
    """Give facts of a patient as they are. Raises CannotUnderstand as `checked` does."""
    if found := list(_wrong(facts, CATALOGUE)):
        raise CannotUnderstand("; ".join(found[:20]))
    return facts


def of_patient(entry: Entry, facts: Mapping[str, str]) -> Entry:
    """Give an entry with what is now known of its patient; what is not said stays as it is."""
    return replace(entry, item={**entry.item, **facts})
