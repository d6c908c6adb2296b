"""Read a JPEG or PNG as pixels that an object can hold, or refuse it in words; Pillow's home.

Nothing is decoded before its size is known to be bearable, and nothing is changed silently: a
JPEG stream stays as it is, byte for byte; a PNG keeps its bits.
"""

import io
import warnings
from typing import Final

from PIL import Image, JpegImagePlugin, PngImagePlugin

from dicom.capture import Picture
from dicom.errors import CannotUnderstand

MOST_PIXELS: Final = 80_000_000
"""Larger than any detector's image; 240 MB of colour, and below where Pillow itself objects."""
MOST_SIDE: Final = 65_535
"""Rows and Columns are US (PS3.3 C.7.6.3)."""
_TOO_LARGE: Final = (
    f"the image is too large: {MOST_SIDE} pixels a side and {MOST_PIXELS // 1_000_000} million in"
    " all are taken"
)
_ORIENTATION: Final = 0x0112
_BASELINE_SOF: Final = 0xC0
_PNG_BITS: Final = 24
"""Where the IHDR chunk says how many bits a sample has."""
_GREY: Final[dict[str, int]] = {"L": 8, "I;16": 16, "I;16B": 16}


def read(file: bytes) -> Picture:
    """Read a picture. Raises CannotUnderstand with what is wrong, and what would mend it."""
    # Between our bound and twice as much Pillow only warns.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(file), formats=("JPEG", "PNG")) as opened:
            _bearable(opened)
            if isinstance(opened, JpegImagePlugin.JpegImageFile):
                return _jpeg(opened, file)
            assert isinstance(opened, PngImagePlugin.PngImageFile)
            return _png(opened, file)
    except CannotUnderstand:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        raise CannotUnderstand(_TOO_LARGE) from fault
    except Exception as fault:  # Pillow raises many kinds on hostile bytes
        words = (
            f"the image cannot be decoded ({type(fault).__name__}): it is cut, or no JPEG or PNG"
        )
        raise CannotUnderstand(words) from fault


def _bearable(opened: Image.Image) -> None:
    columns, rows = opened.size
    if columns * rows > MOST_PIXELS or max(opened.size) > MOST_SIDE:
        raise CannotUnderstand(_TOO_LARGE)
    if getattr(opened, "n_frames", 1) > 1:
        raise CannotUnderstand("the image has several frames; send each as a file of its own")


def _jpeg(opened: JpegImagePlugin.JpegImageFile, file: bytes) -> Picture:
    if opened.getexif().get(_ORIENTATION, 1) != 1:
        raise CannotUnderstand(
            "the JPEG is to be turned by its EXIF orientation, which viewers of DICOM do not do;"
            " turn the pixels themselves (jpegtran, exiftran) and remove the tag"
        )
    if _frame_header(file) != _BASELINE_SOF:
        raise CannotUnderstand(
            "the JPEG is not baseline (it is progressive, lossless, arithmetic or of 12 bits);"
            " write it as baseline, or as PNG"
        )
    photometric = _photometric(opened)
    columns, rows = opened.size
    opened.load()  # a stream that was cut is known by its end
    return Picture(rows, columns, opened.layers, 8, photometric, file, is_jpeg=True)


def _photometric(opened: JpegImagePlugin.JpegImageFile) -> str:
    """Say what the components are (PS3.5 8.2.1)."""
    if opened.layers == 1:
        return "MONOCHROME2"
    if opened.layers != 3:
        raise CannotUnderstand("the JPEG is CMYK; write it as RGB, or as grey")
    identifiers = {layer[0] for layer in opened.layer}
    is_rgb = opened.info.get("adobe_transform") == 0 or identifiers in (
        {82, 71, 66},
        {114, 103, 98},
    )
    if is_rgb:
        return "RGB"
    _, horizontal, vertical, _ = opened.layer[0]
    # There is no name for chroma of half the height: most writers call that 422 too.
    return "YBR_FULL" if (horizontal, vertical) == (1, 1) else "YBR_FULL_422"


def _frame_header(file: bytes) -> int:
    """Find the SOF marker; 0 where there is none before the first scan."""
    at = 2
    while at + 4 <= len(file) and file[at] == 0xFF:
        marker = file[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return marker
        if marker == 0xDA:
            return 0
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    return 0


def _png(opened: PngImagePlugin.PngImageFile, file: bytes) -> Picture:
    mode, (columns, rows) = opened.mode, opened.size
    if mode in {"LA", "RGBA"} or "transparency" in opened.info:
        raise CannotUnderstand("the PNG has an alpha channel; flatten it (`magick -alpha off`)")
    if mode == "RGB" and file[_PNG_BITS] == 16:
        raise CannotUnderstand("the PNG has 16 bits a colour; write it with 8")
    if mode in {"P", "1"} or (mode == "L" and file[_PNG_BITS] < 8):
        opened = opened.convert("L" if mode in {"1", "L"} else "RGB")  # type: ignore[assignment] # an Image from here on
        mode = opened.mode
    if mode == "I":  # grey of 16 bits, as older versions of Pillow open it
        opened = opened.convert("I;16")  # type: ignore[assignment] # as above
        mode = opened.mode
    if mode == "RGB":
        return Picture(rows, columns, 3, 8, "RGB", opened.tobytes())
    if mode not in _GREY:
        raise CannotUnderstand(f"the PNG has samples of a kind ({mode}) that no object holds")
    data = opened.tobytes("raw", "I;16" if mode.startswith("I") else "L")
    return Picture(rows, columns, 1, _GREY[mode], "MONOCHROME2", data)
