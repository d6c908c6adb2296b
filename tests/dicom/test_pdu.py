"""PDUs: lengths are judged before anything is read, and PDVs are walked without a copy."""

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, P_DATA_TF

from dicom import pdu
from dicom.errors import ProtocolFault
from dicom.pdu import PduType

MAX = 16384


@pytest.mark.parametrize(
    ("kind", "length", "accepted"),
    [
        (4, 0, True), (4, MAX, True), (4, MAX + 1024, True), (4, MAX + 1025, False),
        (4, 0xFFFFFFFF, False), (1, 1 << 20, True), (1, (1 << 20) + 1, False),
        (2, 1 << 20, True), (3, 4, True), (5, 4, True), (6, 4, True), (7, 4, True),
        (7, 5, False), (5, 1 << 20, False), (0, 4, False), (8, 4, False), (0x47, 4, False),
    ],
)  # fmt: skip
def test_headers_are_judged(kind, length, accepted):
    """A PDU is read only if its type is known and its length possible."""
    header = struct.pack(">BxL", kind, length)
    if accepted:
        assert pdu.read_header(header, MAX) == pdu.Header(PduType(kind), length)
    else:
        with pytest.raises(ProtocolFault):
            pdu.read_header(header, MAX)


values = st.lists(
    st.tuples(
        st.integers(0, 127).map(lambda n: 2 * n + 1), st.integers(0, 3), st.binary(max_size=40)
    ),
    min_size=1, max_size=6,
)  # fmt: skip


def body_of(some):
    return b"".join(struct.pack(">LBB", len(d) + 2, c, k) + d for c, k, d in some)


@given(some=values)
def test_pdvs_are_found_as_pynetdicom_finds_them(some):
    """Every PDV comes out in order, as an independent decoder sees it."""
    body = body_of(some)
    found = [
        (p.context_id, p.is_command + 2 * p.is_last, bytes(p.data))
        for p in pdu.pdvs(memoryview(body))
    ]
    assert found == some
    other = P_DATA_TF()
    other.decode(struct.pack(">BxL", 4, len(body)) + body)
    assert found == [
        (
            one.presentation_context_id,
            one.presentation_data_value[0],
            one.presentation_data_value[1:],
        )
        for one in other.presentation_data_value_items
    ]


