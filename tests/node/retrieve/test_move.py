"""C-MOVE as a requester and a receiver see it, at each response and each object."""

import socket
import struct
import time
from collections.abc import Callable

import pytest

from dicom.context import storage_contexts
from examples.peers.process import wait_until
from examples.peers.retrieve_scu import (
    C_MOVE,
    CANCELLED,
    PATIENT_MOVE,
    PENDING,
    STUDY_MOVE,
    Heard,
    Response,
    Retriever,
    identifier,
)

PLAIN, MIXED, PATIENT = "1.2.9.1", "1.2.9.2", "ZZ-4711-0815"
STUDY = identifier(level="STUDY", study=PLAIN)
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"

Move = Callable[..., Heard]


@pytest.fixture
def move(scu) -> Move:
    """Ask for a C-MOVE and take all that comes."""

    def ask(asked: bytes = STUDY, to: str = "DEST", model: str = STUDY_MOVE, **more) -> Heard:
        peer = scu()
        peer.open(model, calling=more.pop("calling", "SCU"), relational=more.pop("relational", b""))
        peer.ask(C_MOVE, model, asked, destination=to, **more)
        heard = peer.hear()
        peer.release()
        return heard

    return ask


def counts(response: Response) -> tuple[int | None, ...]:
    return response.remaining, response.completed, response.failed, response.warning


def test_a_study_goes_to_a_peer_byte_for_byte(archive, destination, move):
    """Every object of a Study arrives in order, in the syntax and with the bytes it came in."""
    heard = move()
    assert heard.last.status == 0
    assert counts(heard.last) == (None, 12, 0, 0)
    assert destination.received() == [f"{PLAIN}.{1 + n // 6}.{n + 1}" for n in range(12)]
    for uid, syntax, dataset in destination.stored:
        assert syntax == EXPLICIT
        assert dataset == archive.dataset(uid)


def test_counts_are_right_at_every_response(destination, move):
    """The first response comes before any object, and each says what has become of all twelve."""
    heard = move()
    first, *others = heard.responses
    assert (first.status, counts(first)) == (PENDING, (12, 0, 0, 0))
    for each in others[:-1]:
        assert each.status == PENDING
        assert sum(counts(each)) == 12
        assert not each.failed_uids


def test_the_requester_hears_once_a_second_while_one_object_takes_long(destination, move):
    """A receiver that takes its time over one object does not leave the requester in the dark."""
    began_s = time.monotonic()

    def slow(number: int) -> int:
        if number == 2:
            wait_until(lambda: time.monotonic() - began_s > 2.5, 10, "two beats")
        return 0

    destination.behaviour.status = slow
    told = [each for each in move().responses if counts(each) == (11, 1, 0, 0)]
    assert len(told) >= 2


def test_the_receiver_hears_on_whose_behalf(destination, move):
    """A C-STORE of a C-MOVE names requester and request, and has the priority of that."""
    move(message_id=513, priority=1)
    for command in destination.commands:
        assert command[0x1030] == b"SCU "
        assert command[0x1031] == struct.pack("<H", 513)
        assert command[0x0700] == struct.pack("<H", 1)


@pytest.mark.parametrize(
    ("model", "keys", "expected"),
    [
        (PATIENT_MOVE, {"level": "PATIENT", "patient": PATIENT}, 19),
        (PATIENT_MOVE, {"level": "STUDY", "patient": PATIENT, "study": PLAIN}, 12),
        (STUDY_MOVE, {"level": "STUDY", "study": f"{PLAIN}\\{MIXED}"}, 18),
        (STUDY_MOVE, {"level": "SERIES", "study": PLAIN, "series": f"{PLAIN}.1"}, 6),
        (STUDY_MOVE, {"level": "SERIES", "study": PLAIN, "series": f"{PLAIN}.1\\{PLAIN}.2"}, 12),
        (
            STUDY_MOVE,
            {
                "level": "IMAGE", "study": PLAIN, "series": f"{PLAIN}.1",
                "image": f"{PLAIN}.1.2\\{PLAIN}.1.4\\{PLAIN}.2.12",
            },
            2,
        ),
        (PATIENT_MOVE, {"level": "STUDY", "patient": "SOMEBODY", "study": PLAIN}, 0),
        (STUDY_MOVE, {"level": "STUDY", "study": "9.9.9"}, 0),
    ],
)  # fmt: skip
def test_every_level_names_what_is_sent(destination, move, model, keys, expected):
    """Unique keys name what goes, at each level; what names nothing is a success of nothing."""
    destination.behaviour.accepts = lambda _class, _syntax: True
    heard = move(identifier(**keys), model=model)
    assert len(destination.stored) == expected
    assert heard.last.status == 0
    assert counts(heard.last) == (None, expected, 0, 0)


