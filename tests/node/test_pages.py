"""Tags, drawings and the overview: what is written is text, and what is drawn is true."""

import datetime as dt
import itertools
import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.web.pages import amounts
from node.web.pages.chart import COLOURS, MOST_BARS, MOST_PLACES, draw, moment, nice_top, short
from node.web.pages.html import Markup, tag, together
from node.web.pages.overview import Seen, Target, overview
from storage.index.saved import Plot

COLUMNS = {"x": "VARCHAR", "at": "TIMESTAMP", "y": "BIGINT", "by": "VARCHAR"}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


def parsed(markup: Markup) -> ET.Element:
    return ET.fromstring(f"<page>{markup}</page>")  # our own text


def wide(markup: Markup) -> ET.Element:
    """Give the drawing for wide pages."""
    drawings = {one.get("class"): one for one in parsed(markup).iter("svg")}
    assert set(drawings) == {"chart wide", "chart narrow"}
    return drawings["chart wide"]


@given(TEXTS, TEXTS)
def test_a_text_is_never_markup(text: str, value: str):
    """Whatever stands in a text or an attribute comes out of a parser as it went in."""
    made = parsed(tag("p", text, title=value, class_="x"))[0]
    assert ((made.text or ""), made.get("title"), made.get("class")) == (text, value, "x")
    assert len(made) == 0


def test_tags_nest_and_leave_out_what_is_not_there():
    """Markup inside markup stays, None is nothing, and an empty element has no end."""
    assert tag("br") == "<br>"
    assert tag("a", None, href=None, aria_current="page") == '<a aria-current="page"></a>'
    inner = (tag("li", one) for one in ("<", 2))
    assert tag("ul", inner) == "<ul><li>&lt;</li><li>2</li></ul>"
    assert together("&", Markup("<i>")) == "&amp;<i>"


@given(st.floats(1e-6, 1e12))
def test_an_axis_ends_above_its_highest_value(highest: float):
    """The end of an axis is not below what is drawn, and not ten times above it."""
    assert highest * 0.999 <= nice_top(highest) <= highest * 10


@given(
    st.lists(
        st.tuples(TEXTS, st.one_of(st.none(), st.floats(), st.integers(), TEXTS), TEXTS),
        max_size=40,
    ),
    st.sampled_from(["bars", "lines"]),
    st.sampled_from(["x", "at"]),
    st.sampled_from(["", "by"]),
)
def test_any_answer_can_be_drawn(rows, kind, x, by):
    """Whatever a report's answer holds, the drawing is whole and lies within its frame."""
    filled = [[one, one, value, group] for one, value, group in rows]
    drawn = draw(Plot(kind, x, "y", by), "title", COLUMNS, filled)
    for each in parsed(drawn).iter():
        for key in ("x", "y", "cx", "cy", "width", "height"):
            number = float(each.get(key, 0))
            assert math.isfinite(number)
            assert number >= -1


def test_columns_stack_over_time():
    """Each moment has its place in order, each group its colour, and heights are in proportion."""
    rows = [["", "2026-01-02T00:00:00", 30, "MR"], ["", "2026-01-01T00:00:00", 10, "CT"],
            ["", "2026-01-01T00:00:00", 20, "CT"]]  # fmt: skip
    drawn = wide(draw(Plot("bars", "at", "y", "by"), "Title", COLUMNS, rows))
    bars = list(drawn.iter("rect"))
    assert [one.get("class") for one in bars] == ["s0", "s1"]
    assert float(bars[0].get("x")) < float(bars[1].get("x"))
    assert bars[0].get("height") == bars[1].get("height")
    words = "".join(drawn.itertext())
    assert "Title: y by at and by" in words
    assert "01-01" in words


def test_time_is_to_scale():
    """A gap in time is a gap in the drawing, and an axis has labels at equal distances."""
    rows = [["", f"2026-01-01T{hour:02}:00:00", 1, ""] for hour in (0, 1, 9)]
    for kind, shape, x in (("bars", "rect", "x"), ("lines", "circle", "cx")):
        drawn = wide(draw(Plot(kind, "at", "y"), "t", COLUMNS, rows))
        first, second, third = (float(one.get(x)) for one in drawn.iter(shape))
        assert third - second == pytest.approx(8 * (second - first), rel=0.01)
        labels = [float(one.get("x")) for one in drawn.iter("text") if one.get("y") == "258"]
        apart = {round(b - a) for a, b in itertools.pairwise(labels)}
        assert (len(labels), len(apart)) == (5, 1)


