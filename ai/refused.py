"""Name a Series that no model measured, so that a report can say why."""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from ai import header
from ai.header import Part10, Reference, Source
from dicom.errors import Unsuitable
from dicom.part10 import text

_ALIKE = ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "IssuerOfPatientID")


def source_of(series: Sequence[Part10]) -> Source:
    """Name the objects of a Series in the order of InstanceNumber, without a look at geometry.

    Raises Unsuitable where nobody can say whose the Series is: no report may be written then.
    """
    heads = [header.head(index, part10) for index, part10 in enumerate(series)]
    for keyword in _ALIKE:
        if len({text(head, keyword) for head in heads}) > 1:
            raise Unsuitable(f"the objects of the Series differ in {keyword}")
    ordered = sorted(heads, key=_number)
    references = [_reference(head) for head in ordered]
    if len(set(references)) < len(references):
        raise Unsuitable("two objects carry the same SOPInstanceUID")
    frames = {text(head, "FrameOfReferenceUID") for head in heads}
    return Source(
        study_instance_uid=_needed(ordered[0], "StudyInstanceUID"),
        series_instance_uid=_needed(ordered[0], "SeriesInstanceUID"),
        references=tuple(references),
        head=ordered[0],
        frame_of_reference_uid=frames.pop() if len(frames) == 1 else "",
    )


def _number(head: Dataset) -> tuple[float, str]:
    try:
        number = float(text(head, "InstanceNumber"))
    except ValueError:
        number = 0.0
    return number, text(head, "SOPInstanceUID")


def _reference(head: Dataset) -> Reference:
    return Reference(_needed(head, "SOPClassUID"), _needed(head, "SOPInstanceUID"))


def _needed(head: Dataset, keyword: str) -> str:
    value = text(head, keyword)
    if not value:
        raise Unsuitable(f"an object of the Series has no {keyword}")
    return value
