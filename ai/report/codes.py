"""Codes that results are written in: a contract's own, and those of the standard."""

from collections.abc import Iterable, Iterator
from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

from ai.contract import Code
from ai.findings import Box, Embedding, Finding, Heatmap, Mask, Measurement, Point, Text, Verdict
from ai.report.words import line

MANUFACTURER: Final = "Penumbra"

PRESENT: Final = Code("52101004", "SCT", "Present")
ABSENT: Final = Code("272519000", "SCT", "Absent")
PROBABILITY: Final = Code("122157", "DCM", "Probability")
CERTAINTY: Final = Code("111012", "DCM", "Certainty of Finding")
COMMENT: Final = Code("121106", "DCM", "Comment")
VOLUME: Final = Code("118565006", "SCT", "Volume")
AREA: Final = Code("42798000", "SCT", "Area")
QUANTITY: Final = Code("246205007", "SCT", "Quantity")
PERCENT: Final = Code("%", "UCUM", "Percent")
MILLILITRE: Final = Code("mL", "UCUM", "Milliliter")
SQUARE_MILLIMETRE: Final = Code("mm2", "UCUM", "Square millimeter")
NO_UNITS: Final = Code("1", "UCUM", "no units")
ANATOMY: Final = Code("123037004", "SCT", "Anatomical Structure")
ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
SEGMENTATION: Final = Code("113076", "DCM", "Segmentation")
SOURCE_IMAGE: Final = Code("121322", "DCM", "Source image for image processing operation")
QUALITATIVE: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")


def coded(code: Code) -> CodedConcept:
    """Give a code as an item of a code sequence (PS3.3 Table 8.8-1)."""
    return CodedConcept(line(code.value), line(code.scheme, 16), line(code.meaning, 64))


def of(finding: Finding) -> tuple[Code, ...]:
    """Give every code that a finding is stated with."""
    return tuple(code for code in _stated(finding) if code)


def _stated(finding: Finding) -> Iterator[Code | None]:
    match finding:
        case Measurement():
            yield from (finding.name, finding.unit, finding.site)
        case Verdict() | Box() | Point():
            yield from (finding.name, finding.site)
        case Mask():
            yield finding.site
            for segment in finding.segments:
                yield from (segment.name, segment.category)
        case Text():
            yield finding.title
        case Heatmap():
            yield from (finding.title, finding.unit)
        case Embedding():
            pass


def private_schemes(codes: Iterable[Code]) -> list[CodingSchemeIdentificationItem]:
    """Explain the private schemes among the codes, as PS3.3 C.12.1.1.1 asks."""
    private = sorted({code.scheme for code in codes if code.scheme.startswith("99")})
    return [
        CodingSchemeIdentificationItem(
            scheme, name=f"Private codes of {scheme[2:]}", responsible_organization=MANUFACTURER
        )
        for scheme in private
    ]
