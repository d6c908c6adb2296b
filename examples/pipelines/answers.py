"""Read what reports say: numbers and verdicts by the code of their name."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from examples.pipelines.specialty import Number, Verdict
from storage.ledger.ledger import Ledger

PRESENT, ABSENT = "52101004", "272519000"
"""SNOMED CT."""
FINDING = "121071"
"""DCM."""


@dataclass(slots=True)
class Said:
    """What the reports of a study say, all together."""

    numbers: dict[str, float] = field(default_factory=dict)
    """By code; of a group about one finding, such as a segment, by CODE@FINDING."""
    verdicts: dict[str, bool] = field(default_factory=dict)


def made(ledger: Ledger, models: Iterable[str]) -> int:
    """Count the objects that models made so far; an inference is on record before its job ends."""
    rows = [one.said for model in models for one in ledger.inferences.newest(model, limit=1000)]
    return sum(len(uids) for row in rows for uids in row.results.values())


def read(reports: Sequence[Dataset]) -> Said:
    """Gather every number and every present or absent of the reports."""
    said = Said()
    for report in reports:
        _gather(report, "", said)
    return said


def _gather(parent: Dataset, about: str, said: Said) -> None:
    children = list(parent.get("ContentSequence", []))
    for item in children:
        if _code(item) == FINDING and item.ValueType == "CODE":
            about = f"@{item.ConceptCodeSequence[0].CodeValue}"
    for item in children:
        if item.ValueType == "NUM":
            said.numbers[_code(item) + about] = float(item.MeasuredValueSequence[0].NumericValue)
        elif item.ValueType == "CODE":
            value = str(item.ConceptCodeSequence[0].CodeValue)
            if value in {PRESENT, ABSENT}:
                said.verdicts[_code(item)] = value == PRESENT
        _gather(item, about, said)


def _code(item: Dataset) -> str:
    name = item.get("ConceptNameCodeSequence")
    return str(name[0].CodeValue) if name else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    found: str
    truth: str
    ok: bool
    note: str = ""


def compare(expected: Sequence[Number | Verdict], said: Said) -> Iterator[Row]:
    """Lay what was found beside the truth."""
    for one in expected:
        if isinstance(one, Number):
            found = said.numbers.get(one.code)
            words = "missing" if found is None else f"{found:.{one.decimals}f}"
            ok = found is not None and one.holds(found)
            yield Row(one.words, words, f"{one.truth:.{one.decimals}f}", ok, one.tolerance)
        else:
            told = said.verdicts.get(one.code)
            words = "missing" if told is None else _word(told)
            yield Row(one.words, words, _word(one.truth), told == one.truth)


def _word(is_present: bool) -> str:  # noqa: FBT001  (the value itself)
    return "present" if is_present else "absent"
