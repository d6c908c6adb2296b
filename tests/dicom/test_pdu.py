"""PDUs: lengths are judged before anything is read, and PDVs are walked without a copy."""

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


@given(command=st.binary(min_size=1, max_size=300), limit=st.integers(7, 400) | st.just(0))
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
        pdu.command_pdus(1, b"x", 6)


def test_abort_is_read_by_pynetdicom():
    """The A-ABORT that we write is one."""
    other = A_ABORT_RQ()
    other.decode(pdu.abort(2, 6))
    assert (other.source, other.reason_diagnostic) == (2, 6)
