"""Draw findings into an image: thin outlines, boxes, points, a heat map, and a legend below.

Pure: an image and findings in, an RGB array out. No patient's data is drawn unless it stands in
the image or in the legend that is given. The colours are those of Okabe and Ito, which people with
any of the common colour vision deficiencies tell apart.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ai.contract import Code
from ai.finding import Box, Finding, Heatmap, Mask, Point
from ai.picture_legend import Colour, Row, strip
from dicom.ucum import behind

COLOURS: Final[tuple[Colour, ...]] = (
    (86, 180, 233),
    (230, 159, 0),
    (240, 228, 66),
    (226, 138, 186),
    (222, 98, 20),
    (40, 188, 142),
)
"""Sky blue, orange, yellow, pink, vermilion, green; some lighter than theirs, for dark images."""

_LEAST_SIZE: Final = 512
"""A smaller image is enlarged by a whole number, so that lines and words stay thin on it."""
_HEAT: Final = np.array(
    [(13, 8, 60), (90, 24, 120), (172, 48, 106), (232, 96, 60), (250, 164, 36), (255, 226, 92)],
    dtype=np.float32,
)
"""From low to high: lightness grows evenly, so that it reads in grey too."""
_HEAT_OPACITY: Final = 0.6
_BLOCK: Final = 8
"""A value that covers so many rows is shown as a block: nothing is known in between."""
_HALO: Final = 0.6
"""What is left of the image's brightness right beside a line."""
_SPRITE: Final = 4
"""Points are drawn so many times too large and then made smaller: round, not jagged."""


