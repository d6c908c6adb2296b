"""One row for each transfer syntax that can be looked into: its decoder, and its encoder if any.

What has no row is not looked into, and what has no encoder cannot be blanked: both end in
NotClean. Codecs fail in ways as many as they are, so every failure of theirs ends here.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from deid.pixels import cells as cell
from deid.pixels import jpeg, native
from deid.pixels.image import Array, Image
from dicom.errors import NotClean

Decode = Callable[[bytes, Image], tuple[Array, str]]
"""Gives a frame's cells or values, writable, and the colour space that they are in."""
Encode = Callable[[Array, str, bytes, Image], bytes]
"""Takes cells, their colour space and the frame as it was."""

MAX_DIFFERENCE: Final = 4.0
"""How far, on average of a frame, a lossy encoder may be from what it was given, of 255."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How frames of a transfer syntax are read and written."""

    decode: Decode
    encode: Encode | None
    exact: bool = True
    """Whether what is written reads back the same."""
    gives_cells: bool = False
    """Whether it gives cells with all their bits, rather than the values in them."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded frame."""

    cells: Array
    """(y, x) or (y, x, sample), as the codec gives and takes it."""
    photometric: str
    """The colour space of the cells, which a codec may have changed."""

    def shown(self, image: Image) -> Array:
        """Give the values in the cells."""
        return cell.values(self.cells, image) if codec(image).gives_cells else self.cells


def codec(image: Image) -> Codec:
    """Find the row of an image's transfer syntax. Raises NotClean where there is none."""
    row = CODECS.get(image.syntax)
    if row is None:
        raise NotClean(f"pixels in {UID(image.syntax).name} cannot be looked into")
    return row


def decode(frame: bytes, image: Image) -> Frame:
    """Decode one frame. Raises NotClean when its codec refuses it, or is not installed."""
    cells, photometric = _guarded(codec(image).decode, "read", frame, image=image)
    wanted = (image.rows, image.columns, image.samples)[: 2 if image.samples == 1 else 3]
    if cells.shape != wanted:
        raise NotClean(
            f"pixels in {UID(image.syntax).name} are not of the size that they should be"
        )
    return Frame(cells, photometric)


def encode(frame: Frame, original: bytes, image: Image) -> bytes:
    """Encode one frame in place of another, and read it again to see that it is what it was.

    Raises NotClean where there is no encoder or it did not give back what it was given.
    """
    row = codec(image)
    if row.encode is None:
        raise NotClean(f"no encoder for {UID(image.syntax).name}: text in it cannot be blanked")
    written: bytes = _guarded(
        row.encode, "written", frame.cells, frame.photometric, original, image=image
    )
    again = decode(written, image).cells
    if row.exact and not np.array_equal(again, frame.cells):
        raise NotClean(f"the encoder for {UID(image.syntax).name} changed what it was given")
    if not row.exact and _difference(again, frame.cells) > MAX_DIFFERENCE:
        raise NotClean(f"the encoder for {UID(image.syntax).name} lost too much")
    return written


def photometric_written(image: Image) -> str:
    """Say what PhotometricInterpretation becomes when a frame is written (PS3.5 8.2.4).

    What JPEG 2000 transformed is decoded to RGB, and written as that.
    """
    return "RGB" if image.photometric in {"YBR_ICT", "YBR_RCT"} else image.photometric


def _difference(one: Array, other: Array) -> float:
    return float(np.abs(one.astype(np.int32) - other.astype(np.int32)).mean())


