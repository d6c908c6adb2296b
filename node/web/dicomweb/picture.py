"""Write eight-bit pictures as JPEG, PNG or GIF; the home of Pillow here."""

import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from dicom.errors import CannotUnderstand
from node.web.dicomweb.wish import FORMATS, JPEG

_MOST_PIXELS: Final = 100_000_000

Shown = npt.NDArray[np.uint8]
"""(y, x), or (y, x, 3) as red, green, blue."""


def encoded(shown: Shown, media_type: str, quality: int) -> bytes:
    """Write a picture; `quality` from 1 to 100 is JPEG's."""
    options: dict[str, Any] = {}
    if media_type == JPEG:
        options = {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(out, FORMATS[media_type], **options)
    return out.getvalue()


def resized(shown: Shown, columns: int, rows: int) -> Shown:
    """Give a picture another size. Raises CannotUnderstand where that is too large."""
    if columns * rows > _MOST_PIXELS:
        raise CannotUnderstand(f"a picture has no more than {_MOST_PIXELS} pixels")
    image = Image.fromarray(np.ascontiguousarray(shown))
    smaller = columns * rows < shown.shape[0] * shown.shape[1]
    how = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC
    return np.asarray(image.resize((columns, rows), how))
