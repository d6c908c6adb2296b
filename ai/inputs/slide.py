"""Read a whole-slide image (PS3.3 A.32.8): its levels, and any rectangle of one of them.

A frame is decoded when a rectangle needs it; a bounded number of them is kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import UID

from ai import header
from ai.header import Part10, Reference
from ai.inputs.wanted import Acquired, acquired
from dicom import frames
from dicom.errors import CannotUnderstand, DoesNotMatch, Unsuitable
from dicom.part10 import text

GLASS: Final = 255
"""What stands where no tile is stored."""
_CACHE_BYTES: Final = 64 << 20
_BESIDE: Final = frozenset({"LABEL", "OVERVIEW", "LOCALIZER", "THUMBNAIL"})
"""Images of a slide that are no level of it (PS3.3 C.8.12.4.1.1)."""

Pixels = npt.NDArray[np.uint8]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a level's header says."""

    index: int
    name: str
    reference: Reference
    identity: tuple[str, ...]
    """Of study, Series and patient; the same in one Series, and never shown."""
    acquired: Acquired
    shape: tuple[int, int]
    """Rows and columns of the total pixel matrix."""
    tile: tuple[int, int]
    """Rows and columns of a frame."""
    spacing_mm: tuple[float, float]
    frames: Mapping[Place, int]
    """The number of the frame, from 1, by row and column of tiles."""
    head: FileDataset
    end: int
    """Where the header ends in the file."""


