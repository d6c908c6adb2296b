"""Draw a report's answer as SVG: columns over time, bars for names, lines.

The colours are classes of the style sheet, so that a drawing is fit for light and dark. Whoever
cannot see it has the table below it; the drawing says what it shows in words.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.web.pages.html import Markup, tag, together
from storage.index.saved import Plot

WIDTH: Final = 960
HEIGHT: Final = 270
COLOURS: Final = 8
MOST_PLACES: Final = 120
"""Places along an axis; of more, the last."""
MOST_BARS: Final = 24
"""Of names, the largest."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 34
_ROW: Final = 26
_NAMES: Final = 220
_TICKS: Final = 4
_MOST_LABELS: Final = 8
_MOST_LETTERS: Final = 30

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class _Data:
    """What is drawn: places along the axis, groups that are told apart, and a value of each."""

    places: list[str]
    groups: list[str]
    values: Mapping[tuple[str, str], float]
    is_time: bool

    def sums(self) -> dict[str, float]:
        return {
            place: sum(self.values.get((place, group), 0.0) for group in self.groups)
            for place in self.places
        }


def draw(plot: Plot, title: str, columns: Mapping[str, str], rows: Sequence[Row]) -> Markup:
    """Draw rows as a report wants it; nothing where there is nothing to draw.

    `columns` maps the names of the columns to DuckDB's types, in their order.
    """
    data = _data(plot, columns, rows)
    if data is None or not data.values:
        return Markup()
    if plot.kind == "lines":
        drawn, height = _lines(data), HEIGHT
    elif data.is_time:
        drawn, height = _columns(data), HEIGHT
    else:
        drawn, height = _bars(data)
    words = f"{title}: {plot.y} by {plot.x}" + (f" and {plot.by}" if plot.by else "")
    return tag(
        "figure",
        tag(
            "svg", tag("title", words), drawn,
            viewBox=f"0 0 {WIDTH} {height}", role="img", class_="chart",
        ),
        _legend(data.groups) if plot.by else None,
        tag("figcaption", f"{plot.y} by {plot.x}"),
    )  # fmt: skip


def _data(plot: Plot, columns: Mapping[str, str], rows: Sequence[Row]) -> _Data | None:
    names = list(columns)
    if plot.x not in columns or plot.y not in columns or (plot.by and plot.by not in columns):
        return None
    x, y = names.index(plot.x), names.index(plot.y)
    by = names.index(plot.by) if plot.by else None
    join = _last if plot.kind == "lines" else _sum
    values: dict[tuple[str, str], float] = {}
    for row in rows:
        value = _number(row[y])
        if value is not None:
            key = _text(row[x]), "" if by is None else _text(row[by])
            values[key] = join(values.get(key), value)
    is_time = columns[plot.x].startswith(("TIMESTAMP", "DATE"))
    places = list(dict.fromkeys(place for place, _ in values))
    if is_time:
        places = sorted(places)[-MOST_PLACES:]
    groups = sorted(dict.fromkeys(group for _, group in values))
    return _Data(places, groups, values, is_time)


def _sum(known: float | None, value: float) -> float:
    return (known or 0.0) + value


def _last(_known: float | None, value: float) -> float:
    return value


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str:
    return "" if value is None else str(value)


def nice_top(highest: float) -> float:
    """Give a round number that is not below the highest value, for the end of an axis."""
    if highest <= 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(highest))
    return next(step * one for one in (1, 2, 2.5, 5, 10) if step * one >= highest * 0.999999)


def short(value: float) -> str:
    """Write a number for an axis: 1.2 M."""
    for size, sign in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{sign}"
    return f"{value:.4g}"


def _axis(top: float) -> Markup:
    """Draw the lines of the values' axis, at its left their numbers."""
    lines = []
    for tick in range(_TICKS + 1):
        value = top * tick / _TICKS
        at = _y(value, top)
        lines.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="grid"))
        lines.append(tag("text", short(value), x=_LEFT - 8, y=at + 4, text_anchor="end"))
    return together(lines)


def _y(value: float, top: float) -> float:
    room = HEIGHT - _TOP - _BOTTOM
    return round(_TOP + room * (1 - value / top), 1)