def test_relational_retrieval_is_granted_to_who_negotiates_it(destination, move):
    """With extended negotiation a Series needs no Study above it; without, it is refused."""
    alone = identifier(level="SERIES", series=f"{PLAIN}.2")
    assert move(alone).last.offending == 0x0020000D
    assert move(alone, relational=b"\1").last.completed == 6


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        (identifier(study=PLAIN), 0x00080052),
        (identifier(level="PATIENT", patient=PATIENT), 0x00080052),
        (identifier(level="SERIES", study=PLAIN), 0x0020000E),
        (identifier(level="SERIES", series=f"{PLAIN}.1"), 0x0020000D),
        (identifier(level="STUDY", study=PLAIN, series=f"{PLAIN}.1"), 0x0020000E),
        (identifier(level="STUDY", study="'; DROP TABLE instance"), 0x0020000D),
    ],
)
def test_a_wrong_identifier_is_refused_with_the_element(destination, move, asked, tag):
    """What breaks a rule is answered 0xA900 with the offending element, and nothing is sent."""
    heard = move(asked)
    assert [each.status for each in heard.responses] == [0xA900]
    assert heard.last.offending == tag
    assert heard.last.comment
    assert not destination.associations


@pytest.mark.parametrize(
    ("to", "calling", "status"),
    [
        ("STRANGER", "SCU", 0xA801),
        ("NOHOST", "SCU", 0xA801),
        ("", "SCU", 0xA801),
        ("ELSE", "NARROW", 0xA801),
        ("DEST", "NARROW", 0x0000),
        ("ITSELF", "ITSELF", 0x0000),
        ("DEST", "ITSELF", 0xA801),
    ],
)
def test_only_peers_that_the_config_names_receive(destination, move, to, calling, status):
    """A destination is a peer with host and port: the requester itself, or one of its move_to."""
    assert move(to=to, calling=calling).last.status == status
    assert len(destination.stored) == (12 if status == 0 else 0)


def test_who_may_not_move_gets_no_context(scu):
    """Without "move" in may the context is refused, so that no request can be made."""
    for calling in ("ONLYGET", "NOTHING"):
        assert scu().open(STUDY_MOVE, calling=calling)[1][0] == 1


def test_a_receiver_that_is_not_there_fails_all(move):
    """Nobody answering is 0xA702 with every object in the list of failures, told at once."""
    began_s = time.monotonic()
    last = move(to="NOBODY").last
    assert last.status == 0xA702
    assert counts(last) == (None, 0, 12, 0)
    assert len(last.failed_uids) == 12
    assert "nobody answers" in last.comment
    assert time.monotonic() - began_s < 3


def test_a_receiver_that_rejects_fails_all(destination, move):
    """A rejected association is tried once, and fails the retrieval."""
    destination.behaviour.reject = lambda _number: (1, 1, 3)
    assert move().last.status == 0xA702
    assert destination.associations == 1


def test_a_receiver_that_aborts_costs_one_object(archive, destination, move):
    """What was under way at an abort has failed; the others go on over a new association."""
    destination.behaviour.abort_at = 3
    last = move().last
    assert last.status == 0xB000
    assert counts(last) == (None, 11, 1, 0)
    assert last.failed_uids == (f"{PLAIN}.1.3",)
    assert destination.associations == 2
    assert archive.last().failed == 1


def test_warnings_are_counted_and_failures_listed(destination, move):
    """Each answer of the receiver is counted as what it is; the failed are named."""
    answers = {2: 0xB000, 4: 0xA900, 6: 0x0111, 8: 0xC123}
    destination.behaviour.status = lambda number: answers.get(number, 0)
    last = move().last
    assert last.status == 0xB000
    assert counts(last) == (None, 8, 2, 2)
    assert last.failed_uids == (f"{PLAIN}.1.4", f"{PLAIN}.2.8")


def test_a_receiver_that_is_full_is_not_asked_for_ever(destination, move):
    """After five refusals for want of resources in a row, the rest has failed without trying."""
    destination.behaviour.status = lambda _number: 0xA700
    last = move().last
    assert (last.status, last.failed) == (0xA702, 12)
    assert destination.objects == 5


def test_all_refused_by_kind_are_failures(destination, move):
    """A receiver that takes none of the SOP class fails all of it, with a reason."""
    destination.behaviour.accepts = lambda _class, _syntax: False
    last = move().last
    assert (last.status, last.failed) == (0xA702, 12)
    assert "does not accept" in last.comment or "accepts nothing" in last.comment