def draw(
    image: npt.NDArray[Any],
    findings: Sequence[Finding],
    index: int,
    window: tuple[float, float] | None = None,
    legend: Sequence[str] = (),
    *,
    shape: tuple[int, int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw what was found on image `index` of the source into that image.

    `image` holds values (y, x), shown from black to white over `window` (low, high), or over nearly
    all that it holds without one; or colours (y, x, 3). `shape` says how many rows and columns the
    source's image has, where `image` is a smaller copy of it. `legend` is a line of text each.
    Gives RGB (y, x, 3): a small image is enlarged, and the legend's strip adds rows below.
    """
    grey = _bytes(image, window)
    factor = max(1, -(-_LEAST_SIZE // max(grey.shape[:2])))
    size = (grey.shape[1] * factor, grey.shape[0] * factor)
    base = Image.fromarray(grey).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    canvas = np.array(base)
    rows, columns = shape or image.shape[:2]
    scene = _Scene(index, size, (size[1] / rows, size[0] / columns), max(1, round(max(size) / 700)))
    entries = list(scene.paint(canvas, findings))
    entries += [Row(text) for text in legend]
    return np.concatenate([canvas, strip(entries, size[0], max(size))]) if entries else canvas


def _bytes(image: npt.NDArray[Any], window: tuple[float, float] | None) -> npt.NDArray[np.uint8]:
    if image.ndim == 3 and image.dtype == np.uint8:
        return np.ascontiguousarray(image[:, :, :3])
    values = np.nan_to_num(image.astype(np.float32))
    low, high = window or (float(np.percentile(values, 0.5)), float(np.percentile(values, 99.5)))
    shown = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    levels: npt.NDArray[np.float32] = np.rint(255 * (shown[..., :3] if image.ndim == 3 else shown))
    return levels.astype(np.uint8)


def _stretched(array: npt.NDArray[Any], size: tuple[int, int], how: Image.Resampling) -> Any:
    return np.asarray(Image.fromarray(np.ascontiguousarray(array)).resize(size, how))


def _heated(share: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    at = np.clip(share, 0, 1) * (len(_HEAT) - 1)
    lower = np.minimum(at.astype(np.intp), len(_HEAT) - 2)
    part = (at - lower)[..., None]
    blended: npt.NDArray[np.float32] = _HEAT[lower] * (1 - part) + _HEAT[lower + 1] * part
    return blended


def _colours(findings: Sequence[Finding]) -> Mapping[Code, Colour]:
    """Give each name that is drawn its colour: the same on every image of a Series."""
    names: dict[Code, None] = {}
    for finding in findings:
        if isinstance(finding, Mask):
            names.update(dict.fromkeys(segment.name for segment in finding.segments))
        elif isinstance(finding, Box | Point):
            names[finding.name] = None
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class _Scene:
    """Where things go: which image it is, and how its pixels become those of the canvas."""

    index: int
    size: tuple[int, int]
    """Columns and rows of the canvas."""
    scale: tuple[float, float]
    """Canvas pixels for each row and each column of the source's image."""
    line: int

    def paint(self, canvas: npt.NDArray[np.uint8], findings: Sequence[Finding]) -> Iterator[Row]:
        """Paint the findings in place: heat maps below, then outlines, boxes and points."""
        colours = _colours(findings)
        for finding in findings:
            if isinstance(finding, Heatmap) and self.index < len(finding.values):
                yield self._heat(canvas, finding)
        scores: dict[Code, list[float]] = {}
        for finding in findings:
            if isinstance(finding, Mask) and self.index < len(finding.labels):
                scores.update((name, []) for name in self._outlines(canvas, finding, colours))
            elif isinstance(finding, Box | Point) and finding.image == self.index:
                scores.setdefault(finding.name, []).append(finding.score)
                if isinstance(finding, Box):
                    self._box(canvas, finding, colours[finding.name])
                else:
                    self._point(canvas, finding, colours[finding.name])
        for name, found in scores.items():
            yield Row(name.meaning + _counted(found), colours[name])

    def _heat(self, canvas: npt.NDArray[np.uint8], heat: Heatmap) -> Row:
        low = min(float(np.min(values)) for values in heat.values)
        high = max(float(np.max(values)) for values in heat.values)
        values = heat.values[self.index]
        is_block = self.size[1] >= _BLOCK * values.shape[0]
        how = Image.Resampling.NEAREST if is_block else Image.Resampling.BILINEAR
        shown = _stretched(values, self.size, how)
        share = np.clip((shown - low) / max(high - low, 1e-9), 0, 1)
        opacity = (_HEAT_OPACITY * np.sqrt(share))[..., None]
        canvas[:] = (canvas * (1 - opacity) + _heated(share) * opacity).round().astype(np.uint8)
        unit = behind(heat.unit.value) if heat.unit else ""
        bar = _heated(np.linspace(0, 1, 64, dtype=np.float32)[None]).astype(np.uint8)
        tiny = 1e-3 * (high - low)
        ends = (f"{0 if abs(end) < tiny else end:.3g}" for end in (low, high))
        return Row(f"{heat.title.meaning}  {' to '.join(ends)}{unit}", bar=bar)

    def _outlines(
        self, canvas: npt.NDArray[np.uint8], mask: Mask, colours: Mapping[Code, Colour]
    ) -> Iterator[Code]:
        labels = _stretched(mask.labels[self.index], self.size, Image.Resampling.NEAREST)
        for number, segment in enumerate(mask.segments, start=1):
            inside = labels == number
            if not inside.any():
                continue
            self._stroke(canvas, inside & ~_shrunk(inside, self.line), colours[segment.name])
            yield segment.name

    def _stroke(
        self, canvas: npt.NDArray[np.uint8], edge: npt.NDArray[np.bool_], colour: Colour
    ) -> None:
        beside = ~edge & ~_shrunk(~edge, self.line, outside=True)
        canvas[beside] = (canvas[beside] * _HALO).astype(np.uint8)
        canvas[edge] = colour

    def _box(self, canvas: npt.NDArray[np.uint8], box: Box, colour: Colour) -> None:
        rows, columns = (
            (round(low * scale), max(round(high * scale), round(low * scale) + 1))
            for low, high, scale in (
                (box.top, box.bottom, self.scale[0]),
                (box.left, box.right, self.scale[1]),
            )
        )
        inside = np.zeros(canvas.shape[:2], dtype=np.bool_)
        inside[max(0, rows[0]) : rows[1], max(0, columns[0]) : columns[1]] = True
        room = 2 * self.line  # only what is near: there may be many boxes on a large image
        near = np.s_[
            max(0, rows[0] - room) : rows[1] + room, max(0, columns[0] - room) : columns[1] + room
        ]
        self._stroke(canvas[near], inside[near] & ~_shrunk(inside[near], self.line), colour)

    def _point(self, canvas: npt.NDArray[np.uint8], point: Point, colour: Colour) -> None:
        """Draw a ring with the place free in its middle."""
        radius = 6 * self.line + 2
        side = 2 * radius + 1
        sprite = Image.new("RGBA", (side * _SPRITE, side * _SPRITE))
        pen = ImageDraw.Draw(sprite)
        edge, width = _SPRITE, (self.line + 1) * _SPRITE
        far = side * _SPRITE - 1
        pen.ellipse((0, 0, far, far), outline=(0, 0, 0, 170), width=width + 2 * edge)
        pen.ellipse((edge, edge, far - edge, far - edge), outline=(*colour, 255), width=width)
        small = sprite.resize((side, side), Image.Resampling.BOX)
        left = round(point.column * self.scale[1] - 0.5) - radius
        top = round(point.row * self.scale[0] - 0.5) - radius
        near = np.s_[max(0, top) : top + side, max(0, left) : left + side]
        picture = Image.fromarray(np.ascontiguousarray(canvas[near]))
        picture.paste(small, (min(0, left), min(0, top)), small)
        canvas[near] = np.asarray(picture)


def _counted(scores: Sequence[float]) -> str:
    """Say how many there are on the image, and the best one's score."""
    if not scores:
        return ""
    best = f"{max(scores):.2f}"
    return f"  {best}" if len(scores) == 1 else f"  {len(scores)}, best {best}"


def _shrunk(
    inside: npt.NDArray[np.bool_], pixels: int, *, outside: bool = False
) -> npt.NDArray[np.bool_]:
    """Take `pixels` off every border of a region; `outside` is what lies past the image's edge."""
    for _ in range(pixels):
        wide = np.pad(inside, 1, constant_values=outside)
        inside = inside & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inside


def png(picture: npt.NDArray[np.uint8]) -> bytes:
    """Encode RGB (y, x, 3) as PNG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", optimize=True)
    return stream.getvalue()
