"""Identifiers from their bytes: what a peer sent, or a fault that says what is wrong."""

import io
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom import charset, identifier
from dicom.attributes import CATALOGUE, SEQUENCES
from dicom.errors import CannotUnderstand
from dicom.identifier import MAX_DEPTH, MOST_KEYS, BadIdentifier, Encoded, Parsed
from dicom.options import ALL
from dicom.query import Root, parse

IMPLICIT, EXPLICIT, DEFLATED, BIG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
REQUEST = 0x00400275


def written(dataset: Dataset, syntax: str) -> bytes:
    """Encode a dataset."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG)
    if syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return deflate.compress(buffer.getvalue()) + deflate.flush()
    return buffer.getvalue()


def sample(*, undefined: bool = False) -> Dataset:
    """An identifier with texts, a number and sequences."""
    inner, item = Dataset(), Dataset()
    inner.CodeValue = "X1"
    item.RequestedProcedureID = "RP1"
    item.ScheduledProtocolCodeSequence = Sequence([inner])
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.QueryRetrieveLevel = "STUDY"
    made.PatientName = "Müller*"
    made.Rows = 512
    made.StudyInstanceUID = ["1.2", "1.3"]
    made.ProcedureCodeSequence = Sequence([])
    made.RequestAttributesSequence = Sequence([item])
    for one in (made["RequestAttributesSequence"], item["ScheduledProtocolCodeSequence"]):
        one.is_undefined_length = undefined
    item.is_undefined_length_sequence_item = undefined
    return made


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG])
@pytest.mark.parametrize("undefined", [False, True])
def test_every_transfer_syntax_is_read(syntax: str, undefined: bool) -> None:
    """Texts, numbers and items are those that were written, with lengths and without."""
    keys = identifier.read(written(sample(undefined=undefined), syntax), syntax)
    latin = charset.encodings(("ISO_IR 100",))
    assert keys.tags() == sorted(keys.tags())
    assert keys.text(CATALOGUE["PatientName"].tag, "PN", latin) == "Müller*"
    assert keys.text(CATALOGUE["Rows"].tag, "US", latin) == "512"
    assert keys.text(CATALOGUE["StudyInstanceUID"].tag, "UI", latin) == "1.2\\1.3"
    assert keys.items(CATALOGUE["PatientName"].tag) is None
    assert keys.items(SEQUENCES["ProcedureCodeSequence"].tag) == []
    (item,) = keys.items(REQUEST) or []
    (inner,) = item.items(0x00400008) or []
    assert inner.text(0x00080100, "SH", latin) == "X1"


@given(st.dictionaries(st.sampled_from(sorted(CATALOGUE)), st.binary(max_size=30), max_size=8))
def test_bytes_are_read_as_pydicom_reads_them(values: dict[str, bytes]) -> None:
    """Whatever stands in the values, each key's text is that of the parsed dataset."""
    tags = {CATALOGUE[keyword].tag: value for keyword, value in values.items()}
    data = b"".join(
        implicit(tag, raw + b"\0" * (len(raw) % 2)) for tag, raw in sorted(tags.items())
    )
    if not data:
        return
    mine, theirs = identifier.read(data, IMPLICIT), Parsed(dcmread(io.BytesIO(data), force=True))
    assert list(mine.tags()) == list(theirs.tags()) == sorted(tags)
    for one in CATALOGUE.values():
        texts = [keys.text(one.tag, one.vr, charset.ASCII) for keys in (mine, theirs)]
        assert texts[0] == texts[1]


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    """An element in implicit VR little endian."""
    size = len(value) if length is None else length
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, size) + value


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_is_a_fault_or_a_query(data: st.DataObject) -> None:
    """Whatever bytes come, there is a query, or a fault of the two kinds that have a status."""
    syntax = data.draw(st.sampled_from([IMPLICIT, EXPLICIT, DEFLATED, BIG]))
    damaged = bytearray(written(sample(undefined=data.draw(st.booleans())), syntax))
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        parse(identifier.read(bytes(damaged[:cut]), syntax), Root.STUDY, ALL)
    except (BadIdentifier, CannotUnderstand):
        return


