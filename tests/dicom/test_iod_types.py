"""Attribute types by SOP class, against facts that a reader of PS3.3 can look up."""

import json
import re
from importlib.resources import files

import pytest
from pydicom import uid as uids
from pydicom.datadict import tag_for_keyword

from dicom.iod.types import iod_of, required, sop_classes, source, type_of

PRIVATE = 0x0009_1001


def tags(path: str) -> tuple[int, ...]:
    return tuple(tag_for_keyword(keyword) for keyword in path.split())


@pytest.mark.parametrize(
    ("sop_class", "path", "wanted"),
    [
        (uids.CTImageStorage, "PatientID", "2"),
        (uids.CTImageStorage, "PatientName", "2"),
        (uids.CTImageStorage, "SOPInstanceUID", "1"),
        (uids.CTImageStorage, "StudyInstanceUID", "1"),
        (uids.CTImageStorage, "StudyDate", "2"),
        (uids.CTImageStorage, "StudyDescription", "3"),
        (uids.CTImageStorage, "ReferringPhysicianName", "2"),
        (uids.CTImageStorage, "ImageType", "1"),
        (uids.CTImageStorage, "PixelData", "1C"),
        (uids.CTImageStorage, "ReferencedStudySequence ReferencedSOPInstanceUID", "1"),
        (uids.CTImageStorage, "RequestAttributesSequence ScheduledProcedureStepID", "1C"),
        (uids.CTImageStorage, "SegmentSequence", ""),
        (uids.EnhancedMRImageStorage, "ContentDate", "1"),
        (uids.EnhancedMRImageStorage, "AcquisitionDateTime", "1C"),
        (
            uids.EnhancedMRImageStorage,
            "PerFrameFunctionalGroupsSequence FrameContentSequence FrameAcquisitionDateTime",
            "1C",
        ),
        (
            uids.EnhancedMRImageStorage,
            "SharedFunctionalGroupsSequence PixelMeasuresSequence SliceThickness",
            "1C",
        ),
        (
            uids.EnhancedMRImageStorage,
            "PerFrameFunctionalGroupsSequence PlanePositionSequence ImagePositionPatient",
            "1C",
        ),
        (uids.ComprehensiveSRStorage, "ContentDate", "1"),
        (uids.ComprehensiveSRStorage, "ContentSequence ValueType", "1"),
        (uids.ComprehensiveSRStorage, "ContentSequence PersonName", "1C"),
        (
            uids.ComprehensiveSRStorage,
            "VerifyingObserverSequence VerifyingObserverName",
            "1",
        ),
        (uids.RTStructureSetStorage, "StructureSetLabel", "1"),
        (uids.RTStructureSetStorage, "StructureSetROISequence ROIName", "2"),
        (uids.RTPlanStorage, "OperatorsName", "2"),
        (uids.EncapsulatedPDFStorage, "EncapsulatedDocument", "1"),
    ],
)
def test_types_are_those_of_the_standard(sop_class, path, wanted):
    """A type is what PS3.3 says of the attribute in this IOD and at this place."""
    assert type_of(sop_class, tags(path)) == wanted


@pytest.mark.parametrize(
    ("sop_class", "path"),
    [
        ("1.2.3.4", tags("PatientID")),
        ("", tags("PatientID")),
        (uids.CTImageStorage, ()),
        (uids.CTImageStorage, (PRIVATE,)),
        (uids.CTImageStorage, (PRIVATE, *tags("PatientID"))),
        (uids.CTImageStorage, tags("PatientID PatientID")),
        (uids.CTImageStorage, (0x6001_0010,)),
    ],
)
def test_what_the_tables_do_not_know_has_no_type(sop_class, path):
    """Unknown classes, private attributes and places that the IOD does not have give ""."""
    assert type_of(sop_class, path) == ""


def test_optional_modules_bind_only_where_they_are():
    """Type 1 and 2 of an optional module count as conditional at the top, in full in its items."""
    assert type_of(uids.CTImageStorage, tags("ClinicalTrialSponsorName")) == "1C"
    assert type_of(uids.CTImageStorage, tags("ClinicalTrialSiteID")) == "2C"
    assert type_of(uids.CTImageStorage, tags("DeviceSequence CodeMeaning")) == "1"


