"""What research computes from objects comes out the same after de-identification."""

from datetime import datetime

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    PositronEmissionTomographyImageStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

pytestmark = pytest.mark.p4

STUDY, SERIES, IMAGE, FRAME = (f"1.2.276.0.7230010.3.{number}.77" for number in range(1, 5))


def item(**values) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def of_study(sop_class: str, sop_instance: str, **values) -> Dataset:
    return item(SOPClassUID=sop_class, SOPInstanceUID=sop_instance, StudyInstanceUID=STUDY,
                PatientName="Doe^John", PatientID="4711-X", FrameOfReferenceUID=FRAME,
                **values)  # fmt: skip


def code(value: str, meaning: str) -> Sequence:
    return Sequence([item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=meaning)])


def pet() -> Dataset:
    dose = item(RadiopharmaceuticalStartTime="093000", RadionuclideTotalDose="370000000",
                RadiopharmaceuticalStartDateTime="20190304093000", RadionuclideHalfLife="6586.2",
                RadionuclideCodeSequence=code("77004003", "18F"))  # fmt: skip
    return of_study(
        PositronEmissionTomographyImageStorage, IMAGE, Modality="PT", SeriesInstanceUID=SERIES,
        SeriesDate="20190304", SeriesTime="103000", AcquisitionDate="20190304",
        AcquisitionTime="103500", PatientWeight="70.5", PatientSize="1.75", Units="BQML",
        DecayCorrection="START", CorrectedImage=["DECY", "ATTN"], DecayFactor="1.0",
        RescaleSlope="2.5", RescaleIntercept="0", FrameReferenceTime="300000",
        RadiopharmaceuticalInformationSequence=Sequence([dose]),
    )  # fmt: skip


def suv_per_bq(dataset: Dataset) -> float:
    """Body weight SUV of one Bq/ml, by the vendor-neutral rule of QIBA."""
    given = dataset.RadiopharmaceuticalInformationSequence[0]
    start, scan = (
        datetime.strptime(f"{moment}+0000", "%Y%m%d%H%M%S%z")
        for moment in (
            given.RadiopharmaceuticalStartDateTime,
            dataset.SeriesDate + dataset.SeriesTime,
        )
    )
    assert start.strftime("%H%M%S") == given.RadiopharmaceuticalStartTime
    decay = 2 ** (-(scan - start).total_seconds() / given.RadionuclideHalfLife)
    return float(dataset.PatientWeight) * 1000 / (given.RadionuclideTotalDose * decay)


@pytest.mark.parametrize("base", ["research", "trial"])
def test_suv_is_the_same(build, clean, compiled, base):
    """Dose, half-life, weight and the time between injection and scan give the same SUV."""
    before, after = pet(), clean(build(pet()), compiled(base))
    assert suv_per_bq(after) == suv_per_bq(before)
    assert after.SeriesDate != before.SeriesDate
    for keyword in ("Units", "DecayCorrection", "CorrectedImage", "DecayFactor", "RescaleSlope",
                    "FrameReferenceTime", "PatientSize", "AcquisitionTime"):  # fmt: skip
        assert after[keyword].value == before[keyword].value


def image() -> Dataset:
    return of_study(CTImageStorage, IMAGE, SeriesInstanceUID=SERIES, Modality="CT",
                    ImagePositionPatient=[0, 1.5, -20], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                    PixelSpacing=[0.7, 0.7], SliceThickness="1.25", KVP="120")  # fmt: skip


def structures() -> Dataset:
    drawn = item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=IMAGE)
    series = item(SeriesInstanceUID=SERIES, ContourImageSequence=Sequence([drawn]))
    study = item(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=STUDY,
                 RTReferencedSeriesSequence=Sequence([series]))  # fmt: skip
    frame = item(FrameOfReferenceUID=FRAME, RTReferencedStudySequence=Sequence([study]))
    roi = item(ROINumber="1", ReferencedFrameOfReferenceUID=FRAME, ROIName="SpinalCord",
               ROIGenerationAlgorithm="MANUAL")  # fmt: skip
    contour = item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints="1",
                   ContourImageSequence=Sequence([drawn]),
                   ContourData=[1.5, 2.5, -20.0])  # fmt: skip
    lines = item(ReferencedROINumber="1", ContourSequence=Sequence([contour]))
    return of_study(RTStructureSetStorage, "1.2.276.0.99.1", SeriesInstanceUID="1.2.276.0.99.2",
                    Modality="RTSTRUCT", StructureSetLabel="PTV70 Doe",
                    ReferencedFrameOfReferenceSequence=Sequence([frame]),
                    StructureSetROISequence=Sequence([roi]),
                    ROIContourSequence=Sequence([lines]))  # fmt: skip