BROKEN = {
    "no value": b"",
    "a header cut off": b"\0\0\0\2\1",
    "a value that is all length": b"\0\0\0\0\1\3",
    "a value without a control header": b"\0\0\0\1\1\3",
    "a value longer than its PDU": b"\0\0\0\3\1\3",
    "a value of 4 GB": b"\xff\xff\xff\xff\1\3",
    "bytes left over": b"\0\0\0\2\1\3" + b"abc",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_lengths_that_do_not_add_up(body):
    """A P-DATA-TF PDU whose values do not fill it exactly is a ProtocolFault."""
    with pytest.raises(ProtocolFault):
        list(pdu.pdvs(memoryview(body)))


@pytest.mark.parametrize("control", range(0, 256, 5))
def test_bits_without_a_meaning_are_not_seen(control):
    """Of the message control header two bits are read, whatever the others are (PS3.8 E.2)."""
    (one,) = pdu.pdvs(memoryview(body_of([(1, control, b"x")])))
    assert (one.control, one.is_command) == (control & 3, bool(control & 1))
    assert one.is_last is bool(control & 2)


@given(some=values, place=st.integers(0, 300), byte=st.integers(0, 255))
@settings(max_examples=300)
def test_a_damaged_body_gives_a_fault_or_whole_pdvs(some, place, byte):
    """With any byte changed, the walk ends in a ProtocolFault or covers the body exactly."""
    body = bytearray(body_of(some))
    body[place % len(body)] = byte
    try:
        found = list(pdu.pdvs(memoryview(body)))
    except ProtocolFault:
        return
    assert sum(len(one.data) + 6 for one in found) == len(body)


@given(some=values)
def test_a_lone_value_is_known_by_its_header(some):
    """Six bytes tell whether one value fills its PDU, and then what it is."""
    body = memoryview(body_of(some))
    lone = pdu.lone_pdv(body[:6], len(body))
    if len(some) > 1:
        assert lone is None
    else:
        ((context_id, control, _),) = some
        assert lone == (context_id, control, b"")


@given(command=st.binary(min_size=1, max_size=300), limit=st.integers(8, 400) | st.just(0))
def test_commands_are_cut_to_what_the_peer_takes(command, limit):
    """No PDU is longer than the limit; together they hold the command; only the last says so."""
    out = pdu.command_pdus(3, command, limit)
    whole, lasts = b"", []
    while out:
        kind, length = struct.unpack_from(">BxL", out)
        assert (kind, not limit or length <= limit) == (4, True)
        for one in pdu.pdvs(memoryview(out)[6 : 6 + length]):
            assert (one.context_id, one.is_command) == (3, True)
            whole += bytes(one.data)
            lasts.append(one.is_last)
        out = out[6 + length :]
    assert whole == command
    assert lasts == [False] * (len(lasts) - 1) + [True]


def test_no_room_for_a_byte_is_a_fault():
    """A peer that takes no PDV at all cannot be answered."""
    with pytest.raises(ProtocolFault, match="leaves room for nothing"):
        pdu.command_pdus(1, b"x", 7)


@pytest.mark.parametrize("limit", [0, 8, 9, 31])
def test_command_fragments_have_even_lengths(limit):
    """An odd maximum length makes no odd fragment of an even command set (PS3.8 9.3.1)."""
    out = pdu.command_pdus(3, bytes(100), limit)
    lengths = []
    while out:
        (length,) = struct.unpack_from(">xxL", out)
        lengths += [len(one.data) for one in pdu.pdvs(memoryview(out)[6 : 6 + length])]
        out = out[6 + length :]
    assert sum(lengths) == 100
    assert not any(length % 2 for length in lengths)


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def request(contexts=(), user=b"", others=b""):
    """Write an A-ASSOCIATE-RQ with so many transfer syntaxes in each context."""
    body = bytes(68) + item(0x10, b"1.2.840.10008.3.1.1.1") + others
    for number, syntaxes in enumerate(contexts):
        inside = b"".join(item(0x40, b"1.%d" % one) for one in range(syntaxes))
        body += item(0x20, bytes([2 * number % 256 + 1, 0, 0, 0]) + item(0x30, b"1.2") + inside)
    body += item(0x50, item(0x51, bytes(4)) + user)
    return struct.pack(">BxL", 1, len(body)) + body


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        (request([6609] * 15), "syntaxes in one presentation context"),
        (request([1, 101]), "102 syntaxes in one presentation context"),
        (request([1] * 129), "129 presentation contexts"),
        (request([1], user=item(0x56, b"") * 512), "513 items of user information"),
        (request([1], others=item(0x10, b"1.2") * 3), "5 items that are no presentation contexts"),
        (request([1], others=item(0, b"") * 9000), "no presentation contexts"),
    ],
)
def test_more_items_than_honest_peers_write(whole, words):
    """A request of a hundred thousand items is refused without decoding one of them."""
    assert len(whole) < 1 << 20
    with pytest.raises(ProtocolFault, match=words):
        pdu.judge_items(whole)


@given(cut=st.integers(0, 400), place=st.integers(0, 400), byte=st.integers(0, 255))
def test_items_are_counted_whatever_the_lengths_say(cut, place, byte):
    """As many contexts and syntaxes as the standard allows pass, cut or damaged ones do no harm."""
    pdu.judge_items(request([100] * 128, user=item(0x54, b"") * 128))
    damaged = bytearray(request([3, 2, 1]))
    damaged[place % len(damaged)] = byte
    with contextlib.suppress(ProtocolFault):
        pdu.judge_items(damaged[: len(damaged) - cut])


def test_abort_is_read_by_pynetdicom():
    """The A-ABORT that we write is one."""
    other = A_ABORT_RQ()
    other.decode(pdu.abort(2, 6))
    assert (other.source, other.reason_diagnostic) == (2, 6)