@given(st.binary(max_size=300), st.sampled_from([IMPLICIT, EXPLICIT, DEFLATED, BIG]))
def test_any_bytes_are_a_fault_or_a_query(data: bytes, syntax: str) -> None:
    """So it is for bytes that never were an identifier."""
    try:
        parse(identifier.read(data, syntax), Root.PATIENT, ALL)
    except (BadIdentifier, CannotUnderstand):
        return


def nested(depth: int) -> bytes:
    """A sequence within a sequence, and so on."""
    data = b""
    for _ in range(depth):
        data = implicit(REQUEST, implicit(0xFFFEE000, data))
    return data


def many(count: int) -> bytes:
    """Private keys without values."""
    return b"".join(implicit(0x00090000 + number, b"") for number in range(0x1000, 0x1000 + count))


def items(count: int) -> bytes:
    """A sequence of empty items."""
    return implicit(REQUEST, implicit(0xFFFEE000, b"") * count)


@pytest.mark.parametrize(
    ("data", "fault", "words"),
    [
        (lambda: nested(100), BadIdentifier, "RequestAttributesSequence (0040,0275) nests deeper"),
        (lambda: nested(5000), BadIdentifier, "nests deeper"),
        (lambda: many(MOST_KEYS + 1), BadIdentifier, "one key too many"),
        (lambda: items(100_000), CannotUnderstand, "keys and items"),
        (lambda: implicit(REQUEST, b"", 0xFFFFFFFF), CannotUnderstand, "breaks off"),
        (lambda: implicit(0x00100010, b"ab") * 2, BadIdentifier, "stands twice"),
        (lambda: implicit(0x00100010, b"ab", 1 << 30), CannotUnderstand, "breaks off"),
        (lambda: implicit(0xFFFEE000, b""), CannotUnderstand, "an item or delimiter"),
        (lambda: implicit(REQUEST, b"DROP TABLE"), CannotUnderstand, "where an item must"),
        (lambda: b"\1", CannotUnderstand, "breaks off"),
    ],
)
def test_what_breaks_the_rules_is_named(
    data: Callable[[], bytes], fault: type[CannotUnderstand], words: str
) -> None:
    """Hostile identifiers are refused soon, with the element where there is one."""
    made = data()
    began_s = time.process_time()
    with pytest.raises(fault) as caught:
        identifier.read(made, IMPLICIT)
    assert words in str(caught.value)
    assert time.process_time() - began_s < 0.5


def test_a_bomb_is_not_unfolded() -> None:
    """A deflated identifier is read up to a limit."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = deflate.compress(bytes(64 << 20)) + deflate.flush()
    with pytest.raises(CannotUnderstand, match="unfolds to more than"):
        identifier.read(bomb, DEFLATED)


def test_what_is_deep_enough_is_read() -> None:
    """As many sequences within one another as are allowed."""
    keys: Encoded = identifier.read(nested(MAX_DEPTH), IMPLICIT)
    assert keys.tags() == [REQUEST]


def test_a_sequence_key_holds_one_item() -> None:
    """Several items in a key are refused by name (PS3.4 C.2.2.2.6)."""
    made = sample()
    made.RequestAttributesSequence = Sequence([Dataset(), Dataset()])
    made.QueryRetrieveLevel = "SERIES"
    with pytest.raises(BadIdentifier, match=r"RequestAttributesSequence .* several items"):
        parse(made, Root.STUDY, ALL)


def test_explicit_vr_where_implicit_was_agreed_is_read() -> None:
    """As some send it, whatever was agreed."""
    keys = identifier.read(written(sample(), EXPLICIT), IMPLICIT)
    assert keys.text(0x00080052, "CS", charset.ASCII) == "STUDY"
