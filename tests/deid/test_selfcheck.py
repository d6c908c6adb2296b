"""The self-check finds what a broken engine would let through."""

import pytest

from deid import encode, markers, selfcheck
from deid.identity import Stays, collect
from deid.parse import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, read
from deid.selfcheck import Allowed
from dicom.errors import NotClean

pytestmark = pytest.mark.p4

CODINGS = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG]
NAMES = [
    ("", b"Doe^Archibald"),
    ("ISO_IR 100", "Buc^Jérôme".encode("latin-1")),
    ("ISO_IR 144", "Дионис^Элла".encode("iso8859-5")),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東".encode()),
    ("GB18030", "王^小东".encode("gb18030")),
    ("\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8\xc8\xf1\xc1\xdf"),
    ("\\ISO 2022 IR 87", "山田^太郎".encode("iso2022_jp")),
]


def head(profile, encoding, *parts: bytes) -> bytes:
    """Encode markers and other elements in tag order; each part knows its tag."""
    written = markers.write(profile, encoding)
    found = [(tag, part) for tag, part in written.items()]
    found += [(int.from_bytes(part[:2], _order(encoding)) << 16
               | int.from_bytes(part[2:4], _order(encoding)), part) for part in parts]  # fmt: skip
    return b"".join(part for _, part in sorted(found))


def _order(encoding) -> str:
    return "little" if encoding.little else "big"


def who(charset: str, name: bytes, encoding):
    parts = [
        encode.element(0x00080005, "CS", charset.encode(), encoding),
        encode.element(0x00080018, "UI", b"1.2.276.0.7230010.3.1", encoding),
        encode.element(0x00100010, "PN", name, encoding),
    ]
    return collect(read(memoryview(b"".join(parts)), encoding), Stays(uids=frozenset()))


@pytest.mark.parametrize("encoding", CODINGS)
def test_an_object_without_identity_passes(profile, encoding):
    """Markers and harmless text are no reason to hold an object."""
    kernel = encode.element(0x00181210, "SH", b"STANDARD", encoding)
    selfcheck.check(head(profile, encoding, kernel), encoding, who("", b"Doe^John", encoding))


@pytest.mark.parametrize("encoding", CODINGS)
@pytest.mark.parametrize(("charset", "name"), NAMES)
def test_a_name_is_found_in_its_character_set(profile, charset, name, encoding):
    """A name left in any text element, nested or not, is found in the charset it was written in."""
    identity = who(charset, name, encoding)
    codes = encode.element(0x00080005, "CS", charset.encode(), encoding)
    model = encode.element(0x00081090, "LO", b"of " + name, encoding)
    with pytest.raises(NotClean, match="name"):
        selfcheck.check(head(profile, encoding, codes, model), encoding, identity)
    meaning = codes + encode.element(0x00080104, "LO", name, encoding)
    nested = encode.sequence(0x00089215, "SQ", [meaning], encoding, encoding)
    with pytest.raises(NotClean, match="name"):
        selfcheck.check(head(profile, encoding, nested), encoding, identity)


LEAKS = {
    "short name": ((0x00081090, "LO", b"DR DOE"), r"\(0008,1090\) still holds a name"),
    "coded word": ((0x00180015, "CS", b"DOE"), "name"),
    "application": ((0x00080055, "AE", b"DOE_CT"), "name"),
    "UID": ((0x00200052, "UI", b"1.2.276.0.7230010.3.1"), "UID"),
    "UID in text": ((0x00181020, "LO", b"v1.2.276.0.7230010.3.1"), "UID"),
    "private": ((0x00091001, "LO", b"x"), "private"),
    "unreadable": ((0x00081090, "LO", b"\x1b$Z\xff\xff"), "cannot be read"),
}


@pytest.mark.parametrize("case", LEAKS)
def test_each_kind_of_leak_is_found(case, profile):
    """What slips through is named by its place and kind, never by its value."""
    (tag, vr, value), words = LEAKS[case]
    part = encode.element(tag, vr, value, EXPLICIT_LITTLE)
    identity = who("", b"Doe^John", EXPLICIT_LITTLE)
    with pytest.raises(NotClean, match=words) as caught:
        selfcheck.check(head(profile, EXPLICIT_LITTLE, part), EXPLICIT_LITTLE, identity)
    assert "DOE" not in str(caught.value)
    assert "7230010" not in str(caught.value)


def test_a_missing_marker_is_found(profile):
    """An object that does not say that it was de-identified does not leave."""
    identity = who("", b"Doe^John", EXPLICIT_LITTLE)
    with pytest.raises(NotClean, match="marker"):
        selfcheck.check(b"", EXPLICIT_LITTLE, identity)


def test_a_date_that_did_not_move_is_found(compiled):
    """Where all dates move, an original one is a leak unless another one moved there."""
    profile = compiled("research")
    parts = [encode.element(tag, "DA", value, EXPLICIT_LITTLE)
             for tag, value in ((0x00080020, b"20190304"), (0x00080021, b"20190225"))]  # fmt: skip
    who = collect(read(memoryview(b"".join(parts)), EXPLICIT_LITTLE), profile.stays)
    allowed = Allowed(dated=True, days=7)
    moved = encode.element(0x00080020, "DA", b"20190225", EXPLICIT_LITTLE)
    selfcheck.check(head(profile, EXPLICIT_LITTLE, moved), EXPLICIT_LITTLE, who, allowed)
    left = encode.element(0x00080020, "DA", b"20190304", EXPLICIT_LITTLE)
    with pytest.raises(NotClean, match=r"\(0008,0020\) still holds a date"):
        selfcheck.check(head(profile, EXPLICIT_LITTLE, left), EXPLICIT_LITTLE, who, allowed)


def test_private_attributes_that_are_not_safe_are_found(compiled):
    """The check knows the safe list by itself: creator, block and element."""
    profile = compiled("research")
    who = collect((), profile.stays)
    allowed = Allowed(profile.safe)
    creator = encode.element(0x00190010, "LO", b"GEMS_ACQU_01", EXPLICIT_LITTLE)
    safe = encode.element(0x00191023, "DS", b"1.5", EXPLICIT_LITTLE)
    other = encode.element(0x00191024 + 0x10, "DS", b"1.5", EXPLICIT_LITTLE)
    selfcheck.check(head(profile, EXPLICIT_LITTLE, creator, safe), EXPLICIT_LITTLE, who, allowed)
    for parts in ((creator, other), (safe,), (creator.replace(b"GEMS", b"DOES"),)):
        with pytest.raises(NotClean, match="private"):
            selfcheck.check(head(profile, EXPLICIT_LITTLE, *parts), EXPLICIT_LITTLE, who, allowed)
