"""Rows become files that say the same each time, in folders whose names are safe."""

import io
import re
from pathlib import PurePosixPath

from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from storage.lake.parts import Placed, files_of, json_lines
from storage.lake.paths import day_of, part_name, safe_modality


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=16), unique=True, max_size=8))
def test_modalities_stay_apart_and_stay_in_their_folder(modalities):
    """Any text is one safe word; two that differ have different words, up to 64 characters."""
    words = {text: safe_modality(text) for text in modalities}
    short = {text: word for text, word in words.items() if len(word) < 64 and text != "NONE"}
    assert len(set(short.values())) == len(short)
    for word in words.values():
        assert re.fullmatch(r"[A-Z0-9_-]{1,64}", word)
        name = part_name("x", "metadata", ("2026-01-01", word), (0, 1), 0)
        assert len(PurePosixPath(name).parts) == 6


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["2026-01-01", "2026-01-02"]),
        st.sampled_from(["CT", "MR"]),
        st.text(max_size=8),
        st.text(alphabet="x", max_size=3000),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(1, 20_000))
def test_every_row_is_in_one_file_of_its_partition(rows, most_bytes):
    """However little may be held at a time, all rows are written, and the same way each time."""

    def make():
        some = (Placed(d, m, {"SOPInstanceUID": t, "head": h}) for d, m, t, h in rows)
        return list(files_of("metadata", some, most_bytes=most_bytes, orders_by="SOPInstanceUID"))

    files = make()
    assert files == make()
    names = [(one.date, one.modality, one.number) for one in files]
    assert len(set(names)) == len(names)
    back = []
    for one in files:
        table = parquet.read_table(io.BytesIO(one.content)).to_pylist()
        assert len(table) == one.rows
        back += [(one.date, one.modality, r["SOPInstanceUID"], r["head"]) for r in table]
    wanted = [(d, m, t.encode("utf-8", "replace").decode(), h) for d, m, t, h in rows]
    assert sorted(back) == sorted(wanted)


def test_lines_hold_no_time_of_writing():
    """The same events give the same bytes, so that a repeated export changes nothing."""
    rows = [{"id": 1, "type": "t", "subject": "s", "happened_at": "a", "data": {"b": 1, "a": 2}}]
    assert json_lines(rows) == json_lines([dict(reversed(rows[0].items()))])


def test_a_day_is_one_of_utc():
    """Partitions do not depend on where the node stands."""
    assert (day_of(0), day_of(86_399.9), day_of(86_400)) == ("1970-01-01",) * 2 + ("1970-01-02",)