def _place_labels(places: Sequence[str], at: Callable[[int], float]) -> Markup:
    every = max(1, math.ceil(len(places) / _MOST_LABELS))
    edge = WIDTH - _LEFT
    return together(
        tag("text", moment(place), x=round(at(number), 1), y=HEIGHT - 12,
            text_anchor="middle" if at(number) < edge else "end")
        for number, place in enumerate(places)
        if number % every == 0
    )  # fmt: skip


def moment(place: str) -> str:
    """Write a time for an axis: without its year, and without an hour that is midnight."""
    date, _, clock = place.partition("T")
    shown = date[5:] if len(date) == len("2026-01-31") else date
    return f"{shown} {clock[:5]}" if clock and not clock.startswith("00:00") else shown


def _columns(data: _Data) -> Markup:
    top = nice_top(max(data.sums().values()))
    slot = (WIDTH - _LEFT - _RIGHT) / len(data.places)
    wide = max(1.0, min(48.0, slot * 0.8))
    drawn = [_axis(top)]
    for number, place in enumerate(data.places):
        left, below = _LEFT + slot * number + (slot - wide) / 2, 0.0
        for colour, group in enumerate(data.groups):
            value = max(0.0, data.values.get((place, group), 0.0))
            if value:
                high, low = _y(below + value, top), _y(below, top)
                told = tag("title", f"{moment(place)} {group}: {short(value)}")
                drawn.append(
                    tag("rect", told, x=round(left, 1), y=high, width=round(wide, 1),
                        height=round(low - high, 1), class_=_colour(colour))
                )  # fmt: skip
                below += value
    labels = _place_labels(data.places, lambda number: _LEFT + slot * (number + 0.5))
    return together(drawn, labels)


def _lines(data: _Data) -> Markup:
    top = nice_top(max(data.values.values()))
    room = WIDTH - _LEFT - _RIGHT
    step = room / max(1, len(data.places) - 1)

    def at(number: int) -> float:
        return _LEFT + (step * number if len(data.places) > 1 else room / 2)

    drawn = [_axis(top)]
    for colour, group in enumerate(data.groups):
        points = [
            (round(at(number), 1), _y(max(0.0, data.values[place, group]), top))
            for number, place in enumerate(data.places)
            if (place, group) in data.values
        ]
        path = " ".join(f"{x},{y}" for x, y in points)
        drawn.append(tag("polyline", points=path, class_=f"line {_colour(colour)}"))
        drawn += [
            tag("circle", tag("title", group), cx=x, cy=y, r=3, class_=_colour(colour))
            for x, y in points
        ]
    return together(drawn, _place_labels(data.places, at))


def _bars(data: _Data) -> tuple[Markup, int]:
    sums = data.sums()
    shown = data.places
    if len(shown) > MOST_BARS:
        shown = sorted(shown, key=lambda place: -sums[place])[:MOST_BARS]
    top = nice_top(max(sums.values()))
    room = WIDTH - _NAMES - 90
    drawn: list[Markup] = []
    for number, place in enumerate(shown):
        above, left = _TOP + _ROW * number, float(_NAMES)
        name = place if len(place) <= _MOST_LETTERS else f"{place[: _MOST_LETTERS - 1]}…"
        label = tag("text", name or "-", x=_NAMES - 10, y=above + 15, text_anchor="end")
        drawn.append(label)
        for colour, group in enumerate(data.groups):
            value = max(0.0, data.values.get((place, group), 0.0))
            if value:
                wide = max(1.0, room * value / top)
                told = tag("title", f"{place} {group}: {short(value)}")
                drawn.append(
                    tag("rect", told, x=round(left, 1), y=above + 2, width=round(wide, 1),
                        height=_ROW - 8, class_=_colour(colour))
                )  # fmt: skip
                left += wide
        drawn.append(tag("text", short(sums[place]), x=round(left + 8, 1), y=above + 15))
    return together(drawn), _TOP + _ROW * len(shown) + 6


def _colour(number: int) -> str:
    return f"s{number % COLOURS}"


def _legend(groups: Sequence[str]) -> Markup:
    return tag(
        "ul",
        (
            tag("li", tag("span", class_=f"swatch {_colour(number)}"), group or "-")
            for number, group in enumerate(groups)
        ),
        class_="legend",
    )