@pytest.mark.parametrize(
    ("highest", "top"), [(1, 4), (3, 4), (0.3, 0.4), (5, 6), (50, 60), (100, 100), (110, 120)]
)
def test_an_axis_has_round_numbers(highest: float, top: float):
    """The end of an axis is a number whose quarters are round as well."""
    assert nice_top(highest) == pytest.approx(top)


def test_a_drawing_has_an_end():
    """More places and names than can be told apart are left out; colours come round."""
    begin = dt.datetime(2026, 1, 1)  # noqa: DTZ001  (as the index has it)
    rows = [[f"name{n}", (begin + dt.timedelta(hours=n)).isoformat(), n + 1, f"g{n}"]
            for n in range(MOST_PLACES + 7)]  # fmt: skip
    columns = wide(draw(Plot("bars", "at", "y"), "t", COLUMNS, rows))
    assert len(list(columns.iter("rect"))) == MOST_PLACES
    bars = wide(draw(Plot("bars", "x", "y", "by"), "t", COLUMNS, rows))
    assert len(list(bars.iter("rect"))) == MOST_BARS
    assert {one.get("class") for one in bars.iter("rect")} <= {f"s{n}" for n in range(COLOURS)}


@pytest.mark.parametrize("plot", [Plot("bars", "no", "y"), Plot("bars", "x", "no"),
                                  Plot("lines", "x", "y", "no")])  # fmt: skip
def test_what_is_not_there_is_not_drawn(plot: Plot):
    """A drawing of columns that an answer lacks, or of none, is nothing."""
    assert draw(plot, "t", COLUMNS, [["a", "b", 1, "c"]]) == ""
    assert draw(Plot("bars", "x", "y"), "t", COLUMNS, []) == ""


def test_amounts_are_for_people():
    """Sizes, numbers, durations and moments are short."""
    assert [amounts.size(n) for n in (5, 31_500_000, 2.5e9, 7e12)] == [
        "5 B", "31.5 MB", "2.5 GB", "7 TB",
    ]  # fmt: skip
    assert amounts.whole(1_234_567) == "1\N{NO-BREAK SPACE}234\N{NO-BREAK SPACE}567"
    assert [amounts.duration(n) for n in (0, 61, 90_000)] == ["0 s", "1 min 1 s", "1 d 1 h"]
    assert amounts.moment(0) == "1970-01-01 00:00:00"
    assert [short(n) for n in (0.5, 1500, 2e6)] == ["0.5", "1.5 k", "2 M"]
    assert [moment(t) for t in ("2026-01-02T10:30:00", "2026-01-02T00:00:00", "x")] == [
        "01-02 10:30", "01-02", "x",
    ]  # fmt: skip


def test_the_overview_shows_what_is_wrong():
    """Held jobs, a full disk, a target that is away and a caller turned away catch the eye."""
    facts = {
        "node": {"ae_title": "<ME>", "version": "1", "uptime_s": 5, "port": 1, "workers": [1],
                 "trouble": "storage: away"},
        "jobs": {"waiting": 3, "running": 1, "held": 2},
        "received": {"instances": 10, "series": 2, "studies": 1},
        "disk": {"state": "refuse"}, "spool": {"free_bytes": 1e9, "bytes": 5e6},
        "index": {"instances": 10, "lag_records": 9000},
        "unreachable": {"pacs": {"since": 0.0, "fault": "unreachable"}},
        "paused": {"lake": "repair"},
    }  # fmt: skip
    calls = [{"at": 0.0, "calling_ae": "<X>", "address": "::1", "verdict": "rejected",
              "words": "no such peer", "statuses": {}}]  # fmt: skip
    targets = [
        Target("pacs", "dicom", 3),
        Target("lake", "folder"),
        Target("shelf", "folder", held=1),
    ]
    made = overview(Seen(facts, calls, targets, [["2026-01-01T10:00:00", "CT", 5]], ["no account"]))
    parsed(made)
    for words in (
        "&lt;ME&gt;",
        "Filing stands: storage: away",
        "disk is short of room",
        "no account",
        "does not answer",
        "paused",
        "jobs held",
        "no such peer",
        "&lt;X&gt;",
    ):
        assert words in made, words
    assert len(re.findall('class="tile bad"', made)) == 2
    assert 'class="tile warn"' in made


def test_an_overview_of_nothing_is_whole():
    """A node whose ledger is away, and that has received nothing, has an overview too."""
    made = overview(Seen({}, ()))
    parsed(made)
    for words in ("No destination", "Nobody has called", "Nothing came"):
        assert words in made