@pytest.mark.parametrize("depth", [1, 2, 3, 7])
def test_content_items_nest_without_end(depth):
    """An SR content item has its types at every depth, in its macros too."""
    path = tags("ContentSequence " * depth)
    assert type_of(uids.EnhancedSRStorage, (*path, *tags("RelationshipType"))) == "1"
    name = tags("ConceptNameCodeSequence CodeMeaning")
    assert type_of(uids.EnhancedSRStorage, (*path, *name)) == "1"


@pytest.mark.parametrize("group", [0x6000, 0x6002, 0x601E])
def test_overlay_groups_are_alike(group):
    """Every repeated overlay group has the types of the first."""
    assert type_of(uids.CTImageStorage, (group << 16 | 0x0010,)) == "1C"
    assert type_of(uids.CTImageStorage, (group << 16 | 0x0022,)) == "3"


@pytest.mark.parametrize("sop_class", sorted(sop_classes()))
def test_every_known_class_resolves(sop_class):
    """Each SOP class of the table has an IOD whose objects must say what they are."""
    assert iod_of(sop_class)
    assert type_of(sop_class, tags("SOPClassUID")) in {"1", ""}
    for tag, kind in required(sop_class).items():
        allowed = {"1"} if kind == "1" else {"1", "1C", "2"}
        assert type_of(sop_class, (tag,)) in allowed


DICOS = ("1.2.840.10008.5.1.4.1.1.501.", "1.2.840.10008.5.1.4.1.1.601.")
"""Security screening and material testing: their objects are defined elsewhere, not in PS3.3."""


def test_the_storage_classes_of_pydicom_are_known():
    """Of the storage classes that are not retired, the table knows nearly all."""
    storage = {
        uid
        for uid, (name, kind, _, retired, _) in uids.UID_dictionary.items()
        if kind == "SOP Class"
        and "Storage" in name
        and uid.startswith("1.2.840.10008.5.1.4.1.1.")
        and not retired
        and not uid.startswith(DICOS)
    }
    assert len(storage) > 150
    assert storage <= sop_classes()


@pytest.mark.parametrize(
    ("sop_class", "outer", "there", "not_there"),
    [
        (uids.CTImageStorage, "", "PatientID Modality Rows", "ClinicalTrialSponsorName PixelData"),
        (uids.CTImageStorage, "ReferencedImageSequence", "ReferencedSOPClassUID", "CodeMeaning"),
        (uids.BasicTextSRStorage, "", "ValueType ContentDate", "ConceptCodeSequence GraphicData"),
        (uids.BasicTextSRStorage, "ContentSequence", "RelationshipType", "ValueType TextValue"),
        (
            uids.EnhancedCTImageStorage,
            "SharedFunctionalGroupsSequence",
            "",
            "PixelMeasuresSequence CTGeometrySequence",
        ),
    ],
)
def test_required_lists_what_holds_in_every_case(sop_class, outer, there, not_there):
    """Only mandatory modules and unconditional attributes are asked for."""
    wanted = required(sop_class, tags(outer))
    assert set(tags(there)) <= wanted.keys()
    assert not set(tags(not_there)) & wanted.keys()


def test_the_data_file_is_whole_and_says_its_source():
    """Every reference in the file leads somewhere, and the facts name where they come from."""
    raw = json.loads((files("dicom.iod") / "ps33.json").read_text("utf-8"))
    assert "PS3.3" in source()
    assert set(raw["sop_classes"].values()) == set(raw["iods"])
    named = {
        name for iod in raw["iods"].values() for names in iod.values() for name in names.split()
    }
    assert named == set(raw["modules"])
    attribute = re.compile(r"[0-9A-F]{8}:(1|1C|2|2C|3)(:\d+)?")
    for text in (*raw["modules"].values(), *raw["items"]):
        for word in text.split():
            found = attribute.fullmatch(word)
            assert found
            assert found[2] is None or int(found[2][1:]) < len(raw["items"])