def _guarded(step: Callable[..., Any], verb: str, *arguments: object, image: Image) -> Any:
    """Call a codec, and take whatever it raises for a refusal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a codec finds odd, the check of sizes judges
            return step(*arguments, image)
    except NotClean:
        raise
    except Exception as fault:  # noqa: BLE001  (codecs raise anything; all of it means no)
        syntax = UID(image.syntax).name
        kind = type(fault).__name__
        words = f"a frame in {syntax} cannot be {verb}: the codec refuses it ({kind})"
        # So pydicom says that a decoder's or an encoder's library is not installed.
        missing = isinstance(fault, ImportError | NotImplementedError) or "missing" in str(fault)
        hint = "; pip install 'penumbra-node[ocr]'" if missing else ""
        raise NotClean(words + hint) from None


def _read_native(frame: bytes, image: Image) -> tuple[Array, str]:
    return native.decode(frame, image), image.photometric


def _write_native(cells: Array, photometric: str, original: bytes, image: Image) -> bytes:
    del photometric
    return native.encode(cells, image, original)


def _options(image: Image, **changed: Any) -> dict[str, Any]:
    return {
        "rows": image.rows,
        "columns": image.columns,
        "number_of_frames": 1,
        "samples_per_pixel": image.samples,
        "bits_allocated": image.bits_allocated,
        "bits_stored": image.bits_stored,
        "pixel_representation": int(image.signed),
        "photometric_interpretation": image.photometric,
        "planar_configuration": image.planar if image.samples > 1 else 0,
    } | changed


def _read(frame: bytes, image: Image, **changed: Any) -> tuple[Array, str]:
    one = encapsulate([frame], has_bot=False)
    cells, said = get_decoder(image.syntax).as_array(
        one, index=0, raw=True, **_options(image, **changed)
    )
    return cells, str(said["photometric_interpretation"])


def _read_rle(frame: bytes, image: Image) -> tuple[Array, str]:
    cells, _ = _read(frame, image, bits_stored=image.bits_allocated, pixel_representation=0)
    return cells, image.photometric


def _write_rle(cells: Array, photometric: str, original: bytes, image: Image) -> bytes:
    del original
    space = "YBR_FULL" if photometric.startswith("YBR") else photometric
    options = _options(
        image,
        bits_stored=image.bits_allocated,
        pixel_representation=0,
        photometric_interpretation=space,
        planar_configuration=0,
    )
    # Unvalidated: pydicom's table knows no cells of 32 bits, which RLE can hold; it is read again.
    return get_encoder(RLELossless).encode(cells, validate=False, **options)


def _write_jpeg_ls(cells: Array, photometric: str, original: bytes, image: Image) -> bytes:
    del original
    # The stream knows no sign: a value is the bits of its complement, as the decoder takes it.
    bits = cells.view(np.dtype(f"u{cells.dtype.itemsize}")) & ((1 << image.bits_stored) - 1)
    options = _options(image, pixel_representation=0, photometric_interpretation=photometric)
    # Without loss also in JPEG-LS Near-Lossless, which allows it: no second loss on the first.
    return get_encoder(JPEGLSLossless).encode(bits, **options)


def _write_jpeg_2000(cells: Array, photometric: str, original: bytes, image: Image) -> bytes:
    from deid.pixels import gdcm_encoder  # GDCM comes with an extra

    del original
    # Reversible also in the transfer syntax that allows loss, for the same reason.
    return gdcm_encoder.encode(cells, image, photometric, JPEG2000Lossless)


def _write_jpeg_lossless(cells: Array, photometric: str, original: bytes, image: Image) -> bytes:
    from deid.pixels import gdcm_encoder  # GDCM comes with an extra

    del original
    return gdcm_encoder.encode(cells, image, photometric, image.syntax)


def _read_jpeg(frame: bytes, image: Image) -> tuple[Array, str]:
    if image.bits_stored > 8:
        raise NotClean("JPEG of more than 8 bits a sample cannot be looked into")
    if image.signed:
        raise NotClean("JPEG of signed samples is not in the standard, and not looked into")
    return jpeg.decode(frame, image)


def _write_jpeg(cells: Array, photometric: str, original: bytes, image: Image) -> bytes:
    return jpeg.encode(cells, photometric, original, image)


_NATIVE: Final = Codec(_read_native, _write_native, gives_cells=True)
_JPEG: Final = Codec(_read_jpeg, _write_jpeg, exact=False)
_JPEG_LOSSLESS: Final = Codec(_read, _write_jpeg_lossless)
_JPEG_LS: Final = Codec(_read, _write_jpeg_ls)
_JPEG_2000: Final = Codec(_read, _write_jpeg_2000)
_READ_ONLY: Final = Codec(_read, None)

CODECS: Final[dict[str, Codec]] = {
    ImplicitVRLittleEndian: _NATIVE,
    ExplicitVRLittleEndian: _NATIVE,
    ExplicitVRBigEndian: _NATIVE,
    DeflatedExplicitVRLittleEndian: _NATIVE,
    RLELossless: Codec(_read_rle, _write_rle, gives_cells=True),
    JPEGBaseline8Bit: _JPEG,
    JPEGExtended12Bit: _JPEG,
    JPEGLossless: _JPEG_LOSSLESS,
    JPEGLosslessSV1: _JPEG_LOSSLESS,
    JPEGLSLossless: _JPEG_LS,
    JPEGLSNearLossless: _JPEG_LS,
    JPEG2000Lossless: _JPEG_2000,
    JPEG2000: _JPEG_2000,
    HTJ2K: _READ_ONLY,
    HTJ2KLossless: _READ_ONLY,
    HTJ2KLosslessRPCL: _READ_ONLY,
}
