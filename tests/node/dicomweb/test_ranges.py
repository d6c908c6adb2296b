"""Range headers are read as RFC 9110 Chapter 14 writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.web.dicomweb.ranges import Part, Unsatisfiable, is_known, is_same, part


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("bytes=0-9", Part(0, 9, 100)),
        ("Bytes = 0 - 9", Part(0, 9, 100)),
        ("bytes=90-", Part(90, 99, 100)),
        ("bytes=90-500", Part(90, 99, 100)),
        ("bytes=-10", Part(90, 99, 100)),
        ("bytes=-500", Part(0, 99, 100)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=٣-٤", None),
    ],
)
def test_ranges_are_read(header, expected):
    """A range is first and last byte, both among it; what is none gives the whole."""
    assert part(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999-"])
def test_ranges_behind_the_end_are_none(header):
    """Where no byte is in the range, nothing is given."""
    with pytest.raises(Unsatisfiable):
        part(header, 100)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_a_range_is_a_slice(first, last, size):
    """A range gives what the same slice gives."""
    data = bytes(index % 251 for index in range(size))
    try:
        found = part(f"bytes={first}-{last}", size)
    except Unsatisfiable:
        assert not data[first:]
        return
    if found is None:
        assert last < first
        return
    given_ = data[found.first : found.last + 1]
    assert given_ == data[first : last + 1]
    assert len(found) == len(given_)


@given(st.text(max_size=30), st.integers(0, 1000))
def test_no_header_breaks_the_reader(header, size):
    """Any text gives a range within the bytes, none, or that there is none."""
    try:
        found = part(header, size)
    except Unsatisfiable:
        return
    assert found is None or 0 <= found.first <= found.last < size


@pytest.mark.parametrize(
    ("if_none_match", "known"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False)],
)
def test_what_a_client_has_is_known_by_its_etag(if_none_match, known):
    """If-None-Match is a list, compared weakly; If-Range names one, compared strongly."""
    assert is_known(if_none_match, '"a"') is known
    assert is_same("", '"a"')
    assert is_same('"a"', '"a"')
    assert not is_same('W/"a"', '"a"')
