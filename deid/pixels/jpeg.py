"""JPEG with eight bits a sample by Pillow: components as they are stored, and the same tables back.

A frame is written with the quantization tables and the sampling that it was read with, so that
blocks in which nothing changed lose next to nothing.
"""

import io
from typing import Final

import numpy as np
from PIL import Image as Picture
from PIL import JpegImagePlugin

from deid.pixels.image import Array, Image

_RGB_IDS: Final = ({82, 71, 66}, {114, 103, 98})
"""Component identifiers "RGB" and "rgb": such a stream is not transformed."""


def decode(frame: bytes, image: Image) -> tuple[Array, str]:
    """Decode a frame into (y, x) or (y, x, sample) as stored, and say in which colour space.

    Raises OSError, ValueError or SyntaxError for what is no such JPEG.
    """
    with _open(frame, image) as opened:
        stored = _stored_space(opened, image)
        if stored == "YCbCr":
            opened.draft("YCbCr", opened.size)
        # Without a marker that says so, Pillow takes RGB for YBR: as YBR it is left as it is.
        raw_rgb = opened.mode == "RGB" and stored == "RGB" and not _is_marked_rgb(opened)
        if raw_rgb:
            opened.draft("YCbCr", opened.size)
        cells = np.array(opened)
    space = {"L": image.photometric, "YCbCr": "YBR_FULL", "RGB": "RGB"}[stored]
    return cells, space


def encode(cells: Array, space: str, original: bytes, image: Image) -> bytes:
    """Encode a frame as `original` was: its colour space, tables and sampling."""
    with _open(original, image) as opened:
        tables = opened.quantization
        sampling = JpegImagePlugin.get_sampling(opened)
    mode = {"RGB": "RGB", "YBR_FULL": "YCbCr"}.get(space, "L")
    size = (image.columns, image.rows)
    picture = Picture.frombytes(mode, size, np.ascontiguousarray(cells).tobytes())
    target = io.BytesIO()
    picture.save(
        target, "JPEG", qtables=tables, subsampling=sampling, keep_rgb=mode == "RGB", optimize=False
    )
    return target.getvalue()


def _open(frame: bytes, image: Image) -> JpegImagePlugin.JpegImageFile:
    opened = Picture.open(io.BytesIO(frame), formats=("JPEG",))
    if not isinstance(opened, JpegImagePlugin.JpegImageFile):
        raise ValueError("no JPEG")  # noqa: TRY004  (a codec's refusal, as the others)
    if opened.size != (image.columns, image.rows) or opened.layers != image.samples:
        raise ValueError("not the size that the dataset says")
    return opened


def _stored_space(opened: JpegImagePlugin.JpegImageFile, image: Image) -> str:
    """Say what the components are: by the stream's markers, and by the dataset without any."""
    if image.samples == 1:
        return "L"
    if _is_marked_rgb(opened):
        return "RGB"
    if "jfif" in opened.info or "adobe_transform" in opened.info:
        return "YCbCr"
    return "RGB" if image.photometric == "RGB" else "YCbCr"


def _is_marked_rgb(opened: JpegImagePlugin.JpegImageFile) -> bool:
    identifiers = {layer[0] for layer in opened.layer}
    return opened.info.get("adobe_transform") == 0 or identifiers in _RGB_IDS
