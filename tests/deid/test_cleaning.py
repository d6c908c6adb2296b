"""What cleaning leaves of descriptions, reports, graphics, documents and volumes."""

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from deid import documents
from deid.apply import deidentify
from dicom.errors import NotClean

pytestmark = pytest.mark.p4

PDF = "1.2.840.10008.5.1.4.1.1.104.1"
CDA = "1.2.840.10008.5.1.4.1.1.104.2"
GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
SR = "1.2.840.10008.5.1.4.1.1.88.33"
CODES = {"113100"}


def patient(**values) -> Dataset:
    dataset = Dataset()
    dataset.PatientName = "Doe^Archibald"
    dataset.PatientID = "77654033"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def item(**values) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def claimed(dataset: Dataset) -> set[str]:
    return {code.CodeValue for code in dataset.DeidentificationMethodCodeSequence} - CODES


def test_descriptions_keep_their_medicine(build, clean, compiled):
    """Words of anatomy and protocol stay; names, numbers and the patient's own words go."""
    dataset = patient(SeriesDescription="T1 axial brain Dr Smith 20190304", StudyComments="Doe",
                      ImageComments="see 1.2.276.0.7230010.3.1.99.42")  # fmt: skip
    dataset.ProtocolName = "Head^Routine"
    procedure = item(CodeValue="4711", CodeMeaning="CT chest for Smith", CodingSchemeDesignator="L")
    request = item(RequestedProcedureCodeSequence=Sequence([procedure]),
                   ReasonForTheRequestedProcedure="cough since Easter, Smith")  # fmt: skip
    dataset.RequestAttributesSequence = Sequence([request])
    result = clean(build(dataset), compiled("basic", "clean-descriptors"))
    assert result.SeriesDescription == "T1 axial brain Dr"
    assert result.ProtocolName == "Head Routine"
    assert "StudyComments" not in result
    assert result.ImageComments.startswith("2.25.") or " 2.25." in result.ImageComments
    inside = result.RequestAttributesSequence[0]
    assert inside.RequestedProcedureCodeSequence[0].CodeMeaning == "CT chest for"
    assert "Smith" not in str(inside)
    assert claimed(result) == {"113105"}
    short = patient(PatientID="1234", SeriesDescription="brain 1234 TR 100")
    assert "1234" not in str(clean(build(short), compiled("basic", "clean-descriptors")))
    head = patient(PatientName="Head^Anthony", SeriesDescription="Head Anthony brain")
    assert "Anthony" not in str(clean(build(head), compiled("basic", "clean-descriptors")))


def content(value_type: str, code: str, **values) -> Dataset:
    concept = item(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning="concept")
    return item(ValueType=value_type, ConceptNameCodeSequence=Sequence([concept]), **values)


def report() -> Dataset:
    unit = item(CodeValue="mm", CodingSchemeDesignator="UCUM", CodeMeaning="mm")
    measured = item(NumericValue="12.5", MeasurementUnitsCodeSequence=Sequence([unit]))
    age = item(NumericValue="45", MeasurementUnitsCodeSequence=Sequence([unit]))
    image = item(ReferencedSOPClassUID=GSPS, ReferencedSOPInstanceUID="1.2.3.99")
    children = [
        content("TEXT", "121106", TextValue="liver lesion, Mr Doe, seen by Smith"),
        content("TEXT", "121106", TextValue="Smith"),
        content("TEXT", "121030", TextValue="204"),
        content("PNAME", "121008", PersonName="Smith^Jane"),
        content("DATE", "111060", Date="20190304"),
        content("DATE", "121031", Date="19670131"),
        content("UIDREF", "121018", UID="1.2.3.98"),
        content("NUM", "121206", MeasuredValueSequence=Sequence([measured])),
        content("NUM", "121033", MeasuredValueSequence=Sequence([age])),
        content("IMAGE", "121112", ReferencedSOPSequence=Sequence([image])),
        content("SCOORD", "111030", GraphicData=[1.0, 2.0], GraphicType="POINT"),
    ]
    dataset = patient(SOPClassUID=SR, Modality="SR", StudyDate="20190304")
    dataset.ContentSequence = Sequence([item(ValueType="CONTAINER", ContentSequence=children)])
    return dataset