def segmentation() -> Dataset:
    source = item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=IMAGE)
    series = item(SeriesInstanceUID=SERIES, ReferencedInstanceSequence=Sequence([source]))
    derived = item(SourceImageSequence=Sequence([source]))
    plane = item(ImagePositionPatient=[0, 1.5, -20])
    frame = item(DerivationImageSequence=Sequence([derived]),
                 PlanePositionSequence=Sequence([plane]))  # fmt: skip
    segment = item(SegmentNumber=1, SegmentLabel="liver", SegmentAlgorithmType="MANUAL",
                   SegmentedPropertyTypeCodeSequence=code("10200004", "Liver"))  # fmt: skip
    return of_study(SegmentationStorage, "1.2.276.0.99.3", SeriesInstanceUID="1.2.276.0.99.4",
                    Modality="SEG", ReferencedSeriesSequence=Sequence([series]),
                    SegmentSequence=Sequence([segment]),
                    PerFrameFunctionalGroupsSequence=Sequence([frame]))  # fmt: skip


@pytest.mark.parametrize("base", ["basic", "research", "trial"])
def test_references_between_objects_lead_where_they_led(build, clean, compiled, base):
    """Contours and segments point at the de-identified image, its series, study and frame."""
    profile = compiled(base)
    scan, drawn, seg = (clean(build(make()), profile) for make in (image, structures, segmentation))
    frame = drawn.ReferencedFrameOfReferenceSequence[0]
    study = frame.RTReferencedStudySequence[0]
    series = study.RTReferencedSeriesSequence[0]
    contour = drawn.ROIContourSequence[0].ContourSequence[0]
    roi = drawn.StructureSetROISequence[0]
    derived = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert {frame.FrameOfReferenceUID, roi.ReferencedFrameOfReferenceUID,
            seg.FrameOfReferenceUID} == {scan.FrameOfReferenceUID}  # fmt: skip
    assert study.ReferencedSOPInstanceUID == scan.StudyInstanceUID == seg.StudyInstanceUID
    assert series.SeriesInstanceUID == scan.SeriesInstanceUID
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == scan.SeriesInstanceUID
    for pointing in (series.ContourImageSequence[0], contour.ContourImageSequence[0],
                     seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0],
                     derived.SourceImageSequence[0]):  # fmt: skip
        assert pointing.ReferencedSOPInstanceUID == scan.SOPInstanceUID != IMAGE
        assert pointing.ReferencedSOPClassUID == CTImageStorage
    assert len({each.PatientID for each in (scan, drawn, seg)}) == 1


@pytest.mark.parametrize("base", ["basic", "research", "trial"])
def test_geometry_and_contours_stay(build, clean, compiled, base):
    """Positions, spacings, contours, property codes are numbers that nobody touches."""
    profile = compiled(base)
    scan, drawn, seg = (clean(build(make()), profile) for make in (image, structures, segmentation))
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
                    "SliceThickness", "KVP"):  # fmt: skip
        assert scan[keyword].value == image()[keyword].value
    assert drawn.ROIContourSequence[0].ContourSequence[0].ContourData == [1.5, 2.5, -20.0]
    frame = seg.PerFrameFunctionalGroupsSequence[0]
    assert frame.PlanePositionSequence[0].ImagePositionPatient == [0, 1.5, -20]
    kind = seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodeMeaning) == ("10200004", "Liver")


@pytest.mark.parametrize("base", ["research", "trial"])
def test_structures_keep_their_names(build, clean, compiled, base):
    """A structure is found by its name, also where that is a compound; a patient's name goes."""
    drawn = clean(build(structures()), compiled(base))
    assert drawn.StructureSetROISequence[0].ROIName == "SpinalCord"
    assert drawn.StructureSetLabel == "PTV70"
