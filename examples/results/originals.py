"""Stored originals of several kinds, small: what a result can be about.

Each is a Source as ai/prepare.py makes it, with the header of a real Part 10 file in a character
set that scanners write.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from ai import header
from ai.header import Plane, Reference, Source
from dicom.uid import derive


@dataclass(frozen=True, slots=True)
class Name:
    """Who the patient is, and in which character set it was written."""

    character_set: str | list[str]
    patient: str
    study: str = "Study"


NAMES: Final = (
    Name("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう", "胸部 CT"),
    Name(["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    Name(["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    Name("ISO_IR 100", "Buc^Jérôme", "Thorax, à jeun"),
    Name("ISO_IR 101", "Wałęsa^Łukasz", "Klatka piersiowa"),
    Name("ISO_IR 126", "Διονυσιος", "Θώρακας"),
    Name("ISO_IR 127", "قباني^لنزار"),
    Name("ISO_IR 138", "שרון^דבורה"),
    Name("ISO_IR 144", "Иванов^Пётр", "Грудная клетка"),
    Name("ISO_IR 148", "Çavuşoğlu^Şükrü"),
    Name("ISO_IR 166", "สมชาย"),
    Name("GB18030", "Wang^XiaoDong=王^小东", "胸部"),
    Name("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    Name("", "Plain^Jane"),
    Name("ISO_IR 100", ""),
)
KINDS: Final = ("CT", "MR", "PT", "DX", "CR", "MG", "SM")
_CLASSES: Final = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "SM": "1.2.840.10008.5.1.4.1.1.77.1.6",
}
_STACKS: Final = frozenset({"CT", "MR", "PT"})
_AS_WRITTEN: Final[Mapping[str, Mapping[str, Any]]] = {
    "CT": {"RescaleSlope": "1", "RescaleIntercept": "-1024", "RescaleType": "HU"},
    "MR": {"WindowCenter": ["300", "600"], "WindowWidth": ["800", "1200"]},
    "PT": {"RescaleSlope": "0.41", "RescaleIntercept": "0"},
    "DX": {"PhotometricInterpretation": "MONOCHROME1", "VOILUTFunction": "SIGMOID"},
    "CR": {"LossyImageCompression": "01", "LossyImageCompressionRatio": "12.5"},
    "MG": {"BodyPartExamined": "BREAST", "PatientOrientation": ["A", "R"]},
    "SM": {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
}


def source(kind: str, name: Name, *, images: int = 0, size: int = 64) -> Source:
    """Make a Series of a kind of KINDS; 10 images of a stack unless told, 2 of other ones."""
    count = images or {"SM": 1}.get(kind, 10 if kind in _STACKS else 2)
    study, series = derive("example", kind, "study"), derive("example", kind, "series")
    references = tuple(
        Reference(_CLASSES[kind], derive("example", kind, str(number))) for number in range(count)
    )
    return Source(
        study_instance_uid=study,
        series_instance_uid=series,
        references=references,
        head=_head(kind, name, references[0], (study, series)),
        frame_of_reference_uid=derive("example", kind, "frame") if kind in _STACKS else "",
        planes=tuple(_plane(kind, number, size) for number in range(count)),
        thickness_mm=2.5 if kind in _STACKS else None,
    )


def pixels(about: Source, image: int) -> npt.NDArray[Any]:
    """Give the rescaled values of an image of a Series: a gradient with noise."""
    rows, columns = about.planes[image].shape
    chance = np.random.default_rng(image)
    gradient = np.linspace(-800, 300, columns)[np.newaxis, :]
    return gradient + chance.normal(0, 60, (rows, columns))


def _plane(kind: str, number: int, size: int) -> Plane:
    if kind == "SM":
        return Plane((40 * size, 50 * size), (0.0005, 0.0005))
    if kind not in _STACKS:  # two images of a study are seldom of one size
        return Plane((size + 8 * number + 1, size - 3), None if kind == "CR" else (0.15, 0.15))
    if kind == "MR":  # oblique
        row, column, normal = (0.8, 0.6, 0.0), (0.0, 0.0, -1.0), (-0.6, 0.8, 0.0)
    else:
        row, column, normal = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    x, y, z = (-120.123456789 + 2.5 * number * along for along in normal)
    return Plane((size, size), (0.703125, 0.703125), (x, y, z), row, column)


def _head(kind: str, name: Name, reference: Reference, uids: tuple[str, str]) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if name.character_set:
        ds.SpecificCharacterSet = name.character_set
    ds.SOPClassUID, ds.SOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uids
    ds.PatientName, ds.StudyDescription = name.patient, name.study
    ds.PatientID, ds.PatientSex = "ZQX-EXAMPLE", "O"
    ds.PatientBirthDate, ds.PatientAge = "19570313", "069Y"
    ds.StudyDate, ds.StudyTime, ds.StudyID = "20260302", "093000", "1"
    ds.AccessionNumber = "ZQXACC1"
    ds.Modality = kind
    if kind != "SM":
        ds.BodyPartExamined = "CHEST"
    ds.PatientOrientation = ["L", "F"]
    ds.Rows, ds.Columns, ds.SamplesPerPixel = 64, 64, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    for keyword, value in _AS_WRITTEN[kind].items():
        setattr(ds, keyword, value)
    ds.add_new(0x00091001, "LO", "a private element, whose creator nobody named")
    buffer = io.BytesIO()
    with pydicom_config.disable_value_validation():
        dcmwrite(buffer, ds, enforce_file_format=True)
        return header.head(0, buffer.getvalue())
