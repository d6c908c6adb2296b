"""C-GET as its requester sees it: objects and counts over one association."""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from examples.peers.process import wait_until
from examples.peers.raw_scu import p_data, store_rq
from examples.peers.retrieve_scu import (
    C_GET,
    CANCELLED,
    PENDING,
    STUDY_GET,
    Heard,
    Retriever,
    Stored,
    identifier,
)

PLAIN, MIXED, BIG = "1.2.9.1", "1.2.9.2", "1.2.9.3"
STUDY = identifier(level="STUDY", study=PLAIN)
CT, MR, PLAN = (f"1.2.840.10008.5.1.4.1.1.{last}" for last in ("2", "4", "481.5"))
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
RECEIVES = (CT, (EXPLICIT,))

Get = Callable[..., Heard]


@pytest.fixture
def get(scu) -> Get:
    """Ask for a C-GET and take all that comes."""

    def ask(*receives, asked: bytes = STUDY, calling: str = "SCU", **more) -> Heard:
        peer: Retriever = scu()
        peer.open(STUDY_GET, *(receives or [RECEIVES]), calling=calling)
        peer.ask(C_GET, STUDY_GET, asked)
        heard = peer.hear(**more)
        peer.release()
        return heard

    return ask


def counts(response) -> tuple[int | None, ...]:
    return response.remaining, response.completed, response.failed, response.warning


def test_a_study_comes_back_byte_for_byte(archive, get):
    """Every object of a Study comes over the same association, in order and unchanged."""
    heard = get()
    assert [one.sop_instance_uid for one in heard.stored] == [
        f"{PLAIN}.{1 + n // 6}.{n + 1}" for n in range(12)
    ]
    for one in heard.stored:
        assert one.dataset == archive.dataset(one.sop_instance_uid)
    assert (heard.last.status, counts(heard.last)) == (0, (None, 12, 0, 0))
    assert (heard.responses[0].status, counts(heard.responses[0])) == (PENDING, (12, 0, 0, 0))
    told = archive.last()
    assert (told.kind, told.completed, told.outcome) == ("get", 12, "0x0000")
    assert told.first_s is not None
    assert told.first_s < 0.5  # measured without others beside it: some 10 ms


def test_pending_counts_are_right_while_objects_come(get):
    """Told now and then while the requester takes its time, the counts always sum up."""

    def slowly(number: int) -> int:
        began_s = time.monotonic()
        if number in {4, 8}:
            wait_until(lambda: time.monotonic() - began_s > 0.25, 10, "a quarter of a second")
        return 0

    heard = get(status=slowly)
    told = [counts(each) for each in heard.responses]
    assert told == [(12, 0, 0, 0), (8, 4, 0, 0), (4, 8, 0, 0), (None, 12, 0, 0)]


def test_warnings_and_failures_of_the_requester_are_counted(get):
    """What the requester answers to each object is what the last response says."""
    answers = {1: 0xB007, 5: 0xC000}
    last = get(status=lambda number: answers.get(number, 0)).last
    assert (last.status, counts(last)) == (0xB000, (None, 10, 1, 1))
    assert last.failed_uids == (f"{PLAIN}.1.5",)


def test_without_a_context_to_receive_in_an_object_fails(get):
    """Objects of a SOP class for which no context was proposed are in the list of failures."""
    last = get((MR, (EXPLICIT,))).last
    assert (last.status, counts(last)) == (0xA702, (None, 0, 12, 0))
    assert "proposed no context" in last.comment


def test_what_is_compressed_goes_as_it_is_where_a_context_allows(archive, get):
    """With a context for its own syntax an object is sent unchanged, else decoded."""
    jp2k = "1.2.840.10008.1.2.4.90"
    asked = identifier(level="SERIES", study=MIXED, series=f"{MIXED}.1")
    whole = get((MR, (jp2k,)), (MR, (IMPLICIT,)), asked=asked)
    assert [one.context_id for one in whole.stored] == [3]
    assert whole.stored[0].dataset == archive.dataset(f"{MIXED}.1.1")
    decoded = get((MR, (IMPLICIT,)), asked=asked)
    assert len(decoded.stored[0].dataset) > len(whole.stored[0].dataset)


def test_a_context_of_many_syntaxes_gets_the_one_that_suits_all(scu):
    """Proposed together, what is not compressed is accepted: every object can be given in it."""
    peer = scu()
    mixed = (MR, ("1.2.840.10008.1.2.4.90", IMPLICIT, EXPLICIT))
    assert peer.open(STUDY_GET, mixed)[3] == (0, EXPLICIT)


@pytest.mark.parametrize(
    ("calling", "role", "result", "answered"),
    [
        ("ONLYGET", (0, 1), 0, {CT: (0, 1)}),
        ("ONLYGET", (1, 1), 0, {CT: (0, 1)}),
        ("ONLYGET", (1, 0), 1, {}),
        ("NARROW", (0, 1), 1, {}),
        ("SCU", (1, 1), 0, {CT: (1, 1)}),
    ],
)
def test_roles_are_given_to_who_may(scu, calling, role, result, answered):
    """Receiving takes "get", sending takes "store"; a context for neither is refused."""
    peer = scu()
    assert peer.open(STUDY_GET, RECEIVES, calling=calling, role=role)[3][0] == result
    assert peer.roles == answered


def test_who_may_only_get_cannot_store(archive, scu):
    """A context accepted to receive in does not let its peer store an object."""
    peer = scu()
    peer.open(STUDY_GET, RECEIVES, calling="ONLYGET", role=(1, 1))
    before = len(archive.files)
    assert peer.store(archive.dataset(f"{PLAIN}.1.1"), context_id=3, sop_instance="1.2.3") == 0x0124
    assert len(archive.files) == before


