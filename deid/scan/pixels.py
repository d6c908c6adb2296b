"""Read the text in pixels by OCR: frames, overlays and icons, as they are and inverted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, ExplicitVRLittleEndian

_PIXEL_DATA: Final = 0x7FE0_0010
_OVERLAY_DATA: Final = 0x3000
_OVERLAYS: Final = range(0x6000, 0x6020, 2)
_SMALL: Final = 640
"""Smaller frames are enlarged: OCR does not see letters of a few pixels."""

Image = NDArray[np.uint8]
"""(y, x, 3), 8 bits."""
Reader = Callable[[Image], Sequence[str]]
"""Reads the lines of text in an image."""


class NoOcr(RuntimeError):  # noqa: N818  (the house names faults by what they are)
    """The package that reads text in images is not installed."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of an object, in the renderings in which text may be readable."""

    where: str
    renderings: tuple[Image, ...]


@dataclass(frozen=True, slots=True)
class Unseen:
    """Pixels that could not be looked at."""

    where: str
    why: str


class _Engine(Protocol):
    def __call__(self, image: Image) -> tuple[Sequence[Sequence[Any]] | None, object]: ...


def load_reader() -> Reader:
    """Load the OCR engine with its models. Raises NoOcr when it is not installed."""
    try:
        from rapidocr_onnxruntime import RapidOCR  # type: ignore[import-not-found,import-untyped,unused-ignore]  # an extra, without types
    except ImportError as fault:
        raise NoOcr("OCR is not installed: pip install 'penumbra-node[ocr]'") from fault
    engine: _Engine = RapidOCR()

    def read(image: Image) -> Sequence[str]:
        boxes, _ = engine(image)
        return [str(text) for _, text, _ in boxes or ()]

    return read


def pictures(dataset: Dataset, source: Path | Any, most: int | None) -> Iterator[Picture | Unseen]:
    """Yield every picture of an object: its frames (`most`, evenly spaced), overlays and icons.

    `source` is where pydicom reads frames from, one at a time: a path or a binary stream.
    """
    if _PIXEL_DATA in dataset:
        yield from _guarded("pixels", _frames(dataset, source, most))
    for group in _OVERLAYS:
        if group << 16 | _OVERLAY_DATA in dataset:
            where = f"overlay ({group:04X},3000)"
            yield from _guarded(where, _overlay(dataset, group, where))
    yield from _nested(dataset, "")


def _guarded(where: str, found: Iterator[Picture]) -> Iterator[Picture | Unseen]:
    try:
        yield from found
    except Exception as fault:  # noqa: BLE001  (whatever a codec stumbles over is told)
        yield Unseen(where, f"cannot be decoded ({type(fault).__name__})")


def _frames(dataset: Dataset, source: Path | Any, most: int | None) -> Iterator[Picture]:
    count = int(dataset.get("NumberOfFrames") or 1)
    chosen = list(range(count))
    if most is not None and most < count:
        chosen = sorted({round(i * (count - 1) / max(most - 1, 1)) for i in range(most)})
    if hasattr(source, "seek"):
        source.seek(0)
    frames = iter_pixels(source, indices=chosen)
    for index, frame in zip(chosen, frames, strict=True):
        if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
            frame = apply_color_lut(frame, dataset)  # noqa: PLW2901  (the same frame, in colour)
        yield Picture(f"pixels, frame {index + 1}", renderings(frame))


def _overlay(dataset: Dataset, group: int, where: str) -> Iterator[Picture]:
    planes = dataset.overlay_array(group)
    for plane in planes if planes.ndim > 2 else [planes]:
        yield Picture(where, renderings(plane))


def _nested(dataset: Dataset, path: str) -> Iterator[Picture | Unseen]:
    """Find pixel data inside sequences, such as icons."""
    for tag in list(dataset.keys()):
        if dataset.get_item(tag, keep_deferred=True).VR not in {"SQ", "UN"}:
            continue
        try:
            element = dataset[tag]
        except Exception:  # noqa: BLE001, S112  (reading text has told of it already)
            continue
        if element.VR != "SQ":
            continue
        for number, item in enumerate(element.value, 1):
            where = f"{path}({tag >> 16:04X},{tag & 0xFFFF:04X})[{number}]/"
            if _PIXEL_DATA in item:
                yield from _guarded(f"{where}pixels", _icon(item, dataset, f"{where}pixels"))
            yield from _nested(item, where)


def _icon(item: Dataset, around: Dataset, where: str) -> Iterator[Picture]:
    """Decode an icon in the encoding around it; it may be native in a compressed object."""
    syntax = UID(around.file_meta.TransferSyntaxUID)
    if syntax.is_compressed and not item["PixelData"].is_undefined_length:
        syntax = ExplicitVRLittleEndian
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = syntax
    try:
        frame = item.pixel_array
    finally:
        del item.file_meta
    if item.get("PhotometricInterpretation") == "PALETTE COLOR":
        frame = apply_color_lut(frame, item)
    yield Picture(where, renderings(frame))


def renderings(frame: NDArray[Any]) -> tuple[Image, ...]:
    """Render a frame, (y, x) or (y, x, 3), with its whole range of values, and inverted."""
    values = frame.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    scaled = ((values - low) * (255.0 / max(high - low, 1e-6))).astype(np.uint8)
    if scaled.ndim == 2:
        scaled = np.repeat(scaled[:, :, np.newaxis], 3, axis=2)
    if max(scaled.shape[:2]) < _SMALL:
        scaled = scaled.repeat(2, axis=0).repeat(2, axis=1)
    inverted: Image = 255 - scaled
    return (scaled, inverted)
