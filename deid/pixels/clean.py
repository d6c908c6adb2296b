"""Clean an object's pixels of burned-in text (PS3.15 E.3.1, Clean Pixel Data Option).

Decide, read every frame, blank what was found in all of them, read again until nothing is found.
Text that is found in one frame is blanked in each: what stands still is not read in every frame,
and is there all the same. What cannot be decoded, read or written again is NotClean.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from deid.container import Chunk, Opened
from deid.parse import Element
from deid.pixels import attributes, cells, codecs, ocr
from deid.pixels import image as image_module
from deid.pixels.boxes import Box, clip, distinct, outside
from deid.pixels.decide import Decision, decide
from deid.pixels.frames import Frames, open_frames
from deid.pixels.image import SUBSAMPLED, Image
from deid.pixels.loss import lossy_attributes
from deid.pixels.regions import regions
from deid.pixels.rules import DeviceRule, PixelRules
from deid.pixels.spill import joined
from dicom.errors import NotClean

PIXEL_DATA: Final = 0x7FE0_0010
BURNED_IN: Final = 0x0028_0301
_PHOTOMETRIC: Final = 0x0028_0004
ROUNDS: Final = 4
"""How often frames are read before text that is still found is nothing that blanking mends."""


@dataclass(frozen=True, slots=True)
class CleanedPixels:
    """What Pixel Data becomes, and what else changes with it."""

    chunks: tuple[Chunk, ...]
    """The value, with its items where it is encapsulated; none where there is no Pixel Data."""
    attributes: Mapping[int, tuple[str, bytes]]
    """Tag to VR and value, to be set or replaced; an odd value is yet to be padded."""
    boxes_per_frame: tuple[int, ...]
    """How many boxes changed each frame; empty where frames were not looked at."""
    remarks: tuple[str, ...]
    """For the account; they hold no word that was read."""

    def value(self) -> memoryview:
        """Give the value in one piece, for whoever looks at it next; much of it on disk."""
        return joined(self.chunks)


def clean(
    elements: tuple[Element, ...],
    opened: Opened,
    rules: PixelRules,
    *,
    reader: ocr.Reader = ocr.read,
) -> CleanedPixels:
    """Clean Pixel Data (7FE0,0010) of an object; for float pixel data see `check_unread`.

    The same object and rules give the same result. Where nothing has to be blanked, the value is
    the input's, bit for bit. Raises NotClean for what may not pass or cannot be proven clean,
    DeidFault for what cannot be read.
    """
    pixels = attributes.find(elements, PIXEL_DATA)
    if pixels is None:
        return CleanedPixels((), {}, (), ())
    facts = attributes.facts(elements, opened.encoding)
    device = rules.device(facts)
    decision = decide(facts, rules.classes, device)
    if decision.verdict == "refuse":
        raise NotClean(f"pixels: {decision.reason}")
    reads = decision.verdict == "look"
    if not reads and not (device and (device.blank or device.keep_regions)):
        remark = f"pixels: not read: {decision.reason}"
        return CleanedPixels((pixels.value,), {BURNED_IN: ("CS", b"NO")}, (), (remark,))
    image = image_module.read(elements, opened.encoding, pixels, opened.transfer_syntax_uid)
    known = _known(elements, opened, device, image)
    work = _Work(image, open_frames(pixels, elements, opened, image), reader, known)
    if reads:
        work.search()
    return _written(work, elements, decision, device)


def check_unread(elements: tuple[Element, ...], opened: Opened, rules: PixelRules) -> str:
    """Say why pixels that nobody here can read, those of Float Pixel Data, may pass.

    Raises NotClean where no rule says that such objects bear no text.
    """
    facts = attributes.facts(elements, opened.encoding)
    decision = decide(facts, rules.classes, rules.device(facts))
    if decision.verdict != "pass":
        raise NotClean(f"pixels of floating point cannot be looked into: {decision.reason}")
    return f"pixels: not read: {decision.reason}"


def _known(
    elements: tuple[Element, ...], opened: Opened, device: DeviceRule | None, image: Image
) -> tuple[Box, ...]:
    """List the boxes that are blanked whatever is in them."""
    if device is None:
        return ()
    boxes = device.boxes(image.columns, image.rows)
    if device.keep_regions:
        shown = regions(elements, opened.encoding, image.columns, image.rows)
        boxes += outside(shown, image.columns, image.rows) if shown else ()
    return _fitted(boxes, image)


def _fitted(boxes: tuple[Box, ...], image: Image) -> tuple[Box, ...]:
    """Cut boxes to the image; where two pixels share a colour, a box takes both."""
    if image.photometric in SUBSAMPLED:
        boxes = tuple(Box(x0 - x0 % 2, y0, x1 + x1 % 2, y1) for x0, y0, x1, y1 in boxes)
    cut = (clip(box, image.columns, image.rows) for box in boxes)
    return distinct(box for box in cut if box is not None)


class _Work:
    """One object's frames, and the boxes that are known so far."""

    def __init__(
        self, image: Image, frames: Frames, reader: ocr.Reader, known: tuple[Box, ...]
    ) -> None:
        self.image = image
        self.frames = frames
        self.known = known
        self.found: tuple[Box, ...] = ()
        self._reader = reader

    def search(self) -> None:
        """Read all frames until nothing is found any more.

        The first time the boxes of rules are not blanked: what one of them cuts in two is only
        read as long as it is whole. What was found in a frame is blanked in those after it, so
        what stands still is read once. Raises NotClean if there is no end of it.
        """
        read: dict[bytes, tuple[Box, ...]] = {}
        for first in (True, *[False] * (ROUNDS - 1)):
            before = self.found
            for number in range(self.image.frames):
                frame, _changed = self.blanked(number, with_known=not first)
                digest = hashlib.blake2b(np.ascontiguousarray(frame.cells).data).digest()
                if digest not in read:
                    shown = frame.shown(self.image)
                    read[digest] = self._reader(shown, self.image, frame.photometric)
                    self._add(read[digest])
            if self.found == before and not (first and self.known):
                return
        raise NotClean("pixels: text is still found after what was found has been blanked")

    def _add(self, fresh: tuple[Box, ...]) -> None:
        every = distinct((*self.known, *self.found, *_fitted(fresh, self.image)))
        self.found = tuple(box for box in every if box not in self.known)

    def blanked(self, number: int, *, with_known: bool = True) -> tuple[codecs.Frame, int]:
        """Decode a frame and blank all boxes; say how many changed something."""
        frame = codecs.decode(self.frames.frame(number), self.image)
        boxes = (*self.known, *self.found) if with_known else self.found
        if not boxes:
            return frame, 0
        dark = cells.black(frame.cells, frame.shown(self.image), self.image, frame.photometric)
        changed = 0
        for x0, y0, x1, y1 in boxes:
            area = frame.cells[y0:y1, x0:x1]
            if (area != dark).any():
                area[...] = dark
                changed += 1
        return frame, changed


