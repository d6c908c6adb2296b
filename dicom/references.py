"""List the Instances that an object refers to, at every depth, with the Series of each.

Reports name their evidence by Study and Series (PS3.3 C.17.2), segmentations and presentation
states by Series (PS3.3 C.12.2, C.11.11), secondary captures by Instance alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom.part10 import text

_STUDY: Final = BaseTag(0x0020_000D)
_SERIES: Final = BaseTag(0x0020_000E)
_INSTANCE: Final = BaseTag(0x0008_1155)
_OF_NO_OBJECT: Final = frozenset(
    {
        0x0008_1110,  # ReferencedStudySequence
        0x0008_1111,  # ReferencedPerformedProcedureStepSequence
        0x0008_1120,  # ReferencedPatientSequence
        0x0008_1125,  # ReferencedVisitSequence
        0x0040_A370,  # ReferencedRequestSequence
        0x0008_1134,  # ReferencedStudyComponentSequence
    }
)
"""Sequences that name a visit, a request or a step, which nobody stores as objects."""


@dataclass(frozen=True, slots=True)
class Named:
    """An Instance that an object names; "" where it does not say."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str = ""
    study_instance_uid: str = ""


def named(dataset: Dataset) -> Iterator[Named]:
    """Yield every Instance that a dataset names, each as often as it does."""
    yield from _below(dataset, "", "")


def _below(dataset: Dataset, study: str, series: str) -> Iterator[Named]:
    for item in _items(dataset):
        inner_study = (text(item, "StudyInstanceUID") if _STUDY in item else "") or study
        inner_series = (text(item, "SeriesInstanceUID") if _SERIES in item else "") or series
        if _INSTANCE in item and (uid := text(item, "ReferencedSOPInstanceUID")):
            yield Named(text(item, "ReferencedSOPClassUID"), uid, inner_series, inner_study)
        yield from _below(item, inner_study, inner_series)


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for element in sequences(dataset):
        if int(element.tag) not in _OF_NO_OBJECT:
            yield from element.value


def sequences(dataset: Dataset) -> Iterator[DataElement]:
    """Yield the sequences of a dataset, without a look at the values of its other elements."""
    for tag in dataset.keys():  # noqa: SIM118  (a Dataset's own iteration reads every value)
        # What was written without a VR, or as unknown, may turn out to be a sequence.
        if dataset.get_item(tag).VR in {"SQ", "UN", None}:
            element = dataset[BaseTag(tag)]
            if element.VR == "SQ":
                yield element
