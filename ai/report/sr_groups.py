"""Write findings as measurement groups of a TID 1500 report (PS3.16 TID 1410, 1411 and 1501)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from highdicom import sr
from highdicom.sr import GraphicTypeValues, PixelOriginInterpretationValues

from ai.contract import Code
from ai.findings import Box, Finding, Measurement, Point, Verdict
from ai.header import Reference
from ai.report import codes, survey
from ai.report.codes import coded
from ai.report.envelope import Envelope
from ai.report.seg import Segmented, tracking_identifier, tracking_uid
from ai.report.survey import Region
from ai.report.words import line
from ai.result import ResultKind
from dicom.uid import derive

MOST_VERDICTS: Final = 40
"""Of verdicts about single images more are not listed one by one: those that say "absent" last."""
_POINT: Final = GraphicTypeValues.POINT
_POLYLINE: Final = GraphicTypeValues.POLYLINE


@dataclass(slots=True)
class Groups:
    """Writes groups; the first of them states the algorithm's parameters for all."""

    envelope: Envelope
    provenance: Sequence[str]
    written: list[Any] = field(default_factory=list)

    def write(self, regions: Sequence[Region], segmented: Sequence[Segmented]) -> list[Any]:
        """Write all groups of an inference, measurements first."""
        findings = self.envelope.subject.findings
        measured = [finding for finding in findings if isinstance(finding, Measurement)]
        for site in dict.fromkeys(finding.site for finding in measured):
            self._measured(site, [finding for finding in measured if finding.site == site])
        for number, verdict in enumerate(listed(findings)):
            self._verdict(number, verdict)
        for region in regions:
            self._region(region, [one for one in segmented if one.region is region])
        marks = [finding for finding in findings if isinstance(finding, Box | Point)]
        for number, mark in enumerate(marks):
            self._mark(number, mark)
        if not self.written:  # TID 1500 wants a group, and the algorithm is named in it
            self._add(
                sr.MeasurementsAndQualitativeEvaluations,
                self._name("Series"),
                self._uid("nothing"),
                None,
            )
        return self.written

    def _add(self, kind: Any, name: str, uid: str, site: Code | None, **rest: Any) -> None:
        contract = self.envelope.subject.contract
        algorithm = sr.AlgorithmIdentification(
            name=contract.algorithm,
            version=contract.algorithm_version,
            parameters=None if self.written else self.provenance,
            manufacturer=codes.MANUFACTURER,
        )
        self.written.append(
            kind(
                tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=name),
                algorithm_id=algorithm,
                finding_sites=[sr.FindingSite(coded(site))] if site else None,
                **rest,
            )
        )

    def _uid(self, *parts: str) -> str:
        series_uid = self.envelope.series_uid(ResultKind.SR)
        return derive(series_uid, self.envelope.digest, "tracking", *parts)

    def _name(self, words: str) -> str:
        return line(f"{self.envelope.subject.contract.algorithm}: {words}")

    def _reference(self, image: int) -> Reference:
        return self.envelope.subject.source.references[image]

    def _measured(self, site: Code | None, members: Sequence[Measurement]) -> None:
        name = site.meaning if site else "Series"
        self._add(
            sr.MeasurementsAndQualitativeEvaluations,
            self._name(name),
            self._uid("measured", name),
            site,
            measurements=[self._measurement(finding) for finding in members],
        )

    def _measurement(self, finding: Measurement) -> sr.Measurement:
        images = None
        if finding.image is not None:
            images = [sr.SourceImageForMeasurement(*_uids(self._reference(finding.image)))]
        properties = None
        if finding.interval:
            low, high = finding.interval
            properties = sr.MeasurementProperties(
                upper_measurement_uncertainty=_rounded(high - finding.value, finding.decimals),
                lower_measurement_uncertainty=_rounded(finding.value - low, finding.decimals),
            )
        measurement = sr.Measurement(
            name=coded(finding.name),
            value=finding.value,
            unit=coded(finding.unit),
            referenced_images=images,
            properties=properties,
        )
        for item in properties or ():  # highdicom states uncertainties without a unit
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = [coded(finding.unit)]
        return measurement

    def _verdict(self, number: int, verdict: Verdict) -> None:
        about = None
        if verdict.image is not None:
            about = [sr.SourceImageForMeasurementGroup(*_uids(self._reference(verdict.image)))]
        self._add(
            sr.MeasurementsAndQualitativeEvaluations,
            self._name(verdict.name.meaning),
            self._uid("verdict", str(number)),
            verdict.site,
            finding_type=coded(verdict.name) if verdict.is_present else None,
            measurements=[_percent(codes.PROBABILITY, verdict.probability)],
            qualitative_evaluations=[_presence(verdict.name, is_there=verdict.is_present)],
            source_images=about,
        )

    def _region(self, region: Region, segmented: Sequence[Segmented]) -> None:
        has_volume = survey.volume_ml(region, self.envelope.subject.source) is not None
        if not region.patches or (has_volume and not segmented):
            self._plain_region(region, None)
        elif not segmented:
            for patch in region.patches:
                self._plain_region(region, patch.image)
        for one in segmented:
            if one.image is None:
                self._segment(one)
            else:
                self._planar_segment(one, one.image)

    def _plain_region(self, region: Region, image: int | None) -> None:
        name = region.segment.name
        about = None
        if image is not None:
            about = [sr.SourceImageForMeasurementGroup(*_uids(self._reference(image)))]
        self._add(
            sr.MeasurementsAndQualitativeEvaluations,
            self._name(name.meaning),
            tracking_uid(self.envelope, region),
            region.mask.site,
            finding_type=coded(name) if region.patches else None,
            measurements=self._extent(region, image) or None,
            qualitative_evaluations=[_presence(name, is_there=bool(region.patches))],
            source_images=about,
        )

    def _segment(self, one: Segmented) -> None:
        source = self.envelope.subject.source
        self._add_region(
            sr.VolumetricROIMeasurementsAndQualitativeEvaluations,
            one,
            referenced_segment=sr.ReferencedSegment(
                one.result.sop_class_uid,
                one.result.sop_instance_uid,
                one.segment,
                source_series=sr.SourceSeriesForSegmentation(source.series_instance_uid),
            ),
        )

    def _planar_segment(self, one: Segmented, image: int) -> None:
        where = sr.ReferencedSegmentationFrame(
            one.result.sop_class_uid,
            one.result.sop_instance_uid,
            one.segment,  # one frame for each segment, in their order
            one.segment,
            sr.SourceImageForSegmentation(*_uids(self._reference(image))),
        )
        for item in where:  # PS3.3 Table 10-3: a frame is named or a segment, never both
            for named in item.ReferencedSOPSequence:
                named.pop("ReferencedSegmentNumber", None)
        kind = sr.PlanarROIMeasurementsAndQualitativeEvaluations
        self._add_region(kind, one, referenced_segment=where)

    def _add_region(self, kind: Any, one: Segmented, **where: Any) -> None:
        name = one.region.segment.name
        self._add(
            kind,
            tracking_identifier(self.envelope.subject.contract.algorithm, name),
            tracking_uid(self.envelope, one.region),
            one.region.mask.site,
            finding_type=coded(name),
            measurements=self._extent(one.region, one.image) or None,
            **where,
        )

    def _extent(self, region: Region, image: int | None) -> list[sr.Measurement]:
        source = self.envelope.subject.source
        if image is None:
            volume = survey.volume_ml(region, source)
            found = (codes.VOLUME, volume, codes.MILLILITRE)
        else:
            found = (codes.AREA, survey.area_mm2(region, source, image), codes.SQUARE_MILLIMETRE)
        name, value, unit = found
        if value is None or not region.patches or survey.is_slide(source):
            return []
        return [sr.Measurement(name=coded(name), value=_significant(value), unit=coded(unit))]

    def _mark(self, number: int, mark: Box | Point) -> None:
        is_slide = survey.is_slide(self.envelope.subject.source)
        region = sr.ImageRegion(
            _POLYLINE if isinstance(mark, Box) else _POINT,
            _corners(mark),
            sr.SourceImageForRegion(*_uids(self._reference(mark.image))),
            PixelOriginInterpretationValues.VOLUME if is_slide else None,
        )
        self._add(
            sr.PlanarROIMeasurementsAndQualitativeEvaluations,
            self._name(f"{mark.name.meaning} {number + 1}"),
            self._uid("mark", str(number)),
            mark.site,
            referenced_region=region,
            finding_type=coded(mark.name),
            measurements=[_percent(codes.CERTAINTY, mark.score)],
        )


