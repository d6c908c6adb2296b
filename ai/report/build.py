"""Build all that an inference becomes: the report, and objects that show its findings."""

from collections.abc import Collection, Sequence
from datetime import datetime

from pydicom import config as pydicom_config

from ai.findings import Finding, Heatmap, Mask
from ai.report import gsps, pm, sc, seg, sr
from ai.report.envelope import Envelope, digest_of
from ai.report.sc import Images
from ai.report.sr import Made
from ai.report.subject import Subject
from ai.report.survey import Region, survey
from ai.result import Result, ResultKind
from dicom.errors import Unsuitable


def build(
    subject: Subject,
    kinds: Collection[ResultKind],
    *,
    now: datetime,
    images: Images | None = None,
) -> tuple[Result, ...]:
    """Build the results of one inference; the report is always there, and first.

    Of the other kinds those are made that `kinds` asks for and that have something to show.
    `now` becomes the content date and time: give the time at which the Series was whole, not
    the clock, so that a second run makes the same bytes. UIDs follow from the study, the
    algorithm, its version and everything that is stated. `images` gives the rescaled values of an
    image of the source; without it there are no key images.
    Raises Unsuitable when the originals are of a kind that no result can be made for.
    """
    with pydicom_config.disable_value_validation():  # originals are copied as they are
        try:
            return _build(subject, frozenset(kinds), now, images)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as fault:
            words = f"no results can be built from it ({type(fault).__name__})"
            raise Unsuitable(f"the Series: {words}") from fault


def _build(
    subject: Subject, kinds: frozenset[ResultKind], now: datetime, images: Images | None
) -> tuple[Result, ...]:
    regions = survey(subject.findings)
    envelope = Envelope(subject, now, _digest(subject, regions))
    segmented = seg.build(envelope, regions) if ResultKind.SEG in kinds else ()
    maps = pm.build(envelope) if ResultKind.PM in kinds else ()
    state = gsps.build(envelope, regions) if ResultKind.GSPS in kinds else None
    drawn = sc.build(envelope, regions, images) if ResultKind.SC in kinds else ()
    made = Made(segmented, (*maps, *_pictured(subject.findings, drawn)))
    report = sr.build(envelope, regions, made)
    pictures = [result for _, result in drawn]
    segmentations = dict.fromkeys(one.result.sop_instance_uid for one in segmented)
    by_uid = {one.result.sop_instance_uid: one.result for one in segmented}
    return (
        report,
        *(by_uid[uid] for uid in segmentations),
        *([state] if state else []),
        *pictures,
        *(result for _, result in maps),
    )


def _pictured(
    findings: Sequence[Finding], drawn: Sequence[tuple[int, Result]]
) -> list[tuple[Heatmap, Result]]:
    maps = [finding for finding in findings if isinstance(finding, Heatmap)]
    return [(heat, result) for heat in maps for _, result in drawn]


def _digest(subject: Subject, regions: Sequence[Region]) -> str:
    source = subject.source
    # Masks are stated by where their segments lie; their arrays were gone through already.
    stated = [finding for finding in subject.findings if not isinstance(finding, Mask)]
    masks = [(one.mask.output, one.number, one.segment, one.mask.site) for one in regions]
    return digest_of(
        source.series_instance_uid,
        sorted(reference.sop_instance_uid for reference in source.references),
        stated,
        masks,
        [region.patches for region in regions],
        sr.provenance(subject),
        subject.contract.procedure,
        subject.contract.trust.coverage,
        subject.refusal,
    )
