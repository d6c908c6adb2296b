"""Read the few attributes that say what pixels are and where they come from."""

import struct
from typing import Final

from deid.parse import Element, Encoding, name
from dicom.errors import DeidFault

TAGS: Final = {
    "SOPClassUID": 0x0008_0016,
    "ImageType": 0x0008_0008,
    "Modality": 0x0008_0060,
    "ConversionType": 0x0008_0064,
    "Manufacturer": 0x0008_0070,
    "SeriesDescription": 0x0008_103E,
    "ManufacturerModelName": 0x0008_1090,
    "SecondaryCaptureDeviceManufacturer": 0x0018_1016,
    "SecondaryCaptureDeviceManufacturerModelName": 0x0018_1018,
    "SoftwareVersions": 0x0018_1020,
    "ProtocolName": 0x0018_1030,
    "SamplesPerPixel": 0x0028_0002,
    "PhotometricInterpretation": 0x0028_0004,
    "NumberOfFrames": 0x0028_0008,
    "Rows": 0x0028_0010,
    "Columns": 0x0028_0011,
    "BitsAllocated": 0x0028_0100,
    "BurnedInAnnotation": 0x0028_0301,
    "SpecimenLabelInImage": 0x0048_0010,
}
"""What a rule may ask about, by keyword."""
NUMBERS: Final = frozenset({"SamplesPerPixel", "NumberOfFrames", "Rows", "Columns"}) | {
    "BitsAllocated"
}
"""Those of them that hold one number."""


def find(elements: tuple[Element, ...], tag: int) -> Element | None:
    """Find an element at one level of a dataset."""
    return next((each for each in elements if each.tag == tag), None)


def text(elements: tuple[Element, ...], tag: int) -> str:
    """Read a value as text, padding removed; "" where there is none.

    Character sets are passed over: what is asked for are codes and names of devices.
    """
    element = find(elements, tag)
    return bytes(element.value).decode("latin-1").strip("\0 ") if element else ""


def number(
    elements: tuple[Element, ...], tag: int, encoding: Encoding, default: int | None = None
) -> int:
    """Read a value of US. Raises DeidFault where it is missing and there is no default."""
    element = find(elements, tag)
    if element is None or not element.value:
        if default is None:
            raise DeidFault(f"{name(tag)} is missing, the pixels cannot be read")
        return default
    try:
        (value,) = encoding.short.unpack(element.value)
    except struct.error:
        raise DeidFault(f"{name(tag)} is no number of 16 bits") from None
    return int(value)


def facts(elements: tuple[Element, ...], encoding: Encoding) -> dict[str, tuple[str, ...]]:
    """Read everything that a rule may ask about: each value as text, none where it is absent."""
    found: dict[str, tuple[str, ...]] = {}
    for keyword, tag in TAGS.items():
        element = find(elements, tag)
        if element is None or not element.value:
            found[keyword] = ()
        elif keyword in NUMBERS and keyword != "NumberOfFrames":
            found[keyword] = (str(number(elements, tag, encoding)),)
        else:
            found[keyword] = tuple(each.strip("\0 ") for each in text(elements, tag).split("\\"))
    return found