def _written(
    work: _Work, elements: tuple[Element, ...], decision: Decision, device: DeviceRule | None
) -> CleanedPixels:
    """Write the frames with all boxes blanked, and say what was done."""
    image = work.image
    counts: list[int] = []
    sizes: list[int] = []
    everywhere = _changes_space(work)
    chunks, changed = work.frames.write(_replaced(work, counts, sizes, everywhere=everywhere))
    if not any(counts):
        if decision.must_find:
            raise NotClean(
                "pixels: BurnedInAnnotation is YES and no text was found: give a device rule"
            )
        sizes = []
    changed |= {BURNED_IN: ("CS", b"NO")}
    if everywhere:
        changed[_PHOTOMETRIC] = ("CS", codecs.photometric_written(image).encode("ascii"))
    if sizes and not codecs.codec(image).exact:
        changed |= lossy_attributes(elements, image, sizes)
    return CleanedPixels(chunks, changed, tuple(counts), _remarks(work, counts, decision, device))


def _changes_space(work: _Work) -> bool:
    """Whether frames go to another colour space: all of them must, as one attribute names it."""
    image = work.image
    if codecs.photometric_written(image) == image.photometric:
        return False
    return any(work.blanked(number)[1] for number in range(image.frames))


def _replaced(
    work: _Work, counts: list[int], sizes: list[int], *, everywhere: bool
) -> Iterator[bytes | None]:
    """Yield each frame as it is to be written, None for one that stays as it is."""
    boxes = (*work.known, *work.found)
    for number in range(work.image.frames):
        if not boxes:
            counts.append(0)
            yield None
            continue
        frame, changed = work.blanked(number)
        counts.append(changed)
        if not changed and not everywhere:
            yield None
            continue
        new = codecs.encode(frame, work.frames.frame(number), work.image)
        sizes.append(len(new))
        yield new


def _remarks(
    work: _Work, counts: list[int], decision: Decision, device: DeviceRule | None
) -> tuple[str, ...]:
    changed = sum(1 for count in counts if count)
    said: list[str] = []
    if work.known and device is not None:
        said.append(f"pixels: rule {device.name!r}: {len(work.known)} boxes: {device.reason}")
    if decision.verdict == "pass":
        said.append(f"pixels: not read: {decision.reason}")
    elif work.found:
        said.append(f"pixels: {len(work.found)} boxes of text found by OCR ({decision.reason})")
    else:
        said.append(f"pixels: read by OCR, no text found ({decision.reason})")
    said.append(f"pixels: {changed} of {len(counts)} frames changed")
    return tuple(said)