def test_a_structured_report_keeps_its_tree(build, clean, compiled):
    """Names go, text is cleaned, dates follow their option, UIDs are mapped, numbers stay."""
    profile = compiled("basic", "clean-structured-content", "modified-dates")
    after = clean(build(report()), profile)
    (text, lost, number, person, day, birth, uid, num, age, image, point) = after.ContentSequence[
        0
    ].ContentSequence
    assert text.TextValue == "liver lesion, Mr seen by"
    assert (lost.TextValue, number.TextValue, person.PersonName) == ("ANONYMIZED",) * 3
    assert day.Date == after.StudyDate != "20190304"
    assert birth.Date == "20000101"
    assert uid.UID.startswith("2.25.")
    assert num.MeasuredValueSequence[0].NumericValue == 12.5
    assert age.MeasuredValueSequence[0].NumericValue == 0
    assert image.ReferencedSOPSequence[0].ReferencedSOPClassUID == GSPS
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID.startswith("2.25.")
    assert point.GraphicData == [1.0, 2.0]
    assert claimed(after) == {"113104", "113107"}
    kept = clean(build(report()), compiled("research")).ContentSequence[0].ContentSequence[8]
    assert kept.MeasuredValueSequence[0].NumericValue == 45


PERSONAL = {
    "birth date (LOINC)": content("DATE", "21112-8", Date="19670131"),
    "birth date (SNOMED)": content("DATE", "184099003", Date="19670131"),
    "organization": content("TEXT", "113873", TextValue="liver center"),
    "login": content("TEXT", "128774", TextValue="liver"),
    "specimen": content("TEXT", "121040", TextValue="204"),
}


@pytest.mark.parametrize("case", PERSONAL)
def test_a_content_item_that_says_who_is_replaced(build, clean, compiled, case):
    """An item whose concept is somebody's identity gets a dummy, in whatever scheme it is coded."""
    dataset = patient(SOPClassUID=SR, Modality="SR")
    dataset.ContentSequence = Sequence([PERSONAL[case]])
    after = clean(build(dataset), compiled("research")).ContentSequence[0]
    assert (after.get("Date") or after.get("TextValue")) in {"20000101", "ANONYMIZED"}


@pytest.mark.parametrize(("years", "kept"), [("45", 45), ("94", 0)])
def test_an_old_age_is_replaced_whatever_code_it_has(build, clean, compiled, years, kept):
    """An age above 89 does not stay because it is coded in SNOMED CT."""
    unit = item(CodeValue="a", CodingSchemeDesignator="UCUM", CodeMeaning="years")
    age = item(NumericValue=years, MeasurementUnitsCodeSequence=Sequence([unit]))
    dataset = patient(SOPClassUID=SR, Modality="SR")
    dataset.ContentSequence = Sequence(
        [content("NUM", "445518008", MeasuredValueSequence=Sequence([age]))]
    )
    after = clean(build(dataset), compiled("research")).ContentSequence[0]
    assert after.MeasuredValueSequence[0].NumericValue == kept


def test_a_report_without_the_option_is_refused(build, compiled):
    """A report is never emptied in silence."""
    with pytest.raises(NotClean, match="Clean Structured Content"):
        deidentify(build(report()), compiled("teaching", without=("clean-pixel-data",)))


def annotation(*shapes: str, text: str = "") -> Dataset:
    made = item(GraphicLayer="L1")
    if text:
        box = item(UnformattedTextValue=text, AnchorPoint=[1.0, 1.0])
        made.TextObjectSequence = Sequence([box])
    if shapes:
        made.GraphicObjectSequence = Sequence(
            [item(GraphicType=shape, GraphicData=[1.0, 2.0]) for shape in shapes]
        )
    return made


def test_graphics_keep_marks_and_lose_strokes(build, clean, compiled):
    """Points, circles and ellipses stay, lines that could write go, text is cleaned."""
    dataset = patient(SOPClassUID=GSPS)
    dataset.GraphicAnnotationSequence = Sequence(
        [
            annotation("POINT", "POLYLINE", "CIRCLE", text="lesion Doe 77654033"),
            annotation("POLYLINE", "INTERPOLATED"),
            annotation(text="Smith"),
        ]
    )
    dataset.add_new(0x60003000, "OW", b"\0\1")
    dataset.add_new(0x50003000, "OW", b"\0\1")
    after = clean(build(dataset), compiled("basic", "clean-graphics"))
    marks, words = after.GraphicAnnotationSequence
    assert [each.GraphicType for each in marks.GraphicObjectSequence] == ["POINT", "CIRCLE"]
    assert marks.TextObjectSequence[0].UnformattedTextValue == "lesion"
    assert words.TextObjectSequence[0].UnformattedTextValue == "ANONYMIZED"
    assert 0x60003000 not in after
    assert 0x50003000 not in after
    assert claimed(after) == {"113103"}
    assert "GraphicAnnotationSequence" not in clean(build(dataset), compiled())


