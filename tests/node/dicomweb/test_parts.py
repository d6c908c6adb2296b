"""Reading a multipart body: the same parts whatever the pieces are, and little is kept."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.web.dicomweb.parts import (
    HEADERS_BYTES,
    LONGEST_BOUNDARY,
    PREAMBLE_BYTES,
    BadMultipart,
    Begin,
    Data,
    PartReader,
)

Part = tuple[dict[str, str], bytes]


def read(pieces, boundary="b"):
    """Read a body that comes in pieces: its whole parts."""
    reader, parts, headers, content = PartReader(boundary), list[Part](), {}, b""
    for piece in pieces:
        for event in reader.feed(piece):
            if isinstance(event, Begin):
                headers, content = dict(event.headers), b""
            elif isinstance(event, Data):
                assert event.chunk
                content += event.chunk
            else:
                parts.append((headers, content))
    reader.close()
    return parts


def written(parts, boundary="b", preamble=b"", epilogue=b""):
    """Write a body by hand."""
    body = preamble
    for headers, content in parts:
        lines = b"".join(f"\r\n{name}: {value}".encode() for name, value in headers.items())
        body += f"\r\n--{boundary}".encode() + lines + b"\r\n\r\n" + content
    return body + f"\r\n--{boundary}--".encode() + epilogue


# Bytes of which boundaries are made, so that what looks like one is found often.
CONTENT = st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--b"[:2], b"x", b"\r\n--", b"\r\n-", b"B"])
).map(b"".join)
HEADERS = st.dictionaries(st.sampled_from(["content-type", "content-id"]), st.just("a/b"))


@given(st.lists(st.tuples(HEADERS, CONTENT)), st.lists(st.integers(0, 400)), CONTENT)
def test_any_pieces_give_the_same_parts(parts, cuts, epilogue):
    """However a body is cut into pieces, the parts are those that were written."""
    body = written(parts, epilogue=epilogue)
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[a:b] for a, b in itertools.pairwise(edges)]
    assert read(pieces) == parts


@given(st.lists(st.tuples(HEADERS, CONTENT), min_size=1), st.data())
def test_a_body_that_is_cut_is_known(parts, data):
    """A body that ends anywhere before its last boundary is bad."""
    body = written(parts)
    with pytest.raises(BadMultipart):
        read([body[: data.draw(st.integers(0, len(body) - 3))]])


@given(st.binary(max_size=300), st.integers(1, 50))
def test_nothing_else_is_raised(body, step):
    """Bytes that are no multipart at all are a BadMultipart, or no parts."""
    with contextlib.suppress(BadMultipart):
        read([body[at : at + step] for at in range(0, len(body), step)], "-")


def test_what_senders_do_is_understood():
    """A boundary at the very beginning, blanks behind it, folded headers, a name in capitals."""
    body = b"--b \t\r\nContent-Type: application/dicom;\r\n  x=y\r\nX:\r\n\r\n1"
    first = {"content-type": "application/dicom; x=y", "x": ""}, b"1"
    assert read([body, b"\r\n--b\r\n\r\n2\r\n--b--"]) == [first, ({}, b"2")]


@pytest.mark.parametrize(
    "body",
    [
        b"x" * (PREAMBLE_BYTES + 100),
        b"--b\r\nA: " + b"x" * (HEADERS_BYTES + 100),
        b"--b\r\n: x\r\n\r\n",
        b"--b\r\nno colon\r\n\r\n",
        b"--bother\r\n\r\n",
        b"--b" + b" " * 5000,
        b"--b -",
    ],
    ids=["no boundary", "headers", "no name", "no colon", "another", "blanks", "half an end"],
)
@pytest.mark.parametrize("step", [1 << 20, 7])
def test_what_breaks_the_rules_ends_at_once(body, step):
    """A body that breaks the rules is refused as soon as that shows, and none of it is kept."""
    came = iter(range(0, len(body) + (1 << 20), step))
    with pytest.raises(BadMultipart, match=r"boundary|header"):
        read(body[at : at + step] for at in came)
    assert next(came) - step < len(body)


@pytest.mark.parametrize("boundary", ["", "x" * (LONGEST_BOUNDARY + 1), "ü"])
def test_a_boundary_that_can_be_none(boundary):
    """An empty, endless or non-ASCII boundary is refused."""
    with pytest.raises(BadMultipart):
        PartReader(boundary)


def test_little_is_kept():
    """Of a part of any length less than a boundary is held back."""
    reader = PartReader("b")
    list(reader.feed(b"--b\r\n\r\n"))
    for _ in range(50):
        passed = sum(len(event.chunk) for event in reader.feed(b"\r\n--" * 1000))
        assert passed > 3990
        assert len(reader._held) < 8
