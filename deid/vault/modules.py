"""Which attributes say whose study an object belongs to (PS3.3 C.7.1 and C.7.2).

The modules of the Patient and the Study: Patient, Clinical Trial Subject, General Study, Patient
Study, Clinical Trial Study. Every public attribute of group 0010 is about the patient; the others
are listed. Attributes of Series, Equipment and Instance are the result's own.
"""

from typing import Final

_PATIENT_GROUP: Final = 0x0010

STUDY_INSTANCE_UID: Final = 0x0020_000D
PATIENT_NAME: Final = 0x0010_0010
PATIENT_ID: Final = 0x0010_0020
CHARACTER_SET: Final = 0x0008_0005

LISTED: Final = frozenset(
    {
        STUDY_INSTANCE_UID,
        0x0008_0020,  # StudyDate
        0x0008_0030,  # StudyTime
        0x0008_0050,  # AccessionNumber
        0x0008_0051,  # IssuerOfAccessionNumberSequence
        0x0008_0090,  # ReferringPhysicianName
        0x0008_0092,  # ReferringPhysicianAddress
        0x0008_0094,  # ReferringPhysicianTelephoneNumbers
        0x0008_0096,  # ReferringPhysicianIdentificationSequence
        0x0008_009C,  # ConsultingPhysicianName
        0x0008_009D,  # ConsultingPhysicianIdentificationSequence
        0x0008_1030,  # StudyDescription
        0x0008_1032,  # ProcedureCodeSequence
        0x0008_1048,  # PhysiciansOfRecord
        0x0008_1049,  # PhysiciansOfRecordIdentificationSequence
        0x0008_1060,  # NameOfPhysiciansReadingStudy
        0x0008_1062,  # PhysiciansReadingStudyIdentificationSequence
        0x0008_1080,  # AdmittingDiagnosesDescription
        0x0008_1084,  # AdmittingDiagnosesCodeSequence
        0x0008_1110,  # ReferencedStudySequence
        0x0008_1120,  # ReferencedPatientSequence
        0x0012_0010,  # ClinicalTrialSponsorName
        0x0012_0020,  # ClinicalTrialProtocolID
        0x0012_0021,  # ClinicalTrialProtocolName
        0x0012_0030,  # ClinicalTrialSiteID
        0x0012_0031,  # ClinicalTrialSiteName
        0x0012_0040,  # ClinicalTrialSubjectID
        0x0012_0042,  # ClinicalTrialSubjectReadingID
        0x0012_0050,  # ClinicalTrialTimePointID
        0x0012_0051,  # ClinicalTrialTimePointDescription
        0x0012_0052,  # LongitudinalTemporalOffsetFromEvent
        0x0012_0053,  # LongitudinalTemporalEventType
        0x0012_0054,  # ClinicalTrialTimePointTypeCodeSequence
        0x0012_0081,  # ClinicalTrialProtocolEthicsCommitteeName
        0x0012_0082,  # ClinicalTrialProtocolEthicsCommitteeApprovalNumber
        0x0012_0083,  # ConsentForClinicalTrialUseSequence
        0x0020_0010,  # StudyID
        0x0032_1033,  # RequestingService
        0x0032_1034,  # RequestingServiceCodeSequence
        0x0032_1066,  # ReasonForVisit
        0x0032_1067,  # ReasonForVisitCodeSequence
        0x0038_0010,  # AdmissionID
        0x0038_0014,  # IssuerOfAdmissionIDSequence
        0x0038_0060,  # ServiceEpisodeID
        0x0038_0062,  # ServiceEpisodeDescription
        0x0038_0064,  # IssuerOfServiceEpisodeIDSequence
        0x0038_0500,  # PatientState
        0x0040_1012,  # ReasonForPerformedProcedureCodeSequence
    }
)


def belongs(tag: int) -> bool:
    """Whether an attribute of a dataset's first level says whose study it belongs to."""
    return (tag >> 16 == _PATIENT_GROUP and tag & 0xFFFF != 0) or tag in LISTED
