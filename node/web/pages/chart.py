"""Draw a report's answer as SVG: columns over time, bars for names, lines.

Time is to scale: where nothing was, nothing is drawn. There is a drawing for wide pages and one
for narrow ones, of which the style sheet shows one, so that its words can be read on both.
The colours are classes of the style sheet, so that a drawing is fit for light and dark. Whoever
cannot see it has the table below it; the drawing says what it shows in words.
"""

import datetime as dt
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.web.pages.html import Markup, tag, together
from storage.index.saved import Plot

HEIGHT: Final = 270
COLOURS: Final = 8
MOST_PLACES: Final = 1500
"""Places along an axis of time, also empty ones; of more, the last."""
MOST_BARS: Final = 24
"""Of names, the largest."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 12, 34
_ROW: Final = 26
_AFTER: Final = 70
"""Room behind the longest bar for its number."""
_TICKS: Final = 4
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a drawing, and how much it can say."""

    name: str
    """Its class in the style sheet."""
    width: int
    labels: int
    """So many along an axis of time."""
    names: int
    """Room for the names of bars."""
    letters: int
    """Of a name."""

    @property
    def room(self) -> int:
        """Between the axis and the right edge."""
        return self.width - _LEFT - _RIGHT


FRAMES: Final = (Frame("wide", 960, 8, 220, 30), Frame("narrow", 380, 3, 156, 23))

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class _Times:
    """An axis of time: where it begins, and how many steps of what length it has."""

    first: dt.datetime
    step_s: float
    steps: int

    def at(self, place: str) -> float:
        """Give the steps from the beginning to a moment."""
        return (dt.datetime.fromisoformat(place) - self.first).total_seconds() / self.step_s

    def label(self, step: int) -> str:
        """Write the moment of a step."""
        return moment((self.first + dt.timedelta(seconds=self.step_s * step)).isoformat())


@dataclass(frozen=True, slots=True)
class _Data:
    """What is drawn: places along the axis, groups that are told apart, and a value of each."""

    places: list[str]
    groups: list[str]
    values: Mapping[tuple[str, str], float]
    times: _Times | None

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
    if data is None or not data.places:
        return Markup()
    words = f"{title}: {plot.y} by {plot.x}" + (f" and {plot.by}" if plot.by else "")
    return tag(
        "figure",
        (_drawing(plot, data, words, frame) for frame in FRAMES),
        _legend(data.groups) if plot.by else None,
        tag("figcaption", f"{plot.y} by {plot.x}"),
    )


def _drawing(plot: Plot, data: _Data, words: str, frame: Frame) -> Markup:
    if data.times is None:
        drawn, height = _bars(data, frame)
    else:
        make = _lines if plot.kind == "lines" else _columns
        drawn, height = make(data, data.times, frame), HEIGHT
    return tag(
        "svg", tag("title", words), drawn,
        viewBox=f"0 0 {frame.width} {height}", role="img", class_=f"chart {frame.name}",
    )  # fmt: skip


def _data(plot: Plot, columns: Mapping[str, str], rows: Sequence[Row]) -> _Data | None:
    names = list(columns)
    if plot.x not in columns or plot.y not in columns or (plot.by and plot.by not in columns):
        return None
    x, y = names.index(plot.x), names.index(plot.y)
    by = names.index(plot.by) if plot.by else None
    is_time = columns[plot.x].startswith(("TIMESTAMP", "DATE"))
    join = _last if plot.kind == "lines" else _sum
    values: dict[tuple[str, str], float] = {}
    for row in rows:
        value = _number(row[y])
        place = _moment(row[x]) if is_time else _text(row[x])
        if value is not None and place is not None:
            key = place, "" if by is None else _text(row[by])
            values[key] = join(values.get(key), value)
    places = list(dict.fromkeys(place for place, _ in values))
    groups = sorted({group for _, group in values})
    if not is_time or not places:
        return _Data(places, groups, values, None)
    places.sort()
    times = _times(places)
    return _Data([one for one in places if times.at(one) >= 0], groups, values, times)


def _times(places: Sequence[str]) -> _Times:
    """Lay an axis through moments in their order: its step is the shortest way between two."""
    moments = [dt.datetime.fromisoformat(place) for place in places]
    apart = (later - one for one, later in itertools.pairwise(moments))
    step_s = min((each.total_seconds() for each in apart), default=_HOUR_S)
    steps = round((moments[-1] - moments[0]).total_seconds() / step_s) + 1
    if steps <= MOST_PLACES:
        return _Times(moments[0], step_s, steps)
    begun = moments[-1] - dt.timedelta(seconds=step_s * (MOST_PLACES - 1))
    return _Times(begun, step_s, MOST_PLACES)


