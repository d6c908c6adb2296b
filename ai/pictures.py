"""Give the values of stored images to whoever draws findings on them, one image at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ai import header
from ai.header import Part10, Source
from dicom.errors import Unsuitable
from dicom.part10 import text


class Pictures:
    """The images of a source by their place among its references; nothing is kept."""

    def __init__(self, source: Source, series: Sequence[Part10]) -> None:
        self._source = source
        self._series = series
        self._places: dict[str, int] = {}

    def __call__(self, image: int) -> npt.NDArray[Any]:
        """Decode one image: values (y, x) after rescale, or colours (y, x, 3).

        Raises Unsuitable where it cannot be decoded.
        """
        uid = self._source.references[image].sop_instance_uid
        named = header.title(uid, image)
        part10 = self._series[self._find(uid)]
        stored = header.decode_any(part10, named)
        if stored.ndim == 3 and stored.shape[-1] == 3:
            return stored
        if stored.ndim != 2:
            raise Unsuitable(f"{named}: it has several frames and is not drawn")
        head = header.head(image, part10)
        slope, intercept = (text(head, f"Rescale{part}") for part in ("Slope", "Intercept"))
        try:
            return stored * np.float32(slope or 1) + np.float32(intercept or 0)
        except ValueError as fault:
            raise Unsuitable(f"{named}: its rescale is not numeric") from fault

    def _find(self, uid: str) -> int:
        if not self._places:
            heads = (header.head(index, part10) for index, part10 in enumerate(self._series))
            self._places = {text(head, "SOPInstanceUID"): at for at, head in enumerate(heads)}
        return self._places[uid]
