"""The strip below a picture that says what its colours mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

_PAPER: Final[Colour] = (24, 26, 30)
_INK: Final[Colour] = (228, 230, 234)
_RULE: Final[Colour] = (70, 74, 82)
_MOST_LINES: Final = 14


@dataclass(frozen=True, slots=True)
class Row:
    """One entry: a swatch or a bar of colours, and words."""

    text: str
    swatch: Colour | None = None
    bar: npt.NDArray[np.uint8] | None = None
    """Colours (1, x, 3) from low to high."""


def strip(rows: Sequence[Row], width: int, picture_size: int) -> npt.NDArray[np.uint8]:
    """Set the rows below each other; RGB (y, width, 3). Text that is too long is broken."""
    height = max(12, round(picture_size / 42))
    font = ImageFont.load_default(height)
    step, margin = round(height * 1.45), round(height * 0.7)
    lines = list(_lines(rows, font, width - 2 * margin, height))
    if len(lines) > _MOST_LINES:
        more = f"and {len(lines) - _MOST_LINES + 1} more lines"
        lines = [*lines[: _MOST_LINES - 1], Row(more)]
    paper = Image.new("RGB", (width, step * len(lines) + 2 * margin - (step - height)), _PAPER)
    pen = ImageDraw.Draw(paper)
    pen.line((0, 0, width, 0), fill=_RULE)
    for number, row in enumerate(lines):
        top = margin + number * step
        indent = _mark(paper, pen, row, (margin, top), height)
        pen.text((margin + indent, top + height // 2), row.text, _INK, font, anchor="lm")
    return np.array(paper)


def _mark(
    paper: Image.Image, pen: ImageDraw.ImageDraw, row: Row, at: tuple[int, int], height: int
) -> int:
    """Draw a row's swatch or bar; give how far its words are moved to the right."""
    left, top = at
    inset = max(1, height // 8)
    if row.swatch is not None:
        pen.rectangle((left, top + inset, left + height, top + height - inset), fill=row.swatch)
    elif row.bar is not None:
        size = (_indent(row, height) - height // 2, height - 2 * inset)
        paper.paste(Image.fromarray(row.bar).resize(size), (left, top + inset))
    return _indent(row, height)


def _indent(row: Row, height: int) -> int:
    if row.bar is not None:
        return height * 5
    return round(height * 1.6) if row.swatch is not None else 0


def _lines(rows: Sequence[Row], font: Any, width: int, height: int) -> Iterator[Row]:
    for row in rows:
        room = width - _indent(row, height)
        words = _printable(row.text).split(" ")
        line = words[0]
        mark = row
        for word in words[1:]:
            if font.getlength(f"{line} {word}") > room:
                yield Row(line, mark.swatch, mark.bar)
                line, mark, room = word, Row(""), width
            else:
                line = f"{line} {word}"
        yield Row(line, mark.swatch, mark.bar)


def _printable(text: str) -> str:
    return "".join(sign for sign in text if sign.isprintable())
