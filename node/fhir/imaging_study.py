"""An ImagingStudy of FHIR R4 out of what the index holds of a Study."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.fhir import words
from storage.index.imaging import Row, SeriesRecord, StudyRecord

Resource = dict[str, Any]

ENDPOINT_ID: Final = "dicom-web"
_IDENTIFIER_TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
_CONNECTIONS: Final = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
_TAGS: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
UID_SYSTEM: Final = "urn:dicom:uid"


@dataclass(frozen=True, slots=True)
class Manner:
    """What the config says of resources."""

    patient_names: bool
    issuers: Mapping[str, str]
    """The system of patients' identifiers by IssuerOfPatientID."""
    dicom_web: str
    """The URL of /dicom-web for whoever reads the resource; "" leaves endpoints out."""


def version_of(revision: int, record: StudyRecord) -> str:
    """Name the version of a resource: the Study's revision, and how many Instances there are.

    An Instance that came never changes, so that nothing else can make another resource.
    """
    return f"{revision}.{record.study['NumberOfStudyRelatedInstances'] or 0}"


def imaging_study(record: StudyRecord, manner: Manner, *, version: str = "") -> Resource:
    """Render a Study; without Instances in it, it says that it is a part (SUBSETTED)."""
    study = record.study
    offset = study.get("TimezoneOffsetFromUTC")
    has_instances = any(one.instances for one in record.series)
    found: Resource = {
        "resourceType": "ImagingStudy",
        "id": words.resource_id(str(study["StudyInstanceUID"])),
        "meta": _meta(record, version, is_whole=has_instances),
        "contained": _endpoints(manner),
        "identifier": _identifiers(study),
        "status": "available",
        "modality": _modalities(study),
        "subject": _subject(study, manner),
        "started": words.started(study["StudyDate"], study["StudyTime"], offset),
        "endpoint": [{"reference": f"#{ENDPOINT_ID}"}] if manner.dicom_web else [],
        "numberOfSeries": words.number_of(study["NumberOfStudyRelatedSeries"]),
        "numberOfInstances": words.number_of(study["NumberOfStudyRelatedInstances"]),
        "description": words.text_of(study["StudyDescription"]),
        "series": [_series(one, offset) for one in record.series],
    }
    return _filled(found)


def _meta(record: StudyRecord, version: str, *, is_whole: bool) -> Resource:
    newest = record.newest_at
    return _filled({
        "versionId": version,
        "lastUpdated": words.instant(newest) if newest else None,
        "tag": [] if is_whole else [{"system": _TAGS, "code": "SUBSETTED"}],
    })  # fmt: skip


def _endpoints(manner: Manner) -> list[Resource]:
    if not manner.dicom_web:
        return []
    return [{
        "resourceType": "Endpoint",
        "id": ENDPOINT_ID,
        "status": "active",
        "connectionType": {"system": _CONNECTIONS, "code": "dicom-wado-rs"},
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": ["application/dicom"],
        "address": manner.dicom_web,
    }]  # fmt: skip


def _identifiers(study: Row) -> list[Resource]:
    uid = str(study["StudyInstanceUID"])
    value = words.oid(uid) or words.resource_id(uid)  # a UID of blanks is none
    found: list[Resource] = [{"use": "official", "system": UID_SYSTEM, "value": value}]
    if accession := words.text_of(study["AccessionNumber"]):
        kind = {"coding": [{"system": _IDENTIFIER_TYPES, "code": "ACSN"}]}
        found.append({"type": kind, "value": accession})
    return found


def _modalities(study: Row) -> list[words.Coding]:
    every = str(study["ModalitiesInStudy"] or "").split("\\")
    return [words.modality(one) for one in every if words.text_of(one)]


def _subject(study: Row, manner: Manner) -> Resource:
    """Name the patient by identifier: the node knows of no Patient resource."""
    identifier = words.text_of(study["PatientID"])
    issuer = words.text_of(study["IssuerOfPatientID"])
    name = words.text_of(study["PatientName"]) if manner.patient_names else ""
    display = " ".join(part for part in name.split("=")[0].split("^") if part)
    told: Resource = {
        "value": identifier,
        "system": manner.issuers.get(issuer, ""),
        "assigner": {"display": issuer} if issuer else {},
    }
    return _filled({
        "type": "Patient",
        "identifier": _filled(told) if identifier else {},
        "display": display or ("" if identifier else "unknown"),
    })  # fmt: skip


def _series(record: SeriesRecord, offset: object) -> Resource:
    series = record.series
    return _filled({
        "uid": words.resource_id(str(series["SeriesInstanceUID"])),
        "number": words.number_of(series["SeriesNumber"]),
        "modality": words.modality(series["Modality"]),
        "description": words.text_of(series["SeriesDescription"]),
        "numberOfInstances": words.number_of(series["NumberOfSeriesRelatedInstances"]),
        "bodySite": words.body_site(series["BodyPartExamined"]),
        "laterality": words.laterality(series["Laterality"]),
        "started": words.started(series["SeriesDate"], series["SeriesTime"], offset),
        "instance": [_instance(one) for one in record.instances],
    })  # fmt: skip


def _instance(row: Row) -> Resource:
    return _filled({
        "uid": words.resource_id(str(row["SOPInstanceUID"])),
        "sopClass": {"system": words.URI, "code": words.oid(row["SOPClassUID"]) or "urn:oid:0"},
        "number": words.number_of(row["InstanceNumber"]),
        "title": words.text_of(row["ContentLabel"]),
    })  # fmt: skip


def _filled(resource: Resource) -> Resource:
    """Leave out what is empty: FHIR has no empty elements; 0 is a number."""
    return {key: value for key, value in resource.items() if value or value == 0}