def test_syntaxes_are_changed_without_loss_where_a_receiver_needs_it(archive, destination, move):
    """A receiver of Implicit VR alone gets decoded objects; what cannot be decoded fails."""
    destination.behaviour.accepts = lambda _class, syntax: syntax == IMPLICIT
    last = move(identifier(level="STUDY", study=MIXED)).last
    assert (last.status, counts(last)) == (0xB000, (None, 5, 1, 0))
    assert last.failed_uids == (f"{MIXED}.5.1",)  # no codec here decodes JPEG of 12 bits
    assert "cannot be given in Implicit VR" in last.comment
    assert {syntax for _, syntax, _ in destination.stored} == {IMPLICIT}


def test_the_stored_syntax_comes_first(archive, destination, move):
    """A receiver that takes everything gets each object as it lies in the spool."""
    assert move(identifier(level="STUDY", study=MIXED)).last.completed == 6
    for uid, _, dataset in destination.stored:
        assert dataset == archive.dataset(uid)
    assert len({syntax for _, syntax, _ in destination.stored}) == 6


def test_a_cancel_is_heard_between_two_objects(destination, scu):
    """C-CANCEL ends it within 100 ms of the object under way: 0xFE00, with what is left."""
    peer = scu()

    def cancelling(number: int) -> int:
        if number == 5:
            peer.cancel()
            began_s = time.monotonic()
            wait_until(lambda: time.monotonic() - began_s > 0.1, 10, "100 ms")
        return 0

    destination.behaviour.status = cancelling
    peer.open(STUDY_MOVE)
    peer.ask(C_MOVE, STUDY_MOVE, STUDY, destination="DEST")
    last = peer.hear().last
    assert last.status == CANCELLED
    assert last.remaining is not None
    assert last.remaining + len(destination.stored) == 12
    assert len(destination.stored) == 5
    peer.release()


def test_a_requester_that_leaves_stops_its_move(archive, destination, scu):
    """When the requester aborts, no more is sent, and the receiver's association is released."""
    peer = scu()
    destination.behaviour.status = lambda number: peer.abort() or 0 if number == 4 else 0
    peer.open(STUDY_MOVE)
    peer.ask(C_MOVE, STUDY_MOVE, STUDY, destination="DEST")
    assert archive.last().outcome == "gone"
    wait_until(lambda: not destination.open, 5, "the end of the association")
    assert len(destination.stored) < 12


@pytest.mark.parametrize("silent", ["to an association", "to an object"])
def test_a_receiver_that_says_nothing_gives_its_place_back(
    open_archive, make_settings_of, destination, silent
):
    """After the time-out all has failed, and the one place that there is is free again."""
    destination.behaviour.hang_at = 1
    with socket.create_server(("127.0.0.1", 0)) as mute:
        peers = {
            "MUTE": {"host": "127.0.0.1", "port": mute.getsockname()[1]},
            "SCU": {"may": ["move"], "move_to": ["MUTE", "DEST"]},
        }
        retrieve = {"at_once": 1, "timeout_s": 0.5}
        archive = open_archive(make_settings_of(retrieve=retrieve, peers=peers))
        peer = Retriever(archive.listener.port)
        peer.open(STUDY_MOVE)
        to = "MUTE" if silent == "to an association" else "DEST"
        peer.ask(C_MOVE, STUDY_MOVE, STUDY, destination=to)
        last = peer.hear().last
        assert (last.status, counts(last)) == (0xA702, (None, 0, 12, 0))
        assert 0.4 < archive.last().seconds < 3
        destination.behaviour.hang_at = 0
        peer.ask(C_MOVE, STUDY_MOVE, STUDY, destination="DEST", message_id=8)
        assert peer.hear().last.completed == 12
        peer.release()


def test_one_association_serves_one_request_after_another(destination, scu):
    """Several requests on one association each have counts and ids of their own."""
    peer: Retriever = scu()
    peer.open(STUDY_MOVE)
    for number in (1, 2, 3):
        peer.ask(C_MOVE, STUDY_MOVE, STUDY, destination="DEST", message_id=number)
        assert peer.hear().last.completed == 12
    peer.release()
    assert len(destination.stored) == 36


def test_more_contexts_than_an_association_has_take_several(
    open_archive, make_settings_of, make_ct, destination
):
    """Objects of seventy SOP classes, each in three syntaxes, go over two associations."""
    archive = open_archive(make_settings_of())
    classes = sorted(str(each.abstract_syntax) for each in storage_contexts())[:70]
    many = "1.2.9.8"
    for number, sop_class in enumerate(classes):
        archive.keep(make_ct(many, "1", number + 1, sop_class=sop_class))
    archive.file()
    peer = Retriever(archive.listener.port)
    peer.open(STUDY_MOVE)
    asked = identifier(level="STUDY", study=many)
    peer.ask(C_MOVE, STUDY_MOVE, asked, destination="DEST")
    last = peer.hear().last
    peer.release()
    assert (last.status, last.completed) == (0, 70), last
    assert destination.associations == 2
    assert all(len(each) <= 128 for each in destination.proposed)
