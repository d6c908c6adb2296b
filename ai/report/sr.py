"""Build the report of an inference: a Comprehensive 3D SR after TID 1500 (PS3.16 Annex A).

COMPLETE and UNVERIFIED. It names the patient and the study of the stored originals, in UTF-8. The
image library is left out: it takes seconds and a megabyte, and says what the originals say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as concepts
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DT

from ai.findings import Heatmap
from ai.header import Reference, Source
from ai.report import codes
from ai.report.codes import coded
from ai.report.envelope import SERIES_NUMBERS, UTF8, Envelope, software_versions
from ai.report.seg import Segmented
from ai.report.sr_groups import Groups
from ai.report.sr_words import evaluations
from ai.report.subject import Subject
from ai.report.survey import Region
from ai.report.words import line
from ai.result import Result, ResultKind
from dicom.uid import derive

SERIES_NUMBER: Final = SERIES_NUMBERS[ResultKind.SR]


@dataclass(frozen=True, slots=True)
class Made:
    """The objects that were made beside the report, and that it refers to."""

    segmented: tuple[Segmented, ...] = ()
    shown: tuple[tuple[Heatmap, Result], ...] = ()
    """Heat maps with the objects that show them."""

    @property
    def results(self) -> tuple[Result, ...]:
        """Each object once."""
        found = [*(one.result for one in self.segmented), *(result for _, result in self.shown)]
        return tuple({result.sop_instance_uid: result for result in found}.values())


def build(envelope: Envelope, regions: Sequence[Region], made: Made) -> Result:
    """Write the report about an inference, its refusal, or that it found nothing."""
    subject = envelope.subject
    part = " ".join(result.sop_instance_uid for result in made.results)
    report = sr.Comprehensive3DSR(
        evidence=_evidence(subject.source, made.results),
        content=_content(envelope, regions, made)[0],
        series_instance_uid=envelope.series_uid(ResultKind.SR),
        series_number=SERIES_NUMBER,
        sop_instance_uid=envelope.instance_uid(ResultKind.SR, part),
        instance_number=1,
        manufacturer=codes.MANUFACTURER,
        manufacturer_model_name=line(subject.contract.algorithm),
        device_serial_number=line(subject.served.model),
        software_versions=software_versions(subject),
        series_description=line(
            f"{subject.contract.algorithm} {subject.contract.algorithm_version}"
        ),
        is_complete=True,
        is_final=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=UTF8,
    )
    used = [code for finding in subject.findings for code in codes.of(finding)]
    envelope.explain(report, [subject.contract.procedure, *used])
    envelope.identify(report)
    for item in report.get("ContributingEquipmentSequence", ()):  # highdicom names itself there
        item.ContributionDateTime = DT(envelope.moment.replace(tzinfo=None))
    return envelope.seal(report, ResultKind.SR)


def provenance(subject: Subject) -> list[str]:
    """Say what answered: the server, the model and its digest, and the algorithm's settings."""
    served = subject.served
    lines = [f"server {served.server}", f"model {served.model} version {served.version}"]
    if digest := served.parameters.get("penumbra.digest", ""):
        lines.append(f"sha256 {digest}")
    if subject.contract.settings:
        lines.append(subject.contract.settings)
    return lines


def _evidence(source: Source, results: Iterable[Result]) -> list[Dataset]:
    originals = [
        _evident(source.study_instance_uid, source.series_instance_uid, reference)
        for reference in source.references
    ]
    return originals + [
        _evident(
            result.study_instance_uid,
            result.series_instance_uid,
            Reference(result.sop_class_uid, result.sop_instance_uid),
        )
        for result in results
    ]


def _evident(study_uid: str, series_uid: str, reference: Reference) -> Dataset:
    # highdicom checks a patient's values more strictly than scanners write them, so it is given
    # none; the stored ones are laid over the report afterwards.
    item = Dataset()
    item.SOPClassUID = reference.sop_class_uid
    item.SOPInstanceUID = reference.sop_instance_uid
    item.StudyInstanceUID = study_uid
    item.SeriesInstanceUID = series_uid
    item.PatientID = item.PatientName = item.PatientBirthDate = item.PatientSex = ""
    item.AccessionNumber = item.StudyID = item.StudyDate = item.StudyTime = ""
    return item


def _content(envelope: Envelope, regions: Sequence[Region], made: Made) -> sr.MeasurementReport:
    contract = envelope.subject.contract
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derive("device", contract.algorithm, contract.algorithm_version),
        name=contract.algorithm,
        manufacturer_name=codes.MANUFACTURER,
        model_name=envelope.subject.served.model,
        serial_number=contract.algorithm_version,
    )
    observer = sr.ObserverContext(concepts.DCM.Device, device)
    about = provenance(envelope.subject)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=coded(contract.procedure),
        imaging_measurements=Groups(envelope, about).write(regions, made.segmented),
        title=concepts.DCM.ImagingMeasurementReport,
    )
    if (said := evaluations(envelope, made.shown)) is not None:
        report[0].ContentSequence.append(said)
    return report
