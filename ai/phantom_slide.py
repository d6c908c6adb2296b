"""Write a pathology phantom: a whole-slide image with blue and brown nuclei, counted exactly.

Round nuclei on light tissue, white glass around it. Haematoxylin is blue, DAB (the label) brown;
both absorb light as Beer and Lambert say, so that colour deconvolution finds them. The truth is
counted from the pixels that are written. Same arguments, same bytes.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite

from ai import phantom_slide_header as header
from ai.phantom import Patient
from ai.phantom_slide_header import Coding, Level, Making
from dicom.uid import derive

PATIENT: Final = Patient()
PIXEL_MM: Final = 0.0005
"""Between pixels of the finest level: an objective of 20 times."""
CELL_PIXELS: Final = 26
"""Each square of this size in the tissue holds one nucleus."""
RADIUS_PIXELS: Final = (6.0, 9.0)
HAEMATOXYLIN: Final = (0.650, 0.704, 0.286)
DAB: Final = (0.268, 0.570, 0.776)
"""How the stains absorb red, green and blue (Ruifrok and Johnston 2001)."""
_GLASS: Final = 245
_TISSUE_STAIN: Final = 0.06
_NUCLEUS_STAIN: Final = 0.75

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Truth:
    """What a slide holds, counted from its finest level."""

    labelled_area_percent: float
    """The labelling index by area: brown pixels among those of all nuclei."""
    labelled_count_percent: float
    """The labelling index by number of nuclei."""
    nuclei: int
    labelled_nuclei: int
    tissue_share: float
    """Of the whole image."""
    tile_nuclear_pixels: npt.NDArray[np.int64]
    """By tile (row, column) of the finest level."""
    tile_labelled_pixels: npt.NDArray[np.int64]
    """The brown ones among them."""
    tile_tissue_pixels: npt.NDArray[np.int64]
    """Pixels that are no glass."""
    files: tuple[Path, ...]
    """One object for each level, finest first, then the label image if there is one."""
    study_instance_uid: str
    series_instance_uid: str
    identity: tuple[str, ...]
    """The patient's values and the phantom's UIDs."""


@dataclass(frozen=True, slots=True)
class _Slide:
    """A drawn slide: (y, x) masks and (y, x, 3) colours."""

    pixels: Pixels
    tissue: npt.NDArray[np.bool_]
    nuclear: npt.NDArray[np.bool_]
    labelled: npt.NDArray[np.bool_]
    nuclei: int
    labelled_nuclei: int


def write(
    folder: Path,
    *,
    labelled_share: float,
    size: int = 2048,
    tile: int = 256,
    levels: int = 1,
    coding: str = "native",
    is_sparse: bool = False,
    with_label: bool = False,
    patient: Patient = PATIENT,
    label: str = "1",
) -> Truth:
    """Write a slide of size x size pixels into `folder` as 1.dcm and on, and return its truth.

    `labelled_share` is the share (0 to 1) of nuclei that are brown. Each further level has half
    the pixels of the last on each side. `coding` is "native", "jpeg" (lossy, so that colours move a
    little) or "jpeg2000" (lossless). `is_sparse` leaves tiles without tissue out and states where
    each tile lies. `with_label` adds an image of the slide's paper label. Another `label` gives
    other UIDs and other nuclei. Memory: the finest level a few times.
    """
    folder.mkdir(parents=True, exist_ok=True)
    slide = _draw(size, labelled_share, label)
    how = Coding(coding)
    made = Making(patient, label, how, is_sparse)
    files = []
    pixels, tissue = slide.pixels, slide.tissue
    for number in range(levels):
        level = Level(number, len(pixels), tile, PIXEL_MM * size / len(pixels))
        files.append(_write(folder, made, level, pixels, tissue))
        pixels = _halved(pixels)
        tissue = tissue[::2, ::2] | tissue[1::2, ::2] | tissue[::2, 1::2] | tissue[1::2, 1::2]
    if with_label:
        paper = np.full((tile, tile, 3), 250, np.uint8)
        paper[tile // 3 : tile // 2, tile // 8 : -tile // 8] = 30
        level = Level(levels, tile, tile, PIXEL_MM * 16, "LABEL")
        files.append(_write(folder, made, level, paper, np.ones((tile, tile), bool)))
    return _truth(slide, tile, tuple(files), made)


def _draw(size: int, labelled_share: float, label: str) -> _Slide:
    chance = np.random.default_rng([int(digit) for digit in derive("slide", label)[5:]])
    cells = size // CELL_PIXELS + 1
    radius = chance.uniform(*RADIUS_PIXELS, (cells, cells)).astype(np.float32)
    room = CELL_PIXELS / 2 - radius - 0.5
    corner = np.arange(cells, dtype=np.float32) * CELL_PIXELS + CELL_PIXELS / 2
    middle_y = corner[:, np.newaxis] + chance.uniform(-1, 1, radius.shape) * room
    middle_x = corner[np.newaxis, :] + chance.uniform(-1, 1, radius.shape) * room
    holds = _is_tissue(middle_y / size, middle_x / size, 0.97)
    holds &= np.maximum(middle_y, middle_x) < size - RADIUS_PIXELS[1]
    count = int(holds.sum())
    brown = np.zeros(count, bool)
    brown[: round(labelled_share * count)] = True
    is_brown = np.zeros(holds.shape, bool)
    is_brown[holds] = chance.permutation(brown)

    y = np.arange(size, dtype=np.float32)[:, np.newaxis] + np.float32(0.5)
    x = y.T
    cell = np.arange(size) // CELL_PIXELS
    of = np.ix_(cell, cell)
    away = (y - middle_y.astype(np.float32)[of]) ** 2 + (x - middle_x.astype(np.float32)[of]) ** 2
    nuclear = (away <= radius[of] ** 2) & holds[of]
    labelled = nuclear & is_brown[of]
    tissue = _is_tissue(y / size, x / size, 1.0) | nuclear
    noise = chance.integers(-3, 4, (size, size), dtype=np.int16)
    pixels = _coloured(tissue, nuclear, labelled, noise)
    return _Slide(pixels, tissue, nuclear, labelled, count, int(brown.sum()))


def _is_tissue(y: Any, x: Any, reach: float) -> npt.NDArray[np.bool_]:
    """Whether places, as shares of the slide, lie in the tissue: an ellipse to the upper left."""
    inside: npt.NDArray[np.bool_] = ((y - 0.45) / 0.38) ** 2 + ((x - 0.48) / 0.42) ** 2 <= reach
    return inside


def _coloured(
    tissue: npt.NDArray[np.bool_],
    nuclear: npt.NDArray[np.bool_],
    labelled: npt.NDArray[np.bool_],
    noise: npt.NDArray[np.int16],
) -> Pixels:
    kinds = np.zeros(tissue.shape, np.uint8)
    kinds[tissue], kinds[nuclear], kinds[labelled] = 1, 2, 3
    stains = np.array(
        [[0, 0], [_TISSUE_STAIN, 0], [_NUCLEUS_STAIN, 0], [0.08, _NUCLEUS_STAIN]], np.float64
    )
    absorbed = stains @ np.array([HAEMATOXYLIN, DAB])
    colours = np.rint(_GLASS * 10**-absorbed).astype(np.int16)
    pixels: npt.NDArray[np.int16] = colours[kinds]
    pixels += noise[..., np.newaxis]
    clipped: Pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return clipped


def _halved(pixels: Pixels) -> Pixels:
    rows, columns = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    four = pixels[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2, 3)
    halved: Pixels = np.rint(four.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
    return halved


def _write(
    folder: Path, made: Making, level: Level, pixels: Pixels, tissue: npt.NDArray[np.bool_]
) -> Path:
    is_sparse = made.is_sparse and not level.flavour
    places = [
        (row, column)
        for row in range(0, level.size, level.tile)
        for column in range(0, level.size, level.tile)
        if not is_sparse or tissue[row : row + level.tile, column : column + level.tile].any()
    ]
    frames = [_encoded(tile, made.coding) for tile in _tiles(pixels, places, level.tile)]
    ds = header.dataset(made, level, places)
    if made.coding is Coding.NATIVE:
        ds.PixelData = b"".join(frames)
    else:
        ds.PixelData = encapsulate(frames)
        ds["PixelData"].VR = "OB"
    path = folder / f"{level.number + 1}.dcm"
    with path.open("wb") as file:
        dcmwrite(file, ds, enforce_file_format=True)
    return path


def _tiles(pixels: Pixels, places: Sequence[tuple[int, int]], tile: int) -> Iterator[Pixels]:
    """Yield whole tiles; what lies beyond the slide is glass."""
    for row, column in places:
        out = np.full((tile, tile, 3), _GLASS, np.uint8)
        part = pixels[row : row + tile, column : column + tile]
        out[: part.shape[0], : part.shape[1]] = part
        yield out


def _encoded(tile: Pixels, coding: Coding) -> bytes:
    if coding is Coding.NATIVE:
        return tile.tobytes()
    out = io.BytesIO()
    picture = Image.fromarray(tile)
    if coding is Coding.JPEG:
        picture.save(out, "JPEG", quality=90, subsampling="4:2:2")
    else:
        picture.save(out, "JPEG2000", irreversible=False, no_jp2=True, mct=0)
    return out.getvalue()


def _truth(slide: _Slide, tile: int, files: tuple[Path, ...], made: Making) -> Truth:
    nuclear, labelled = int(slide.nuclear.sum()), int(slide.labelled.sum())
    if not nuclear:
        raise ValueError("the slide is too small to hold nuclei; give it a greater size")
    uids = header.uids(made.label)
    return Truth(
        labelled_area_percent=100 * labelled / nuclear,
        labelled_count_percent=100 * slide.labelled_nuclei / slide.nuclei,
        nuclei=slide.nuclei,
        labelled_nuclei=slide.labelled_nuclei,
        tissue_share=float(slide.tissue.mean()),
        tile_nuclear_pixels=_by_tile(slide.nuclear, tile),
        tile_labelled_pixels=_by_tile(slide.labelled, tile),
        tile_tissue_pixels=_by_tile(slide.tissue, tile),
        files=files,
        study_instance_uid=uids["study"],
        series_instance_uid=uids["series"],
        identity=(*made.patient.strings, *uids.values()),
    )


def _by_tile(mask: npt.NDArray[np.bool_], tile: int) -> npt.NDArray[np.int64]:
    begins = np.arange(0, len(mask), tile)
    rows = np.add.reduceat(mask, begins, axis=0, dtype=np.int64)
    counts: npt.NDArray[np.int64] = np.add.reduceat(rows, begins, axis=1, dtype=np.int64)
    return counts
