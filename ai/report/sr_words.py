"""Write what a report says in words: drafts, refusals, heat maps, sets of classes (TID 1500).

A text item has a coded name; one about a heat map refers to the object that shows it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from highdicom import sr
from highdicom.sr import RelationshipTypeValues

from ai.contract import Code
from ai.findings import Finding, Heatmap, Text, Verdict
from ai.report import codes
from ai.report.codes import coded
from ai.report.envelope import Envelope
from ai.report.sr_groups import listed
from ai.report.words import paragraph
from ai.result import Result

NOTHING = "The algorithm ran and found nothing."
_CONTAINS = RelationshipTypeValues.CONTAINS
_FROM = RelationshipTypeValues.INFERRED_FROM


def evaluations(
    envelope: Envelope, shown: Sequence[tuple[Heatmap, Result]]
) -> sr.ContainerContentItem | None:
    """Write the container of Qualitative Evaluations; None where nothing is to be said.

    `shown` are heat maps with the objects that show them.
    """
    items = list(_items(envelope, shown))
    if not items:
        return None
    container = sr.ContainerContentItem(coded(codes.QUALITATIVE), relationship_type=_CONTAINS)
    container.ContentSequence = sr.ContentSequence(items)
    return container


def _items(
    envelope: Envelope, shown: Sequence[tuple[Heatmap, Result]]
) -> Iterator[sr.TextContentItem]:
    subject = envelope.subject
    ran = f"{subject.contract.algorithm} {subject.contract.algorithm_version}"
    if subject.refusal:
        yield _said(codes.COMMENT, f"{ran} refused this Series, because {subject.refusal}")
    elif not subject.findings:
        yield _said(codes.COMMENT, NOTHING)
    for finding in subject.findings:
        if isinstance(finding, Text):
            yield _said(finding.title, finding.words)
    for words in (*_sets(subject.findings, subject.contract.trust.coverage), *_intervals(envelope)):
        yield _said(codes.COMMENT, words)
    for words in _unlisted(subject.findings):
        yield _said(codes.COMMENT, words)
    for heat in subject.findings:
        if isinstance(heat, Heatmap):
            yield _heat(heat, [result for one, result in shown if one is heat])


def _said(name: Code, words: str) -> sr.TextContentItem:
    return sr.TextContentItem(coded(name), paragraph(words) or "-", relationship_type=_CONTAINS)


def _heat(heat: Heatmap, results: Sequence[Result]) -> sr.TextContentItem:
    low = min(float(values.min()) for values in heat.values)
    high = max(float(values.max()) for values in heat.values)
    unit = f" {heat.unit.value}" if heat.unit and heat.unit.value != "1" else ""
    ends = (0 if abs(end) < 1e-3 * (high - low) else end for end in (low, high))
    said = " to ".join(f"{end:.3g}" for end in ends)
    item = _said(codes.COMMENT, f"Heat map {heat.title.meaning}: {said}{unit}")
    if results:
        images = [
            sr.ImageContentItem(
                coded(heat.title),
                result.sop_class_uid,
                result.sop_instance_uid,
                relationship_type=_FROM,
            )
            for result in results
        ]
        item.ContentSequence = sr.ContentSequence(images)
    return item


def _sets(findings: Sequence[Finding], coverage: float) -> Iterator[str]:
    """Say which classes are in the conformal set, by classification and image."""
    sets: dict[tuple[str, int | None], list[Verdict]] = defaultdict(list)
    for finding in findings:
        if isinstance(finding, Verdict) and finding.in_set is not None:
            sets[finding.output, finding.image].append(finding)
    of_images = [members for (_, image), members in sets.items() if image is not None]
    for (_, image), members in sets.items():
        if image is not None and len(of_images) > 1 and len(of_images) * len(members) > 40:
            continue  # too many to be read
        inside = [one.name.meaning for one in members if one.in_set]
        about = "" if image is None else f" of image {image + 1}"
        yield (
            f"Conformal set{about} at {100 * coverage:g} % coverage: "
            f"{', '.join(inside) if inside else 'no class'}"
        )


def _intervals(envelope: Envelope) -> Iterator[str]:
    if any(getattr(finding, "interval", None) for finding in envelope.subject.findings):
        coverage = 100 * envelope.subject.contract.trust.coverage
        yield f"Measurement uncertainties are those of {coverage:g} % coverage."


def _unlisted(findings: Sequence[Finding]) -> Iterator[str]:
    """Count the verdicts about single images that have no group of their own."""
    shown = {id(one) for one in listed(findings)}
    left: dict[str, list[Any]] = defaultdict(list)
    for finding in findings:
        if isinstance(finding, Verdict) and id(finding) not in shown:
            left[finding.name.meaning].append(finding)
    for name, members in left.items():
        present = sum(one.is_present for one in members)
        yield (
            f"{name}: {len(members)} more images are not listed; present on {present} of them, "
            f"absent on {len(members) - present}"
        )
