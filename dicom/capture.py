"""Make an object of one picture: Secondary Capture, or Digital X-Ray for presentation.

PS3.3 A.8.1 and A.26. Whoever calls has decoded or taken apart the picture; here it becomes a
Dataset with the modules that its IOD asks for. The same picture and the same facts always make the
same bytes, so that the same file twice is one Instance.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)

from dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

UTF_8: Final = "ISO_IR 192"
_REGIONS: Final[Mapping[str, tuple[str, str]]] = {
    "ABDOMEN": ("818983003", "Abdomen"),
    "ANKLE": ("70258002", "Ankle joint"),
    "CHEST": ("816094009", "Thorax"),
    "ELBOW": ("16953009", "Elbow joint"),
    "FOOT": ("56459004", "Foot"),
    "HAND": ("85562004", "Hand"),
    "HEAD": ("69536005", "Head"),
    "HIP": ("24136001", "Hip joint"),
    "KNEE": ("72696002", "Knee"),
    "PELVIS": ("816092008", "Pelvis"),
    "SHOULDER": ("16982005", "Shoulder region"),
    "SKULL": ("89546000", "Skull"),
    "SPINE": ("421060004", "Vertebral column"),
    "WRIST": ("74670003", "Wrist joint"),
}
"""SNOMED CT codes of common regions (PS3.16 CID 4031, Annex L)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels as they go into the object: native samples, or one JPEG stream as it came."""

    rows: int
    columns: int
    samples: int
    """Per pixel: 1 or 3."""
    bits: int
    """Per sample: 8 or 16."""
    photometric: str
    data: bytes
    """Native: little endian, colour by pixel. Otherwise the whole JPEG stream."""
    is_jpeg: bool = False

    @property
    def ratio(self) -> float:
        """How many times smaller the stream is than the pixels in it."""
        return self.rows * self.columns * self.samples * (self.bits // 8) / len(self.data)


@dataclass(frozen=True, slots=True)
class Uids:
    """Where an object belongs."""

    study: str
    series: str
    instance: str


def part10(picture: Picture, facts: Mapping[str, Any], uids: Uids, *, is_x_ray: bool) -> bytes:
    """Make a Part 10 file. `facts` are values by keyword; None stands for what nobody said.

    An X-ray needs a picture of one sample, and the facts Laterality, PatientOrientation and
    ImagerPixelSpacing.
    """
    made = _general(facts, uids)
    _pixels(made, picture)
    if is_x_ray:
        _x_ray(made, picture, facts)
    else:
        _secondary_capture(made, picture, facts)
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = UID(uids.instance)
    made.file_meta.TransferSyntaxUID = (
        JPEGBaseline8Bit if picture.is_jpeg else ExplicitVRLittleEndian
    )
    made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    made.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    out = io.BytesIO()
    dcmwrite(out, made, enforce_file_format=True)
    return out.getvalue()


def _general(facts: Mapping[str, Any], uids: Uids) -> Dataset:
    """Patient, General Study, General Series, General Equipment, General Image, SOP Common."""
    made = Dataset()
    made.SpecificCharacterSet = UTF_8
    made.SOPInstanceUID = uids.instance
    made.StudyInstanceUID, made.SeriesInstanceUID = uids.study, uids.series
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
        "StudyDate", "StudyTime", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber",
    ):  # fmt: skip
        setattr(made, keyword, _or_empty(facts.get(keyword)))  # type 2: there, if empty
    for keyword in ("StudyDescription", "SeriesDescription", "BodyPartExamined"):
        if facts.get(keyword):
            setattr(made, keyword, facts[keyword])
    made.Manufacturer = ""
    made.BurnedInAnnotation = facts.get("BurnedInAnnotation") or "YES"
    return made


def _or_empty(value: Any) -> Any:
    return "" if value is None else value


def _pixels(made: Dataset, picture: Picture) -> None:
    """Image Pixel module (PS3.3 C.7.6.3)."""
    made.Rows, made.Columns = picture.rows, picture.columns
    made.SamplesPerPixel = picture.samples
    made.PhotometricInterpretation = picture.photometric
    if picture.samples > 1:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = picture.bits
    made.HighBit, made.PixelRepresentation = picture.bits - 1, 0
    made.LossyImageCompression = "00"
    if picture.is_jpeg:
        made.LossyImageCompression = "01"
        made.LossyImageCompressionMethod = "ISO_10918_1"
        made.LossyImageCompressionRatio = f"{picture.ratio:.2f}"
        made.PixelData = encapsulate([picture.data])
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True
        return
    odd = len(picture.data) % 2
    made.PixelData = picture.data + b"\0" * odd
    made["PixelData"].VR = "OW" if picture.bits > 8 else "OB"


def _secondary_capture(made: Dataset, picture: Picture, facts: Mapping[str, Any]) -> None:
    """SC Equipment and SC Image modules (PS3.3 C.8.6)."""
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.Modality = facts.get("Modality") or "OT"
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED" if picture.is_jpeg else "ORIGINAL", "SECONDARY"]
    made.PatientOrientation = _orientation(facts)
    made.ContentDate = made.ContentTime = ""
    if facts.get("Laterality"):
        # Not Laterality: that is of the Series, and only of a paired part (PS3.3 C.7.3.1).
        made.ImageLaterality = facts["Laterality"]


def _orientation(facts: Mapping[str, Any]) -> Any:
    said = facts.get("PatientOrientation")
    return said.split("\\") if said else ""


def _x_ray(made: Dataset, picture: Picture, facts: Mapping[str, Any]) -> None:
    """DX Series, DX Anatomy Imaged, DX Image and DX Detector modules (PS3.3 C.8.11)."""
    made.SOPClassUID = DigitalXRayImageStorageForPresentation
    made.Modality = "DX"
    made.PresentationIntentType = "FOR PRESENTATION"
    made.ImageType = ["DERIVED" if picture.is_jpeg else "ORIGINAL", "PRIMARY", ""]
    made.PositionerType = ""
    if facts.get("ViewPosition"):
        made.ViewPosition = facts["ViewPosition"]
    made.ImageLaterality = facts["Laterality"]
    made.PatientOrientation = _orientation(facts)
    made.AnatomicRegionSequence = _region(facts.get("BodyPartExamined"))
    made.AcquisitionContextSequence = Sequence()
    # A DS has room for 16 characters (PS3.5 6.2).
    made.ImagerPixelSpacing = [f"{mm:.10g}" for mm in facts["ImagerPixelSpacing"]]
    made.DetectorType = ""
    made.PixelIntensityRelationship = "LOG"
    is_inverse = picture.photometric == "MONOCHROME1"
    made.PixelIntensityRelationshipSign = 1 if is_inverse else -1
    made.PresentationLUTShape = "INVERSE" if is_inverse else "IDENTITY"
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "0", "1", "US"
    values = 1 << picture.bits
    made.WindowCenter, made.WindowWidth = str(values // 2), str(values)
    made.ContentDate = made.ContentTime = ""


def _region(body_part: str | None) -> Sequence:
    """Give the region as a code, where it is one that we know (type 2: empty otherwise)."""
    if body_part is None or body_part not in _REGIONS:
        return Sequence()
    item = Dataset()
    item.CodeValue, item.CodeMeaning = _REGIONS[body_part]
    item.CodingSchemeDesignator = "SCT"
    return Sequence([item])