class Level:
    """One level, whose pixels can be asked for. Several threads may ask at once."""

    def __init__(self, facts: Facts, part10: Part10) -> None:
        """Find the frames. Raises Unsuitable where they cannot be told apart or decoded here."""
        self.facts = facts
        self.part10 = part10
        self._syntax = str(facts.head.file_meta.get("TransferSyntaxUID", ""))
        self._options = _options(facts)
        self._kept: OrderedDict[int, Pixels] = OrderedDict()
        self._lock = threading.Lock()
        try:
            self._decoder = get_decoder(UID(self._syntax))
            self._plugin = _plugin(self._decoder)
            with header.opened(part10) as stream:
                self._layout = frames.layout(stream, self._syntax)
        except (CannotUnderstand, DoesNotMatch) as fault:
            raise Unsuitable(f"{facts.name}: {fault}") from fault
        except NotImplementedError as fault:
            raise Unsuitable(f"{facts.name}: no codec here reads its transfer syntax") from fault
        except ValueError as fault:  # a file meta that says it is longer than the file
            raise Unsuitable(f"{facts.name}: its frames cannot be found") from fault
        if max(facts.frames.values(), default=0) > self._layout.frames:
            raise Unsuitable(f"{facts.name}: it has fewer frames than its tiles need")

    def rectangle(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Give pixels (y, x, 3), red, green and blue; glass where nothing is stored.

        Raises Unsuitable where a frame cannot be decoded.
        """
        height, width = self.facts.tile
        if (top % height, left % width) == (0, 0) and (bottom - top, right - left) == (
            height,
            width,
        ):
            return self._frame((top // height, left // width))
        out = np.full((bottom - top, right - left, 3), GLASS, np.uint8)
        for row in range(top // height, -(-bottom // height)):
            for column in range(left // width, -(-right // width)):
                y, x = row * height, column * width
                above, before = max(top, y), max(left, x)
                below, behind = min(bottom, y + height), min(right, x + width)
                part = self._frame((row, column))[above - y : below - y, before - x : behind - x]
                out[above - top : below - top, before - left : behind - left] = part
        return out

    def is_bare(self, top: int, left: int, bottom: int, right: int) -> bool:
        """Whether a rectangle holds nothing but glass, since no frame of it is stored."""
        height, width = self.facts.tile
        rows = range(top // height, -(-bottom // height))
        columns = range(left // width, -(-right // width))
        stored = self.facts.frames
        if len(stored) < len(rows) * len(columns):
            return not any(row in rows and column in columns for row, column in stored)
        return not any((row, column) in stored for row in rows for column in columns)

    def _frame(self, place: Place) -> Pixels:
        number = self.facts.frames.get(place)
        if number is None:
            return np.full((*self.facts.tile, 3), GLASS, np.uint8)
        with self._lock:
            kept = self._kept.get(number)
            if kept is not None:
                self._kept.move_to_end(number)
                return kept
        made = self._decoded(number)
        made.flags.writeable = False
        with self._lock:
            self._kept[number] = made
            while len(self._kept) * made.nbytes > _CACHE_BYTES:
                self._kept.popitem(last=False)
        return made

    def _decoded(self, number: int) -> Pixels:
        name = f"{self.facts.name}: frame {number}"
        try:
            with header.opened(self.part10) as stream:
                raw = frames.frame(stream, self._layout, number)
            if self._layout.is_encapsulated:
                raw = encapsulate([raw], has_bot=False)
            array, _ = self._decoder.as_array(
                raw, index=0, decoding_plugin=self._plugin, **self._options
            )
        except Exception as fault:  # decoders raise many kinds on hostile or unsupported data
            words = f"its pixel data cannot be decoded ({type(fault).__name__})"
            raise Unsuitable(f"{name}: {words}") from fault
        if array.shape != (*self.facts.tile, 3) or array.dtype != np.uint8:
            raise Unsuitable(f"{name}: its pixel data is not Rows x Columns of three bytes")
        return np.array(array)


def levels(series: Sequence[Part10]) -> list[Facts]:
    """Read the levels of a slide, finest first; labels and overviews are left out.

    Raises Unsuitable where the Series holds anything but one slide in colour.
    """
    found = [_read(index, part10) for index, part10 in enumerate(series)]
    made = [facts for facts in found if facts is not None]
    if not made:
        raise Unsuitable("the Series holds no level of a whole-slide image")
    if len({facts.identity for facts in made}) > 1:
        raise Unsuitable("the levels are not all of one study, Series and patient")
    if len({facts.reference.sop_instance_uid for facts in made}) < len(made):
        raise Unsuitable("two objects carry the same SOPInstanceUID")
    return sorted(made, key=lambda one: (one.spacing_mm, one.reference.sop_instance_uid))


def _read(index: int, part10: Part10) -> Facts | None:
    head, end = header.head_and_end(index, part10)
    name = header.title(text(head, "SOPInstanceUID"), index)
    kinds = text(head, "ImageType").upper().split("\\")
    if _BESIDE.intersection(kinds[2:]):
        return None
    if text(head, "ConcatenationUID"):
        raise Unsuitable(f"{name}: it is part of a concatenation; whole objects are wanted")
    try:
        with pydicom_config.disable_value_validation():
            return _facts(index, name, head, end)
    except Unsuitable:
        raise
    except Exception as fault:  # pydicom raises many kinds on absent and on hostile values
        words = "its header is not that of a whole-slide image"
        raise Unsuitable(f"{name}: {words} ({type(fault).__name__})") from fault


def _facts(index: int, name: str, head: FileDataset, end: int) -> Facts:
    if int(head.SamplesPerPixel) != 3 or int(head.BitsAllocated) != 8:
        raise Unsuitable(f"{name}: it is not in colour of three bytes (fluorescence?)")
    shape = int(head.TotalPixelMatrixRows), int(head.TotalPixelMatrixColumns)
    tile = int(head.Rows), int(head.Columns)
    if min(*shape, *tile) <= 0:
        raise Unsuitable(f"{name}: its total pixel matrix is empty")
    measures = head.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    rows_mm, columns_mm = (float(part) for part in measures.PixelSpacing)
    if not (rows_mm > 0 and columns_mm > 0):
        raise Unsuitable(f"{name}: its PixelSpacing is not positive")
    identity = ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "IssuerOfPatientID")
    return Facts(
        index=index,
        name=name,
        reference=Reference(text(head, "SOPClassUID"), text(head, "SOPInstanceUID")),
        identity=tuple(text(head, keyword) for keyword in identity),
        acquired=acquired(head),
        shape=shape,
        tile=tile,
        spacing_mm=(rows_mm, columns_mm),
        frames=_frames(name, head, shape, tile),
        head=head,
        end=end,
    )


def _frames(name: str, head: Dataset, shape: Place, tile: Place) -> Mapping[Place, int]:
    """Say which frame holds which tile (PS3.3 C.7.6.17.3); of several planes or paths the first."""
    rows, columns = (-(-whole // part) for whole, part in zip(shape, tile, strict=True))
    count = int(head.NumberOfFrames)
    if max(count, rows * columns) > frames.MOST_FRAMES:
        raise Unsuitable(f"{name}: it has more than {frames.MOST_FRAMES} tiles")
    if text(head, "DimensionOrganizationType") == "TILED_FULL":
        if not count or count % (rows * columns):
            raise Unsuitable(f"{name}: it has {count} frames for {rows} x {columns} tiles")
        places = [(row, column) for row in range(rows) for column in range(columns)]
        return {place: number for number, place in enumerate(places, start=1)}
    found: dict[Place, int] = {}
    for number, group in enumerate(head.PerFrameFunctionalGroupsSequence, start=1):
        place = group.PlanePositionSlideSequence[0]
        top = int(place.RowPositionInTotalImagePixelMatrix) - 1
        left = int(place.ColumnPositionInTotalImagePixelMatrix) - 1
        if top % tile[0] or left % tile[1]:
            raise Unsuitable(f"{name}: its tiles do not lie side by side")
        found.setdefault((top // tile[0], left // tile[1]), number)
    return found


def _options(facts: Facts) -> dict[str, Any]:
    head = facts.head
    return {
        "rows": facts.tile[0],
        "columns": facts.tile[1],
        "number_of_frames": 1,
        "samples_per_pixel": 3,
        "bits_allocated": 8,
        "bits_stored": 8,
        "pixel_representation": 0,
        "photometric_interpretation": text(head, "PhotometricInterpretation"),
        "planar_configuration": int(text(head, "PlanarConfiguration") or 0),
        "pixel_keyword": "PixelData",
    }


def _plugin(decoder: Decoder) -> str:
    """Choose the codec that every installation has, so that all of them see the same colours."""
    return "pillow" if "pillow" in decoder.available_plugins else ""
