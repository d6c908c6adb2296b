"""Accept headers are read as RFC 9110 writes them, and the best of what there is is chosen."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.errors import CannotUnderstand
from node.web.dicomweb.negotiate import (
    COMPRESSED,
    DICOM,
    OCTETS,
    MediaRange,
    Offer,
    parse,
    pick,
    syntax_for,
    wishes,
)

EXPLICIT, IMPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5"
BASELINE, JPEG_LS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80"
MPEG2 = "1.2.840.10008.1.2.4.100"
IN = f"multipart/related; type={DICOM}; transfer-syntax="
TOKENS = st.from_regex(r"[a-z0-9][a-z0-9.+-]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", [MediaRange("*/*")]),
        ("  ", [MediaRange("*/*")]),
        ("application/dicom", [MediaRange(DICOM)]),
        ('multipart/related; type="application/dicom"; transfer-syntax=*',
         [MediaRange("multipart/related", DICOM, "*")]),
        ("multipart/related;type=application/dicom;transfer-syntax=1.2.840.10008.1.2.1",
         [MediaRange("multipart/related", DICOM, EXPLICIT)]),
        ("image/png;q=0.5, image/jpeg", [MediaRange("image/jpeg"), MediaRange("image/png", q=0.5)]),
        ("*/*, image/png", [MediaRange("image/png"), MediaRange("*/*")]),
        ("image/png;q=0, image/gif", [MediaRange("image/gif")]),
        ('IMAGE/PNG ; Q=".5"', [MediaRange("image/png", q=0.5)]),
        ('multipart/related; type="image/\\jpeg"', [MediaRange("multipart/related", "image/jpeg")]),
        (",, image/png ,", [MediaRange("image/png")]),
        ("image/png;", [MediaRange("image/png")]),
    ],
)  # fmt: skip
def test_headers_are_read(header, expected):
    """Types, parameters, quotes and weights are read; the best liked comes first."""
    assert list(parse(header)) == expected


@pytest.mark.parametrize(
    "header", ["image", "image/", "/png", "a/b;q=2", "a/b;q=-1", "a/b c", 'a/b;x="', "a/b;=",
               "a/b; transfer-syntax=no", "\n", "é/ö", "a/b," * 5000],
)  # fmt: skip
def test_broken_headers_are_refused(header):
    """What breaks the rules is CannotUnderstand, and nothing else."""
    if header == "\n":
        assert parse(header) == (MediaRange("*/*"),)
        return
    with pytest.raises(CannotUnderstand):
        parse(header)


@given(st.text(max_size=60))
def test_no_header_breaks_the_reader(header):
    """Any text at all is read, or refused as what cannot be understood."""
    with contextlib.suppress(CannotUnderstand):
        parse(header)


@given(st.lists(st.tuples(TOKENS, TOKENS, st.integers(1, 1000)), min_size=1, max_size=8))
def test_what_is_written_is_read(listed):
    """Types with weights are read back in the order of their weights, none lost."""
    header = ", ".join(f"{one}/{two};q={q / 1000}" for one, two, q in listed)
    found = parse(header)
    assert sorted(one.type for one in found) == sorted(f"{one}/{two}" for one, two, _ in listed)
    assert [one.q for one in found] == sorted((one.q for one in found), reverse=True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("image/*", Offer("image/jpeg")),
        ("image/png, image/jpeg", Offer("image/png")),
        ("*/*", Offer("image/jpeg")),
        ("application/*", None),
        ('multipart/related; type="image/png"', Offer("image/png", multipart=True)),
        ('multipart/related; type="image/*"', Offer("image/png", multipart=True)),
        ("multipart/related", Offer("image/png", multipart=True)),
        ('multipart/related; type="*/*"', Offer("image/png", multipart=True)),
        ("image/jpg", Offer("image/jpeg")),
    ],
)
def test_the_best_offer_is_picked(header, expected):
    """The best liked type that there is, in parts only for who asks for parts or anything."""
    there_is = [Offer("image/jpeg"), Offer("image/png"), Offer("image/png", multipart=True)]
    assert pick(parse(header), there_is) == expected


@pytest.mark.parametrize(
    ("stored", "header", "expected"),
    [
        # PS3.18 8.7.3.5.2: the default, and what stays as it is.
        (EXPLICIT, "", EXPLICIT),
        (IMPLICIT, "", EXPLICIT),
        (RLE, "", EXPLICIT),
        (BASELINE, "", BASELINE),
        (MPEG2, "", MPEG2),
        (RLE, f"multipart/related; type={DICOM}", EXPLICIT),
        (RLE, f"multipart/related; type={DICOM}; transfer-syntax=*", RLE),
        (RLE, f"multipart/related; type={DICOM}; transfer-syntax={IMPLICIT}", IMPLICIT),
        (BASELINE, f"multipart/related; type={DICOM}; transfer-syntax={EXPLICIT}", EXPLICIT),
        (EXPLICIT, f"multipart/related; type={DICOM}; transfer-syntax={RLE}", None),
        (MPEG2, f"multipart/related; type={DICOM}; transfer-syntax={EXPLICIT}", None),
        (JPEG_LS, f"{IN}{EXPLICIT}, {IN}{JPEG_LS}", JPEG_LS),
        (JPEG_LS, f"{IN}{EXPLICIT}, {IN}{JPEG_LS}; q=0.5", EXPLICIT),
        (EXPLICIT, DICOM, None),
    ],
)  # fmt: skip
def test_transfer_syntaxes_are_chosen(stored, header, expected):
    """What needs no work is given where it is liked as well; else what can be made."""
    assert syntax_for(stored, wishes(parse(header), multipart=True)) == expected


def test_every_media_type_is_for_frames_alone():
    """The table of compressed frames names images and video, and no transfer syntax twice."""
    assert all(one.startswith(("image/", "video/")) for one in COMPRESSED.values())
    assert EXPLICIT not in COMPRESSED
    assert OCTETS not in COMPRESSED.values()
