"""Find text in a picture: the home of rapidocr-onnxruntime, whose models come in its wheel.

What it reads is a patient's data: it is judged here and goes no further; only boxes leave.
"""

import importlib
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Protocol

import numpy as np

from deid.pixels.boxes import Box, clip, distinct, grow, turn_back
from deid.pixels.image import Array, Image
from deid.pixels.render import Picture, renderings
from dicom.errors import DeidFault

THREADS: Final = 1
"""Objects are cleaned in several processes: each takes one processor."""
MIN_SCORE: Final = 0.5
"""How sure the recognizer must be that it read something."""
MIN_LINE_SCORE: Final = 0.25
"""The same for what has the shape of a line of text: it may be a script that it never learned."""
_LINE_ASPECT: Final = 2.5
SIDES: Final = frozenset("RLAPHF")
"""Right, left, anterior, posterior, head, feet: alone they say where a side is, not who it is."""
_SIDE_ASPECT: Final = 2.0
"""A single letter is no wider than this beside its height; more was misread for one."""
TILE_PIXELS: Final = 1536
"""What is longer is shrunk to this: the engine's memory grows with the square of it."""
OVERLAP_PIXELS: Final = 200
_HUGE_PIXELS: Final = 64
_HUGE_PART: Final = 0.25
_LARGE_PIXELS: Final = 24
_LARGE_PART: Final = 0.0625
_SURE_SCORE: Final = 0.9
_SMALLEST_PIXELS: Final = 6
"""In fewer rows or columns nothing can be written."""
_PACKAGE: Final = "rapidocr_onnxruntime"
_LIBRARY: Final = re.compile(r"lib[A-Za-z0-9_.+-]+\.so[.0-9]*")
_DEBIAN: Final = "libgl1 libglib2.0-0"
"""Debian's packages of what the OpenCV that comes with OCR is linked to: libGL, GLib and, with
libGL, xcb. Nothing is ever drawn on a screen."""


class Reader(Protocol):
    """Whoever finds text in a frame."""

    def __call__(self, shown: Array, image: Image, photometric: str) -> tuple[Box, ...]:
        """Give the boxes of all text in the values of a frame, margins included."""


def missing() -> str:
    """Say in words what reading text needs and is not there; "" when all is. Takes a second."""
    try:
        importlib.import_module(_PACKAGE)
    except ImportError as fault:
        return _words(fault)
    return ""


def _words(fault: ImportError) -> str:
    """Say what to install: the extra, or libraries of the system that OpenCV takes for granted."""
    if fault.name == _PACKAGE and isinstance(fault, ModuleNotFoundError):
        return "burned-in text needs OCR: pip install 'penumbra-node[ocr]'"
    library = _LIBRARY.search(str(fault))
    if library:
        return f"OCR needs {library.group()}: apt-get install {_DEBIAN}"
    return f"OCR is installed but cannot be loaded: {fault.name or 'a part'} is missing"


def edition() -> str:
    """Name the reader and its version: it decides what is found, as a profile's rules do."""
    try:
        return f"{_PACKAGE} {version('rapidocr-onnxruntime')}"
    except PackageNotFoundError:
        return "none"


def read(shown: Array, image: Image, photometric: str) -> tuple[Box, ...]:
    """Find text in a frame, in each of its renderings. Raises DeidFault where OCR is missing."""
    if min(image.rows, image.columns) < _SMALLEST_PIXELS:
        return ()
    found: list[Box] = []
    for picture, quarters, in_detail in renderings(shown, image, photometric):
        boxes = [*_texts(picture), *(_closer(picture) if in_detail else ())]
        found += [turn_back(box, quarters, image.columns, image.rows) for box in boxes]
    cut = (clip(box, image.columns, image.rows) for box in found)
    return distinct(box for box in cut if box is not None)


def _texts(picture: Picture) -> Iterator[Box]:
    """Read one picture; yield the boxes of what counts as text."""
    lines, _ = _engine()(np.ascontiguousarray(picture))
    for corners, text, score in lines or ():
        box = _around(corners)
        if counts(str(text), float(score), box, min(picture.shape[:2])):
            yield grow(box, _margin(box))


def _closer(picture: Picture) -> Iterator[Box]:
    """Read a picture that is shrunk to be read as a whole once more, in tiles that are not."""
    rows, columns = picture.shape[:2]
    if max(rows, columns) <= TILE_PIXELS:
        return
    for y in _steps(rows):
        for x in _steps(columns):
            for box in _texts(picture[y : y + TILE_PIXELS, x : x + TILE_PIXELS]):
                yield Box(box.x0 + x, box.y0 + y, box.x1 + x, box.y1 + y)


def _steps(length: int) -> range:
    """Say where tiles begin; neighbours share what may be cut in two."""
    return range(0, max(length - OVERLAP_PIXELS, 1), TILE_PIXELS - OVERLAP_PIXELS)


def counts(text: str, score: float, box: Box, side_pixels: int) -> bool:
    """Whether something that was read has to go: everything but noise and the mark of a side.

    `side_pixels` is the shorter side of the picture. Anatomy is now and then read as one large
    letter, or as a few huge ones by a recognizer that is not sure; nobody writes so large.
    """
    letters = [each for each in text if each.isalnum()]
    width, height = box.x1 - box.x0, box.y1 - box.y0
    across, along = sorted((width, height))
    is_line = across <= _HUGE_PIXELS and along >= _LINE_ASPECT * across
    if not letters or score < (MIN_LINE_SCORE if is_line else MIN_SCORE):
        return False
    if len(letters) == 1 and across > max(_LARGE_PIXELS, side_pixels * _LARGE_PART):
        return False
    if score < _SURE_SCORE and across > max(_HUGE_PIXELS, side_pixels * _HUGE_PART):
        return False
    square = along <= _SIDE_ASPECT * across
    return not (square and text.strip().upper() in SIDES)


def _around(corners: Sequence[Sequence[float]]) -> Box:
    across, down = ([float(corner[axis]) for corner in corners] for axis in (0, 1))
    return Box(int(min(across)), int(min(down)), int(max(across)) + 1, int(max(down)) + 1)


def _margin(box: Box) -> int:
    """Leave room for what the detector cut off: tails, dots and soft edges."""
    return 2 + min(box.x1 - box.x0, box.y1 - box.y0) // 6


@cache
def _engine() -> Any:
    """Load the models, once a process."""
    try:
        from rapidocr_onnxruntime import (  # type: ignore[import-not-found,import-untyped,unused-ignore]  # an extra, no types
            RapidOCR,
        )
    except ImportError as fault:
        raise DeidFault(_words(fault)) from None
    threads = min(THREADS, os.cpu_count() or 1)
    return RapidOCR(
        intra_op_num_threads=threads,
        inter_op_num_threads=1,
        max_side_len=TILE_PIXELS,
        text_score=0.0,  # what counts is judged in `counts`
    )
