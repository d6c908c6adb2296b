"""The identity file: what a line is taken for, and what cannot be searched for."""

import pytest

from deid.scan.wanted import Kind, Unusable, read


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Mustermann^Anna", Kind.NAME),
        ("Anna Mustermann", Kind.NAME),
        ("山田 太郎", Kind.NAME),
        ("PAT-4711", Kind.ID),
        ("123456", Kind.ID),
        ("19570312", Kind.DATE),
        ("1957-03-12", Kind.DATE),
        ("1957.3.12", Kind.DATE),
        ("19571399", Kind.ID),
        ("+49 30 901820", Kind.PHONE),
        ("030/901820", Kind.PHONE),
        ("1.2.840.99.1", Kind.UID),
        ("id: 19570312", Kind.ID),
        ("NAME:Mustermann", Kind.NAME),
        ("text: Elm Street 5", Kind.TEXT),
    ],
)
def test_a_line_is_taken_for_what_it_looks_like(line, kind):
    """A kind is read from the prefix, or guessed from the text."""
    (wanted,) = read(line.encode())
    assert wanted.kind is kind


def test_comments_and_empty_lines_count():
    """A finding's number is that of the line in the file, comments included."""
    found = read("\ufeff# who\n\n  Mustermann \r\n#x\nPAT-4711".encode())
    assert [(each.line, each.text) for each in found] == [(3, "Mustermann"), (5, "PAT-4711")]


@pytest.mark.parametrize(
    "content",
    [b"", b"# nothing\n", b"\xff\xfe\x41", b"a\n", b"date: soon", b"uid: 1.2.x", b"id: --"],
)
def test_what_cannot_be_searched_for_is_refused(content):
    """A file that would find nothing, or everything, ends in words that do not repeat it."""
    with pytest.raises(Unusable) as fault:
        read(content)
    assert "soon" not in str(fault.value)


@pytest.mark.p6
def test_a_line_does_not_show_itself():
    """Whoever prints what is searched for by mistake prints no identity."""
    assert "Muster" not in repr(read(b"Mustermann^Anna"))