def test_what_the_iod_demands_is_replaced_although_the_table_removes_it(build, clean, compiled):
    """PresentationCreationDate is of type 1: removed it would break every presentation state."""
    dataset = patient(SOPClassUID=GSPS, PresentationCreationDate="20190304",
                      ContentDescription="lesion of liver by Smith")  # fmt: skip
    after = clean(build(dataset), compiled())
    assert (after.PresentationCreationDate, after.ContentDescription) == ("20000101", "")
    ct = patient(PresentationCreationDate="20190304")
    assert "PresentationCreationDate" not in clean(build(ct), compiled())
    research = clean(build(dataset), compiled("research"))
    assert research.ContentDescription == "lesion of liver by"


def test_paragraphs_that_no_row_lists_go_or_are_cleaned(build, clean, compiled):
    """A search for the patient does not find other people in free text."""
    dataset = patient(PartialViewDescription="left breast, Smith", DoseComment="for Smith")
    assert "PartialViewDescription" not in clean(build(dataset), compiled())
    after = clean(build(dataset), compiled("basic", "clean-descriptors"))
    assert after.PartialViewDescription == "left breast,"
    assert "Smith" not in str(after)


def document(**values) -> Dataset:
    dataset = patient(SOPClassUID=PDF, EncapsulatedDocument=b"%PDF-1.4 about Doe",
                      MIMETypeOfEncapsulatedDocument="application/pdf", BurnedInAnnotation="YES",
                      DocumentTitle="Letter to Smith", EncapsulatedDocumentLength=18)  # fmt: skip
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_a_pdf_is_refused_or_replaced(build, clean, compiled):
    """Nobody looks into a document: it is refused, or a page of our own takes its place."""
    with pytest.raises(NotClean, match="encapsulated document"):
        deidentify(build(document()), compiled())
    after = clean(build(document()), compiled(documents="replace"))
    assert after.EncapsulatedDocument == documents.pdf()
    assert after.EncapsulatedDocumentLength == len(documents.pdf())
    assert after.BurnedInAnnotation == "NO"
    assert after.DocumentTitle in {"", "ANONYMIZED"}
    for other in ({"SOPClassUID": CDA}, {"MIMETypeOfEncapsulatedDocument": "text/XML"}):
        with pytest.raises(NotClean, match="only a PDF"):
            deidentify(build(document(**other)), compiled(documents="replace"))


def test_the_page_is_a_pdf():
    """The page's cross references point at its objects."""
    page = documents.pdf()
    start = int(page.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    assert page[start:].startswith(b"xref\n0 7\n")
    for number, line in enumerate(page[start:].split(b"\n")[3:9], 1):
        assert page[int(line[:10]) :].startswith(b"%d 0 obj" % number)
    assert len(page) % 2 == 0


REGIONS = [
    ({"BodyPartExamined": "HEAD"}, "head"),
    ({"BodyPartExamined": "CHEST", "StudyDescription": "CT Schädel"}, "head"),
    ({"BodyPartExamined": "WHOLEBODY"}, "head or the whole body"),
    ({}, "nothing says"),
    ({"SeriesDescription": "t2 tra"}, "nothing says"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4"}, "photograph"),
]


@pytest.mark.parametrize(("values", "words"), REGIONS)
def test_what_can_show_a_face_is_refused(build, compiled, values, words):
    """A volume that is or may be of the head does not pass where faces are to be cleaned."""
    with pytest.raises(NotClean, match=words):
        deidentify(build(patient(**values)), compiled("basic", "clean-visual-features"))


def test_what_shows_no_face_passes(build, clean, compiled):
    """A volume of another part passes under the option's name; other classes without it."""
    profile = compiled("basic", "clean-visual-features")
    assert claimed(clean(build(patient(BodyPartExamined="CHEST")), profile)) == {"113102"}
    us = patient(SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1")
    assert claimed(clean(build(us), profile)) == set()
