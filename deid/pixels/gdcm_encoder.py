"""JPEG lossless and JPEG 2000 by GDCM, the one library of a free licence that writes both."""

from typing import Final

import gdcm  # type: ignore[import-not-found,import-untyped,unused-ignore]  # an extra, no types
import numpy as np

from deid.pixels.image import Array, Image

_PIXEL_DATA: Final = (0x7FE0, 0x0010)


def encode(cells: Array, image: Image, photometric: str, syntax: str) -> bytes:
    """Encode a frame of (y, x) or (y, x, sample) without loss and without changing its colours.

    `syntax` is the UID of a lossless transfer syntax. Raises RuntimeError where GDCM refuses.
    """
    size = (image.columns, image.rows, 1)
    writer = gdcm.ImageWriter()  # owns the picture, and must outlive it
    picture = writer.GetImage()
    picture.SetNumberOfDimensions(2)
    picture.SetDimensions(size)
    kind = gdcm.PhotometricInterpretation.GetPIType(photometric)
    picture.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    picture.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ImplicitVRLittleEndian))
    picture.SetPixelFormat(_format(cells, image))
    if image.samples > 1:
        picture.SetPlanarConfiguration(0)
    element = gdcm.DataElement(gdcm.Tag(*_PIXEL_DATA))
    element.SetByteStringValue(np.ascontiguousarray(cells).tobytes())
    picture.SetDataElement(element)
    return _change(picture, syntax)


def _format(cells: Array, image: Image) -> "gdcm.PixelFormat":
    return gdcm.PixelFormat(
        image.samples,
        cells.dtype.itemsize * 8,
        image.bits_stored,
        image.bits_stored - 1,
        int(image.signed),
    )


def _change(picture: "gdcm.Image", syntax: str) -> bytes:
    change = gdcm.ImageChangeTransferSyntax()
    wanted = gdcm.TransferSyntax.GetTSType(syntax)
    change.SetTransferSyntax(gdcm.TransferSyntax(wanted))
    change.SetInput(picture)
    if not change.Change():
        raise RuntimeError("GDCM refuses to encode")
    fragments = change.GetOutput().GetDataElement().GetSequenceOfFragments()
    if fragments is None or fragments.GetNumberOfFragments() != 1:
        raise RuntimeError("GDCM gave no single fragment")
    text = fragments.GetFragment(0).GetByteValue().GetBuffer()
    return bytes(text.encode("utf-8", "surrogateescape"))
