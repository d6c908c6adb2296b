"""The attributes that the node can be asked about, and the level each belongs to (PS3.4 C.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from dicom.keywords import keyword_for_tag, tag_for_keyword, vm_of_tag, vr_of_tag


class Level(StrEnum):
    """The values of QueryRetrieveLevel (PS3.4 C.6.1.1), from the top down."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"

    @property
    def depth(self) -> int:
        """How far below the top: 0 for PATIENT, 3 for IMAGE."""
        return list(Level).index(self)

    def holds(self, other: "Level") -> bool:
        """Whether an entity of this level carries the attributes of the other one as well."""
        return other.depth <= self.depth


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of an entity: its keyword, tag, value representation and level."""

    keyword: str
    tag: int
    vr: str
    level: Level
    many: bool
    """Whether it may have several values (PS3.6: VM other than 1)."""

    def __str__(self) -> str:
        """Name it as people do: keyword and tag."""
        return f"{self.keyword} ({self.tag >> 16:04X},{self.tag & 0xFFFF:04X})"


UNIQUE_KEYS: Final[Mapping[Level, str]] = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}

DERIVED: Final = frozenset(
    {
        "NumberOfPatientRelatedStudies",
        "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
        "ModalitiesInStudy",
        "SOPClassesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
        "NumberOfSeriesRelatedInstances",
    }
)
"""Attributes that no object carries: they are counted from what the node holds."""

_KEYWORDS: Final[Mapping[Level, str]] = {
    Level.PATIENT: """
        PatientID IssuerOfPatientID PatientName PatientBirthDate PatientSex OtherPatientIDs
        EthnicGroup PatientComments PatientBirthTime OtherPatientNames PatientSpeciesDescription
        ResponsiblePerson NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries
        NumberOfPatientRelatedInstances""",
    Level.STUDY: """
        StudyInstanceUID StudyDate StudyTime AccessionNumber StudyID StudyDescription
        ReferringPhysicianName NameOfPhysiciansReadingStudy AdmittingDiagnosesDescription
        PatientAge Occupation AdditionalPatientHistory PhysiciansOfRecord AdmissionID
        TimezoneOffsetFromUTC ModalitiesInStudy SOPClassesInStudy
        NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances""",
    Level.SERIES: """
        SeriesInstanceUID Modality SeriesNumber SeriesDescription SeriesDate SeriesTime
        BodyPartExamined Laterality PatientPosition ProtocolName OperatorsName
        PerformingPhysicianName PerformedProcedureStepStartDate PerformedProcedureStepStartTime
        PerformedProcedureStepID PerformedProcedureStepDescription FrameOfReferenceUID
        DeviceSerialNumber InstitutionName InstitutionalDepartmentName StationName Manufacturer
        ManufacturerModelName NumberOfSeriesRelatedInstances""",
    Level.IMAGE: """
        SOPInstanceUID SOPClassUID InstanceNumber ContentDate ContentTime AcquisitionDate
        AcquisitionTime AcquisitionDateTime AcquisitionNumber ImageType Rows Columns
        BitsAllocated InstanceCreationDate InstanceCreationTime NumberOfFrames ContentLabel
        ContentDescription CompletionFlag VerificationFlag""",
}
_SEQUENCE_KEYWORDS: Final[Mapping[Level, str]] = {
    Level.PATIENT: "OtherPatientIDsSequence IssuerOfPatientIDQualifiersSequence",
    Level.STUDY: """
        IssuerOfAccessionNumberSequence ProcedureCodeSequence ReferencedStudySequence
        ReferringPhysicianIdentificationSequence""",
    Level.SERIES: """
        RequestAttributesSequence ReferencedPerformedProcedureStepSequence
        PerformedProtocolCodeSequence RelatedSeriesSequence""",
    Level.IMAGE: """
        ConceptNameCodeSequence ContentTemplateSequence ReferencedRequestSequence
        AnatomicRegionSequence""",
}


@lru_cache(4096)
def described(tag: int, level: Level) -> Attribute | None:
    """Describe any attribute of PS3.6, as it may stand in an item; None for one without keyword."""
    keyword = keyword_for_tag(tag)
    if not keyword:
        return None
    vr = vr_of_tag(tag).partition(" or ")[0]
    return Attribute(keyword, tag, vr, level, vm_of_tag(tag) != "1")


def _catalogue(keywords_of: Mapping[Level, str]) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for level, keywords in keywords_of.items():
        for keyword in keywords.split():
            tag = tag_for_keyword(keyword)
            one = described(tag, level) if tag is not None else None
            assert one is not None, keyword
            found[keyword] = one
    return found


CATALOGUE: Final[Mapping[str, Attribute]] = _catalogue(_KEYWORDS)
"""Every supported attribute that is no sequence by its keyword, upper levels first."""

SEQUENCES: Final[Mapping[str, Attribute]] = _catalogue(_SEQUENCE_KEYWORDS)
"""Every supported sequence by its keyword; its text is the JSON of its element (PS3.18 F.2)."""

BY_TAG: Final[Mapping[int, Attribute]] = {one.tag: one for one in CATALOGUE.values()}
"""The same attributes by tag."""


SEQUENCES_BY_TAG: Final[Mapping[int, Attribute]] = {one.tag: one for one in SEQUENCES.values()}
"""Those by tag."""


def sequences_of(level: Level) -> tuple[Attribute, ...]:
    """List the sequences that belong to one level."""
    return tuple(one for one in SEQUENCES.values() if one.level is level)


def of_level(level: Level) -> tuple[Attribute, ...]:
    """List the attributes that belong to one level."""
    return tuple(one for one in CATALOGUE.values() if one.level is level)