def listed(findings: Sequence[Finding]) -> list[Verdict]:
    """Choose the verdicts that get a group of their own, in their order.

    Those about the whole Series all do; of more than 40 about single images, the most probable.
    """
    verdicts = [finding for finding in findings if isinstance(finding, Verdict)]
    single = [finding for finding in verdicts if finding.image is not None]
    if len(single) <= MOST_VERDICTS:
        return verdicts
    best = sorted(single, key=lambda one: (not one.is_present, -one.probability))[:MOST_VERDICTS]
    kept = {id(one) for one in best}
    return [one for one in verdicts if one.image is None or id(one) in kept]


def _uids(reference: Reference) -> tuple[str, str]:
    return reference.sop_class_uid, reference.sop_instance_uid


def _presence(name: Code, *, is_there: bool) -> sr.QualitativeEvaluation:
    return sr.QualitativeEvaluation(coded(name), coded(codes.PRESENT if is_there else codes.ABSENT))


def _percent(name: Code, share: float) -> sr.Measurement:
    if 0 <= share <= 1:
        return sr.Measurement(
            name=coded(name), value=round(100 * share, 1), unit=coded(codes.PERCENT)
        )
    return sr.Measurement(  # a score that is no probability
        name=coded(name), value=_significant(share), unit=coded(codes.NO_UNITS)
    )


def _rounded(value: float, decimals: int) -> float:
    return abs(round(value, decimals))


def _significant(value: float) -> float:
    """Round to five digits that count."""
    return float(f"{value:.5g}")


def _corners(mark: Box | Point) -> np.ndarray[Any, np.dtype[np.float64]]:
    if isinstance(mark, Point):
        return np.array([(mark.column, mark.row)])
    left, top, right, bottom = mark.left, mark.top, mark.right, mark.bottom
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
