"""Build a measurement report: a Comprehensive 3D SR after TID 1500 (PS3.16 Annex A).

The home of highdicom. The report carries the patient and the study of the stored originals, in
UTF-8, and is the same byte for byte whenever the same facts are reported.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, DT, TM

from ai.contract import Code
from ai.findings import Measurement
from ai.header import Source
from ai.report.subject import Subject
from ai.result import Result
from dicom.errors import Unsuitable
from dicom.part10 import text
from dicom.uid import IMPLEMENTATION_VERSION_NAME, derive

MANUFACTURER: Final = "Penumbra"
SERIES_NUMBER: Final = 9901
_UTF8: Final = "ISO_IR 192"
_SAME_AS_SOURCE: Final = (
    # The modules Patient, Patient Study and General Study (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2):
    # what names the patient and the visit. Type 2 attributes stay present when empty.
    ("PatientName", 2),
    ("PatientID", 2),
    ("IssuerOfPatientID", 3),
    ("PatientBirthDate", 2),
    ("PatientSex", 2),
    ("PatientAge", 3),
    ("PatientSize", 3),
    ("PatientWeight", 3),
    ("StudyDate", 2),
    ("StudyTime", 2),
    ("AccessionNumber", 2),
    ("ReferringPhysicianName", 2),
    ("StudyID", 2),
    ("StudyDescription", 3),
    ("TimezoneOffsetFromUTC", 3),
)


def build(subject: Subject, *, now: datetime) -> Result:
    """Write the report; COMPLETE and UNVERIFIED.

    `now` becomes the content date and time: give the time at which the Series was settled, not
    the clock, so that a second run makes the same bytes. The Series UID follows from study,
    algorithm and version, the Instance UID from everything the report says.
    Raises Unsuitable when the originals are of a SOP class that no report can refer to.
    """
    series_uid = derive(
        subject.source.study_instance_uid,
        subject.contract.algorithm,
        subject.contract.algorithm_version,
    )
    instance_uid = derive(series_uid, _digest(subject))
    with pydicom_config.disable_value_validation():  # originals are copied as they are
        try:
            report = _report(subject, series_uid, instance_uid, now)
        except (AttributeError, KeyError, TypeError, ValueError) as fault:
            words = f"no report can be built from it ({type(fault).__name__})"
            raise Unsuitable(f"series {subject.source.series_instance_uid}: {words}") from fault
        return Result(
            sop_class_uid=str(report.SOPClassUID),
            sop_instance_uid=instance_uid,
            series_instance_uid=series_uid,
            study_instance_uid=subject.source.study_instance_uid,
            transfer_syntax_uid=str(ExplicitVRLittleEndian),
            dataset=_encode(report),
            findings=subject.findings,
        )


def _digest(subject: Subject) -> str:
    facts = {
        "sources": sorted(item.sop_instance_uid for item in subject.source.references),
        "findings": [asdict(finding) for finding in subject.findings],
        "served": _provenance(subject),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _provenance(subject: Subject) -> list[str]:
    served = subject.served
    lines = [f"server {served.server}", f"model {served.model} version {served.version}"]
    if subject.contract.settings:
        lines.append(subject.contract.settings)
    return lines


def _report(
    subject: Subject, series_uid: str, instance_uid: str, now: datetime
) -> sr.Comprehensive3DSR:
    contract = subject.contract
    report = sr.Comprehensive3DSR(
        evidence=_evidence(subject.source),
        content=_content(subject, instance_uid)[0],
        series_instance_uid=series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=contract.algorithm[:64],
        device_serial_number=subject.served.model[:64],
        software_versions=(contract.algorithm_version[:64], IMPLEMENTATION_VERSION_NAME),
        series_description=f"{contract.algorithm} {contract.algorithm_version}"[:64],
        is_complete=True,
        is_final=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=_UTF8,
        coding_schemes=_private_schemes(subject) or None,
    )
    for keyword, value in _copied(subject.source.head).items():
        setattr(report, keyword, value)
    report.ContentDate = report.InstanceCreationDate = DA(now.date())
    report.ContentTime = report.InstanceCreationTime = TM(now.time())
    for item in report.get("ContributingEquipmentSequence", ()):  # highdicom names itself there
        item.ContributionDateTime = DT(now.replace(tzinfo=None))
    return report


def _copied(head: Dataset) -> dict[str, str]:
    values = {keyword: text(head, keyword) for keyword, _ in _SAME_AS_SOURCE}
    return {
        keyword: values[keyword]
        for keyword, kind in _SAME_AS_SOURCE
        if kind == 2 or values[keyword]
    }


def _evidence(source: Source) -> list[Dataset]:
    # highdicom checks a patient's values more strictly than scanners write them, so it is given
    # none; the stored ones are laid over the report afterwards.
    evidence = []
    for reference in source.references:
        item = Dataset()
        item.SOPClassUID = reference.sop_class_uid
        item.SOPInstanceUID = reference.sop_instance_uid
        item.StudyInstanceUID = source.study_instance_uid
        item.SeriesInstanceUID = source.series_instance_uid
        item.PatientID = item.PatientName = item.PatientBirthDate = item.PatientSex = ""
        item.AccessionNumber = item.StudyID = item.StudyDate = item.StudyTime = ""
        evidence.append(item)
    return evidence


def _content(subject: Subject, instance_uid: str) -> sr.MeasurementReport:
    contract = subject.contract
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derive("device", contract.algorithm, contract.algorithm_version),
        name=contract.algorithm,
        manufacturer_name=MANUFACTURER,
        model_name=subject.served.model,
        serial_number=contract.algorithm_version,
    )
    observer = sr.ObserverContext(codes.DCM.Device, device)
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_coded(contract.procedure),
        imaging_measurements=_groups(subject, instance_uid),
        title=codes.DCM.ImagingMeasurementReport,
    )


def _groups(subject: Subject, instance_uid: str) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    algorithm = sr.AlgorithmIdentification(
        name=subject.contract.algorithm,
        version=subject.contract.algorithm_version,
        parameters=_provenance(subject),
        manufacturer=MANUFACTURER,
    )
    sites = list(dict.fromkeys(finding.site for finding in subject.findings))
    groups = []
    for site in sites:
        name = site.meaning if site else "Series"
        members = [finding for finding in subject.findings if finding.site == site]
        groups.append(
            sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(
                    uid=derive(instance_uid, "tracking", name),
                    identifier=f"{subject.contract.algorithm}: {name}",
                ),
                algorithm_id=algorithm,
                finding_sites=[sr.FindingSite(_coded(site))] if site else None,
                measurements=[_measurement(finding) for finding in members],
            )
        )
    return groups


def _measurement(finding: Measurement) -> sr.Measurement:
    return sr.Measurement(name=_coded(finding.name), value=finding.value, unit=_coded(finding.unit))


def _coded(code: Code) -> sr.CodedConcept:
    return sr.CodedConcept(code.value, code.scheme, code.meaning)


def _private_schemes(subject: Subject) -> Sequence[CodingSchemeIdentificationItem]:
    # PS3.3 C.12.1.1.1: a private scheme is explained inside the object that uses it.
    used = {subject.contract.procedure.scheme}
    for finding in subject.findings:
        used |= {finding.name.scheme, finding.unit.scheme}
        used |= {finding.site.scheme} if finding.site else set()
    private = sorted(scheme for scheme in used if scheme.startswith("99"))
    return [
        CodingSchemeIdentificationItem(
            scheme, name=f"Private codes of {scheme[2:]}", responsible_organization=MANUFACTURER
        )
        for scheme in private
    ]


def _encode(report: sr.Comprehensive3DSR) -> bytes:
    plain = Dataset()
    plain.update({element.tag: element for element in report})
    buffer = io.BytesIO()
    dcmwrite(buffer, plain, implicit_vr=False, little_endian=True)
    return buffer.getvalue()
