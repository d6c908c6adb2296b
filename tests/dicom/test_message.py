"""Messages: commands and datasets come out of any cut, and nothing out of order gets through."""

import io
import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydicom import Dataset
from pynetdicom.dsutils import decode, encode

from dicom import message, pdu
from dicom.errors import ProtocolFault
from dicom.message import (
    TABLE,
    Assembler,
    Command,
    Fragment,
    Piece,
    State,
    parse_command,
    store_response,
)
from dicom.pdu import Pdv

LIMITS = [0, 4096, 5001, 16384, 65536, 131_072, 1 << 20]


def command_of(field=1, dataset=1, uid="1.2.3", message_id=5):
    command = Dataset()
    command.AffectedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    command.CommandField = field
    command.MessageID = message_id
    command.Priority = 2
    command.CommandDataSetType = dataset
    command.AffectedSOPInstanceUID = uid
    return encode(command, True, True)


WITH_DATASET, WITHOUT = command_of(), command_of(dataset=0x0101)
CONTROL = {"c": 1, "C": 3, "d": 0, "D": 2}


def pdv(kind, data=b"x", context_id=1):
    """`kind`: c or C for a command fragment, d or D for one of the dataset; capital is the last."""
    return Pdv(context_id, CONTROL[kind], memoryview(data))


# -- any cut


def fragments(data, whole, most):
    """Cut bytes anywhere, empty pieces included."""
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=most).map(sorted))
    return [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]


def values_of(pieces, is_command):
    kinds = "cC" if is_command else "dD"
    return [(kinds[n == len(pieces) - 1], piece) for n, piece in enumerate(pieces)]


def body_of(values):
    """The body of a P-DATA-TF PDU: (context id, kind, data) one after another."""
    return b"".join(
        struct.pack(">LBB", len(data) + 2, context_id, CONTROL[kind]) + data
        for context_id, kind, data in values
    )


def read(bodies):
    """Read P-DATA-TF bodies: [(context id, command as encoded, dataset or None)], and the state."""
    assembler, messages = Assembler(), []
    for body in bodies:
        for one in pdu.pdvs(memoryview(body)):
            event = assembler.feed(one)
            if isinstance(event, Command):
                dataset = b"" if event.has_dataset else None
                messages.append((event.context_id, event.encoded, dataset))
            elif isinstance(event, Fragment):
                context_id, encoded, dataset = messages[-1]
                assert event.context_id == context_id
                assert event.is_last is assembler.is_idle
                messages[-1] = (context_id, encoded, dataset + bytes(event.data))
    return messages, assembler.state


conversations = st.lists(
    st.tuples(
        st.integers(0, 127).map(lambda n: 2 * n + 1),
        st.integers(0, 0xFFFF).map(lambda n: command_of(message_id=n)) | st.just(WITHOUT),
        st.binary(max_size=200),
    ).map(lambda m: (m[0], m[1], None if m[1] == WITHOUT else m[2])),
    min_size=1, max_size=4,
)  # fmt: skip


@given(st.data())
def test_any_cut_gives_the_same_messages(data):
    """Messages cut into PDVs and PDUs anywhere, with empty pieces, come out as they went in."""
    messages = data.draw(conversations)
    values = []
    for context_id, encoded, dataset in messages:
        parts = values_of(fragments(data, encoded, 5), is_command=True)
        if dataset is not None:
            parts += values_of(fragments(data, dataset, 5), is_command=False)
        values += [(context_id, *part) for part in parts]
    cuts = data.draw(st.sets(st.integers(1, max(1, len(values) - 1))))
    bodies = [
        body_of(values[start:end])
        for start, end in pairwise([0, *sorted(cuts), len(values)])
        if start < end
    ]
    assert read(bodies) == (messages, State.BETWEEN)