def test_a_cancel_is_heard_between_two_objects(scu):
    """C-CANCEL of the request ends it at once; of another request it changes nothing."""
    peer = scu()
    peer.open(STUDY_GET, RECEIVES)
    peer.ask(C_GET, STUDY_GET, STUDY)

    def each(one) -> None:
        if isinstance(one, Stored) and one.sop_instance_uid.endswith(".2"):
            peer.cancel(message_id=99)
        if isinstance(one, Stored) and one.sop_instance_uid.endswith(".3"):
            peer.cancel()

    heard = peer.hear(each=each)
    assert heard.last.status == CANCELLED
    assert counts(heard.last) == (9, 3, 0, 0)
    peer.ask(C_GET, STUDY_GET, STUDY, message_id=8)
    assert peer.hear().last.completed == 12
    peer.release()


def test_a_c_store_in_the_middle_is_an_abort(scu):
    """A peer that stores while it is being sent to is aborted; nothing is mixed up."""
    peer = scu()
    peer.open(STUDY_GET, RECEIVES, role=(1, 1))
    peer.ask(C_GET, STUDY_GET, STUDY)
    while not isinstance(peer.next(), Stored):
        pass
    began_s = time.monotonic()
    peer.send(p_data((3, 3, store_rq()), (3, 2, b"\0" * 8)))
    assert peer.read_to_end()[-1] == 7
    assert time.monotonic() - began_s < 3  # neither the time-out of an answer nor that of idleness


def test_one_retrieval_more_than_at_once_is_refused(open_archive, make_settings_of):
    """Past [retrieve] at_once a request is answered 0xA702 at once; later there is room again."""
    archive = open_archive(make_settings_of(retrieve={"at_once": 1, "timeout_s": 5}))
    first, second = (Retriever(archive.listener.port) for _ in range(2))
    for peer in (first, second):
        peer.open(STUDY_GET, RECEIVES)
    first.ask(C_GET, STUDY_GET, STUDY)
    while not isinstance(one := first.next(), Stored):
        pass
    second.ask(C_GET, STUDY_GET, STUDY)
    refused = second.hear().last
    assert refused.status == 0xA702
    assert "at_once" in refused.comment or "under way" in refused.comment
    first.answer(one, 0)
    assert first.hear().last.completed == 12
    second.ask(C_GET, STUDY_GET, STUDY, message_id=8)
    assert second.hear().last.completed == 12
    for peer in (first, second):
        peer.release()


def test_a_requester_that_answers_nothing_gives_its_place_back(open_archive, make_settings_of):
    """Without an answer to a C-STORE all has failed after the time-out, and others are served."""
    archive = open_archive(make_settings_of(retrieve={"at_once": 1, "timeout_s": 0.5}))
    mute, other = (Retriever(archive.listener.port) for _ in range(2))
    for peer in (mute, other):
        peer.open(STUDY_GET, RECEIVES)
    mute.ask(C_GET, STUDY_GET, STUDY)
    while isinstance(one := mute.next(), Stored) or one.status == PENDING:
        pass
    assert (one.status, counts(one)) == (0xA702, (None, 0, 12, 0))
    other.ask(C_GET, STUDY_GET, STUDY)
    assert other.hear().last.completed == 12
    for peer in (mute, other):
        peer.release()


def test_a_requester_that_leaves_frees_everything(archive, scu):
    """An abort in the middle ends the retrieval and its threads at once."""
    before = threading.active_count()
    peer = scu()
    peer.open(STUDY_GET, RECEIVES)
    peer.ask(C_GET, STUDY_GET, STUDY)
    while not isinstance(peer.next(), Stored):
        pass
    peer.abort()
    assert archive.last().outcome == "gone"
    wait_until(lambda: not archive.listener.open_associations, 5, "the end of the association")
    wait_until(lambda: threading.active_count() <= before, 5, "the end of its threads")


def test_fifty_that_never_read_stop_nobody(archive, get):
    """Fifty requesters that read nothing cost no memory, and another one is served meanwhile."""
    with ExitStack() as stack:
        peers = [stack.enter_context(_closing(archive.listener.port)) for _ in range(50)]
        for peer in peers:
            peer.open(STUDY_GET, RECEIVES)
        memory = _private_bytes()
        for peer in peers:
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.ask(C_GET, STUDY_GET, identifier(level="STUDY", study=BIG))
        began_s = time.monotonic()
        assert get().last.completed == 12
        assert time.monotonic() - began_s < 3
        assert _private_bytes() - memory < 60 << 20


class _closing(Retriever):  # noqa: N801  (a context manager)
    def __enter__(self) -> Retriever:
        return self

    def __exit__(self, *_: object) -> None:
        self.reset()


def _private_bytes() -> int:
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError


def test_under_tls_a_study_comes_back_as_well(open_archive, make_settings_of, make_ct, pki):
    """On the port under TLS objects larger than a TLS record come back byte for byte."""
    archive = open_archive(make_settings_of(tls={"port": 0, **pki.tls()}))
    archive.keep(make_ct(PLAIN, "2", 13, pixels=512))
    archive.file()
    peer = Retriever(archive.listener.tls_port, pki.authority.client(pki.client))
    peer.open(STUDY_GET, RECEIVES)
    peer.ask(C_GET, STUDY_GET, STUDY)
    heard = peer.hear()
    assert heard.last.completed == 13
    for one in heard.stored:
        assert one.dataset == archive.dataset(one.sop_instance_uid)
    peer.release()
