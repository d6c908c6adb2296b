"""Words as they may stand in a dataset: without control characters, of a VR's length."""

from collections.abc import Iterator, Sequence
from typing import Final

from ai.findings import Finding, Measurement, Text, Verdict
from dicom.ucum import behind

CAUTION: Final = "result of an algorithm, not verified by a person"
_LONG_STRING: Final = 64


def line(text: str, limit: int = _LONG_STRING) -> str:
    """Give one line for LO, SH or CS: PS3.5 6.2 allows no control character and no backslash."""
    clean = "".join(sign if sign.isprintable() else " " for sign in text)
    return clean.replace("\\", "/").strip()[:limit].rstrip()


def paragraph(text: str, limit: int = 1 << 16) -> str:
    """Give text of several lines for ST, LT or UT: ends of lines are CR LF, as PS3.5 6.1.3 says."""
    rows = ("".join(sign for sign in row if sign.isprintable()) for row in text.splitlines())
    return "\r\n".join(rows).strip()[:limit].rstrip()


def numbers(findings: Sequence[Finding], image: int | None = None) -> Iterator[str]:
    """Say measurements and verdicts, a line each: those of one image, or those of all of them."""
    for finding in findings:
        match finding:
            case Measurement() if finding.image == image:
                value = f"{finding.value:.{max(0, finding.decimals)}f}"
                yield f"{finding.name.meaning}: {value}{behind(finding.unit.value)}"
            case Verdict() if finding.image == image:
                said = "present" if finding.is_present else "absent"
                yield f"{finding.name.meaning}: {said} ({100 * finding.probability:.0f} %)"
            case Text() if image is None:
                yield f"{finding.title.meaning}: {' '.join(finding.words.split())}"
            case _:
                pass