@given(
    size_bytes=st.integers(1, 3000) | st.integers(0, 9).map(lambda n: (1 << 20) - 10 + 2 * n),
    limit=st.sampled_from(LIMITS),
)
@settings(max_examples=60)
def test_what_we_write_for_any_maximum_length_we_read(size_bytes, limit):
    """Command and dataset, cut for a maximum length of 0 or 4 KB to 1 MB, are read back whole."""
    dataset = memoryview(b"penumbra" * (size_bytes // 8 + 1))[:size_bytes]
    out = pdu.command_pdus(9, WITH_DATASET, limit)
    for header, parts in pdu.dataset_pdus(9, [dataset[:11], dataset[11:]], limit):
        out += header + b"".join(parts)
    bodies = []
    while out:
        header = pdu.read_header(out, limit or 1 << 20)
        assert header.length <= (limit or 1 << 20)
        bodies.append(out[6 : 6 + header.length])
        out = out[6 + header.length :]
    assert read(bodies) == ([(9, WITH_DATASET, bytes(dataset))], State.BETWEEN)


@pytest.mark.parametrize("encoded", [WITH_DATASET, WITHOUT])
def test_a_command_comes_out_with_its_last_byte_and_not_before(encoded):
    """Cut after each byte in turn, a command set is an event only when it is whole."""
    for place in range(len(encoded) + 1):
        assembler = Assembler()
        assert assembler.feed(pdv("c", encoded[:place])) is None
        assert not assembler.is_idle
        assert assembler.feed(pdv("C", encoded[place:])).encoded == encoded


def test_a_dataset_ends_with_its_last_fragment_and_not_before():
    """Whatever was read of a message, half of it never counts as the end."""
    body = body_of([(1, "C", WITH_DATASET), (1, "d", b"abc"), (1, "d", b""), (1, "D", b"d")])
    for kept in range(len(body)):
        assembler, ended = Assembler(), False
        try:
            for one in pdu.pdvs(memoryview(body[:kept])):
                event = assembler.feed(one)
                ended = isinstance(event, Fragment) and event.is_last
        except ProtocolFault:
            pass
        assert not ended


# -- the table


def test_the_table_is_whole():
    """For every state and every piece there is a next state, or words; nothing is left open."""
    assert {(state, piece) for state in TABLE for piece in TABLE[state]} == {
        (state, piece) for state in State for piece in Piece
    }


WAYS = {State.BETWEEN: "", State.COMMAND: "c", State.DATASET: "Cd"}
COMING = {
    Piece.COMMAND: ("c", b"\0\0"),
    Piece.LAST_OF_COMMAND: ("C", WITH_DATASET),
    Piece.LAST_AND_ALL: ("C", WITHOUT),
    Piece.DATASET: ("d", b"x"),
    Piece.LAST_OF_DATASET: ("D", b"x"),
}


@pytest.mark.parametrize("piece", Piece)
@pytest.mark.parametrize("state", State)
def test_every_piece_in_every_state(state, piece):
    """In every state, every piece leads where the table says, or is a fault that moves nothing."""
    assembler = Assembler()
    for kind in WAYS[state]:
        assembler.feed(pdv(kind, WITH_DATASET if kind == "C" else b""))
    assert assembler.state is state
    after = TABLE[state][piece]
    if isinstance(after, State):
        assembler.feed(pdv(*COMING[piece]))
        assert assembler.state is after
    else:
        with pytest.raises(ProtocolFault, match=after):
            assembler.feed(pdv(*COMING[piece]))
        assert assembler.state is state


class Walk(RuleBasedStateMachine):
    """An Assembler beside a model that knows the standard's order and nothing of the table."""

    def __init__(self):
        super().__init__()
        self.assembler = Assembler()
        self.command = None
        self.is_dataset_due = False
        self.context_id = 0

    def may(self, context_id):
        is_between = self.command is None and not self.is_dataset_due
        return is_between or context_id == self.context_id

    def feed(self, piece, *, allowed):
        if allowed:
            return self.assembler.feed(piece)
        with pytest.raises(ProtocolFault):
            self.assembler.feed(piece)
        return None

    @rule(data=st.binary(max_size=9), context_id=st.sampled_from([1, 1, 1, 3]))
    def part_of_command(self, data, context_id):
        allowed = self.may(context_id) and not self.is_dataset_due
        assert self.feed(pdv("c", data, context_id), allowed=allowed) is None
        if allowed:
            self.command = (self.command or b"") + data
            self.context_id = context_id

    @rule(has_dataset=st.booleans(), context_id=st.sampled_from([1, 1, 1, 3]))
    def rest_of_command(self, has_dataset, context_id):
        whole = WITH_DATASET if has_dataset else WITHOUT
        allowed = self.may(context_id) and not self.is_dataset_due and not self.command
        event = self.feed(pdv("C", whole, context_id), allowed=allowed)
        if allowed:
            assert (event.encoded, event.has_dataset) == (whole, has_dataset)
            self.command, self.is_dataset_due, self.context_id = None, has_dataset, context_id

    @rule(data=st.binary(max_size=9), is_last=st.booleans(), context_id=st.sampled_from([1, 1, 3]))
    def part_of_dataset(self, data, is_last, context_id):
        allowed = self.is_dataset_due and context_id == self.context_id
        event = self.feed(pdv("D" if is_last else "d", data, context_id), allowed=allowed)
        if allowed:
            assert event == (context_id, data, is_last)
            self.is_dataset_due = not is_last

    @invariant()
    def it_is_where_the_model_is(self):
        assert self.assembler.is_idle is (self.command is None and not self.is_dataset_due)


Walk.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestWalk = Walk.TestCase
TestWalk.__doc__ = "Any walk through the table goes as the standard's order of messages goes."


@given(st.text("cCdD", max_size=12), st.integers(0, 1))
def test_any_order_is_served_or_refused(order, dataset):
    """Whatever comes, there is an event, nothing yet, or a ProtocolFault."""
    assembler = Assembler()
    whole = WITHOUT if dataset else WITH_DATASET
    try:
        for kind in order:
            event = assembler.feed(pdv(kind, whole if kind == "C" else b""))
            assert event is None or isinstance(event, (Command, Fragment))
    except ProtocolFault:
        return


# -- commands


@given(st.binary(max_size=80))
def test_any_command_is_read_or_refused(encoded):
    """Any bytes in the place of a command set are a command or a ProtocolFault."""
    try:
        assert isinstance(parse_command(1, encoded), Command)
    except ProtocolFault:
        return


@given(place=st.integers(0, len(WITH_DATASET) - 1), byte=st.integers(0, 255))
@settings(max_examples=300)
def test_a_damaged_command_is_read_or_refused(place, byte):
    """With any byte of it changed, a command set is a command or a ProtocolFault."""
    damaged = bytearray(WITH_DATASET)
    damaged[place] = byte
    test_any_command_is_read_or_refused.hypothesis.inner_test(bytes(damaged))


def test_a_message_keeps_to_its_context():
    """A dataset in another presentation context than its command is a fault."""
    assembler = Assembler()
    assembler.feed(pdv("C", WITH_DATASET))
    with pytest.raises(ProtocolFault, match="presentation context 1"):
        assembler.feed(pdv("D", context_id=3))


def test_a_command_without_end_is_a_fault():
    """A command set is bounded, to the byte."""
    assembler = Assembler()
    assembler.feed(pdv("c", bytes(message.COMMAND_LIMIT)))
    assembler.feed(pdv("c", b""))
    with pytest.raises(ProtocolFault, match="longer than"):
        assembler.feed(pdv("c", b"\0"))


@pytest.mark.parametrize("status", [0, 0xA700])
@pytest.mark.parametrize("comment", ["", "odd", "x" * 100])
def test_response_is_read_by_pynetdicom(status, comment):
    """The response command set is what an independent decoder expects."""
    request = parse_command(1, command_of(uid="1.2.33", message_id=9))
    encoded = store_response(request, status, comment)
    found = decode(io.BytesIO(encoded), True, True)
    assert found.CommandGroupLength == len(encoded) - 12
    assert found.CommandField == 0x8001
    assert found.MessageIDBeingRespondedTo == 9
    assert found.Status == status
    assert found.CommandDataSetType == 0x0101
    assert found.AffectedSOPInstanceUID == "1.2.33"
    assert found.get("ErrorComment", "") == comment[:64]
    assert struct.unpack_from("<HHL", encoded) == (0, 0, 4)
