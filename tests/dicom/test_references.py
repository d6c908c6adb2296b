"""What an object names is found at every depth, with the Series and the Study of each."""

import io

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from dicom.references import Named, named


def item(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_evidence_is_named_with_its_study_and_series():
    """An SR's evidence, a segmentation's Series, an image in the content: each as it is named."""
    image = item(ReferencedSOPClassUID="1.1", ReferencedSOPInstanceUID="1.2")
    report = item(
        StudyInstanceUID="9",
        CurrentRequestedProcedureEvidenceSequence=[
            item(
                StudyInstanceUID="2.1",
                ReferencedSeriesSequence=[
                    item(SeriesInstanceUID="2.2", ReferencedSOPSequence=[image])
                ],
            )
        ],
        ContentSequence=[item(ContentSequence=[item(ReferencedSOPSequence=[image])])],
    )
    assert list(named(report)) == [Named("1.1", "1.2", "2.2", "2.1"), Named("1.1", "1.2")]


@pytest.mark.parametrize("is_implicit", [False, True])
def test_what_was_read_names_the_same(is_implicit):
    """Elements that nobody looked at yet are looked into, whether their VR is written or not."""
    image = item(ReferencedSOPClassUID="1.1", ReferencedSOPInstanceUID="1.2")
    report = item(ContentSequence=[item(ReferencedSOPSequence=[image])], PatientID="X")
    buffer = io.BytesIO()
    dcmwrite(buffer, report, implicit_vr=is_implicit, little_endian=True)
    buffer.seek(0)
    read = dcmread(buffer, force=True)
    assert list(named(read)) == [Named("1.1", "1.2")]


def test_visits_and_steps_are_no_objects():
    """A referenced study, step or patient names nothing that is stored."""
    step = item(ReferencedSOPClassUID="1.1", ReferencedSOPInstanceUID="1.2")
    assert not list(
        named(
            item(
                ReferencedStudySequence=[step],
                ReferencedPerformedProcedureStepSequence=[step],
                ReferencedPatientSequence=[step],
            )
        )
    )