def _moment(value: object) -> str | None:
    """Write a moment always in one way, so that texts have its order; None for what is none."""
    try:
        return dt.datetime.fromisoformat(_text(value)).replace(tzinfo=None).isoformat()
    except ValueError:
        return None


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
    if highest <= _TICKS and highest == int(highest):  # a few things, which have no quarters
        return float(_TICKS)
    step = 10.0 ** math.floor(math.log10(highest))
    return next(step * one for one in (1, 1.2, 2, 4, 6, 8, 10) if step * one >= highest * 0.999999)


def short(value: float) -> str:
    """Write a number for an axis: 1.2 M."""
    for size, sign in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{sign}"
    return f"{value:.4g}"


def _axis(top: float, frame: Frame) -> Markup:
    """Draw the lines of the values' axis, at its left their numbers."""
    lines = []
    for tick in range(_TICKS + 1):
        value = top * tick / _TICKS
        at = _y(value, top)
        lines.append(tag("line", x1=_LEFT, x2=frame.width - _RIGHT, y1=at, y2=at, class_="grid"))
        lines.append(tag("text", short(value), x=_LEFT - 8, y=at + 4, text_anchor="end"))
    return together(lines)


def _y(value: float, top: float) -> float:
    room = HEIGHT - _TOP - _BOTTOM
    return round(_TOP + room * (1 - value / top), 1)


def _labels(times: _Times, frame: Frame, at: Callable[[float], float]) -> Markup:
    every = max(1, math.ceil(times.steps / frame.labels))
    return together(
        tag("text", times.label(step), x=round(at(step), 1), y=HEIGHT - 12, text_anchor="middle")
        for step in range(0, times.steps, every)
        if at(step) <= frame.width - _LEFT
    )


def moment(place: str) -> str:
    """Write a time for an axis: without its year, and without an hour that is midnight."""
    date, _, clock = place.partition("T")
    shown = date[5:] if len(date) == len("2026-01-31") else date
    return f"{shown} {clock[:5]}" if clock and not clock.startswith("00:00") else shown


def _columns(data: _Data, times: _Times, frame: Frame) -> Markup:
    top = nice_top(max(data.sums().values()))
    slot = frame.room / times.steps
    wide = max(1.0, min(48.0, slot * 0.8))
    drawn = [_axis(top, frame)]
    for place in data.places:
        left, below = _LEFT + slot * (times.at(place) + 0.5) - wide / 2, 0.0
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
    return together(drawn, _labels(times, frame, lambda step: _LEFT + slot * (step + 0.5)))


def _lines(data: _Data, times: _Times, frame: Frame) -> Markup:
    top = nice_top(max(data.values.values()))
    slot = frame.room / times.steps

    def at(step: float) -> float:
        return _LEFT + slot * (step + 0.5)

    drawn = [_axis(top, frame)]
    for colour, group in enumerate(data.groups):
        points = [
            (round(at(times.at(place)), 1), _y(max(0.0, data.values[place, group]), top), place)
            for place in data.places
            if (place, group) in data.values
        ]
        path = " ".join(f"{x},{y}" for x, y, _ in points)
        drawn.append(tag("polyline", points=path, class_=f"line {_colour(colour)}"))
        for x, y, place in points:
            told = f"{moment(place)} {group}: {short(data.values[place, group])}"
            drawn.append(tag("circle", tag("title", told), cx=x, cy=y, r=3, class_=_colour(colour)))
    return together(drawn, _labels(times, frame, at))


def _bars(data: _Data, frame: Frame) -> tuple[Markup, int]:
    sums = data.sums()
    shown = data.places
    if len(shown) > MOST_BARS:
        shown = sorted(shown, key=lambda place: -sums[place])[:MOST_BARS]
    top = max(*sums.values(), 0.0) or 1.0
    room = frame.width - frame.names - _AFTER
    drawn: list[Markup] = []
    for number, place in enumerate(shown):
        above, left = _TOP + _ROW * number, float(frame.names)
        name = place if len(place) <= frame.letters else f"{place[: frame.letters - 1]}…"
        label = tag("text", name or "-", x=frame.names - 10, y=above + 15, text_anchor="end")
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
