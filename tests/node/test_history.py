"""The memory of the door: the latest associations, with words and fixes, and no more."""

import itertools
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.admission import AssociationFacts, AssociationRequest, Cause, Reject, Result, Source
from node.advice import IDLE, PEER_ABORTED, STOPPED
from node.conversation import AssociationWatcher, Ending, Outcome
from node.history import ACCEPTED, CONTEXTS_KEPT, KEPT, NO_TLS, OPEN, REJECTED, History
from node.negotiation import DoorWatcher, Negotiated, Refusal, RefusedContext
from node.plain import plain

NOBODY = Reject(Result.PERMANENT, Source.SERVICE_USER, 3, "why", "fix", Cause.UNKNOWN_CALLER)
GOT_ONE = Negotiated(1, ())
WELL = Ending(Outcome.RELEASED, "", {0: 2}, 100, 0.5)


@pytest.fixture
def history():
    """A history whose clock ticks a second each time it is looked at."""
    ticks, ids = itertools.count(1000), itertools.count()
    return History(lambda: float(next(ticks)), lambda: f"h{next(ids)}")


def facts(number=1, calling="CT1", **more):
    return AssociationFacts(f"a{number}", calling, "PENUMBRA", "10.1.2.3", float(number), **more)


def request(calling="CT1", **more):
    return AssociationRequest(calling, "PENUMBRA", "10.1.2.3", 0, **more)


def go_through(history, number, ending=WELL, negotiated=GOT_ONE, calling="CT1"):
    """One association from its beginning to its end; returns what is remembered of it."""
    history.on_opened(facts(number, calling))
    history.on_negotiated(facts(number, calling), negotiated)
    history.on_stored(facts(number, calling), 0, 100)
    history.on_closed(facts(number, calling), ending)
    (entry,) = history.find(f"a{number}")
    return entry


def test_it_watches(history):
    """The history is a watcher of both kinds."""
    watcher: AssociationWatcher = history
    of_the_door: DoorWatcher = history
    assert watcher is of_the_door


def test_an_association_that_went_well(history):
    """It is remembered from its beginning, with everything that came of it, and is not bad."""
    history.on_opened(facts(tls_name="ct1.example"))
    (entry,) = history.latest(10)
    assert (entry.verdict, entry.outcome, entry.seconds) == (ACCEPTED, OPEN, 0)
    history.on_negotiated(facts(), Negotiated(3, ()))
    history.on_closed(facts(), Ending(Outcome.RELEASED, "", {0: 7, 0xB000: 1}, 900, 2.5))
    (entry,) = history.latest(10)
    assert (entry.calling_ae, entry.called_ae, entry.address) == ("CT1", "PENUMBRA", "10.1.2.3")
    assert (entry.outcome, entry.seconds, entry.size_bytes) == ("released", 2.5, 900)
    assert entry.statuses == {"0x0000": 7, "0xB000": 1}
    assert (entry.accepted_contexts, entry.refused_contexts, entry.tls_name) == (
        3,
        0,
        "ct1.example",
    )
    assert (entry.words, entry.fix, entry.is_bad) == ("", "", False)
    assert history.latest(10, only_bad=True) == []


REFUSED = tuple(RefusedContext(f"1.2.{n}", Refusal.NOT_PERMITTED, "permit") for n in range(20))


@pytest.mark.parametrize(
    ("ending", "negotiated", "words", "fix"),
    [
        (Ending(Outcome.LOST, "the peer closed", {}, 0, 1), (1, 0), "the peer closed", "network"),
        (Ending(Outcome.ABORTED, f"{IDLE} 60 s", {}, 0, 1), (1, 0), "60 s", "idle_timeout_s"),
        (Ending(Outcome.ABORTED, PEER_ABORTED, {}, 0, 1), (1, 0), "aborted", "sender's own log"),
        (Ending(Outcome.ABORTED, STOPPED, {}, 0, 1), (1, 0), "stopped", "tries again"),
        (Ending(Outcome.ABORTED, "PDU type 9", {}, 0, 1), (1, 0), "PDU type 9", "vendor"),
        (Ending(Outcome.RELEASED, "", {0: 1, 0xA700: 2}, 0, 1), (1, 0), "2 objects", "room"),
        (Ending(Outcome.RELEASED, "", {0x0124: 1}, 0, 1), (1, 0), "1 object refused", '"store"'),
        (Ending(Outcome.RELEASED, "", {0xA900: 1}, 0, 1), (1, 0), "0xA900", "object refused"),
        (Ending(Outcome.RELEASED, "", {0x0110: 1}, 0, 1), (1, 0), "0x0110", "fault of the node"),
        (Ending(Outcome.RELEASED, "", {}, 0, 1), (0, 20), "20 of 20 contexts refused", "permit"),
    ],
)  # fmt: skip
def test_what_did_not_go_well(history, ending, negotiated, words, fix):
    """Each way to go wrong has words and a fix, and is among the bad."""
    accepted, refused = negotiated
    entry = go_through(history, 1, ending, Negotiated(accepted, REFUSED[:refused]))
    assert entry.is_bad
    assert words in entry.words
    assert fix in entry.fix
    assert history.latest(10, only_bad=True) == [entry]
    assert len(history.latest(10)) == 1


def test_a_part_refused_is_said_but_not_bad(history):
    """An association that got some of its contexts went well; what it did not get is told."""
    entry = go_through(history, 1, negotiated=Negotiated(1, REFUSED))
    assert not entry.is_bad
    assert (entry.refused_contexts, len(entry.refused)) == (20, CONTEXTS_KEPT)
    assert "not permitted" in entry.words
    assert entry.fix == "permit"


def test_who_was_turned_away(history):
    """A rejection keeps its cause, words and fix, under the id that stands in the log."""
    history.on_rejected(request(id="r1", tls_name="x"), NOBODY)
    (entry,) = history.find("r1")
    assert (entry.verdict, entry.cause, entry.at) == (REJECTED, "calling AE title unknown", 1000)
    assert (entry.words, entry.fix, entry.is_bad, entry.outcome) == ("why", "fix", True, "")
    history.on_failed_handshake("10.0.0.9", "no certificate")
    (_, entry) = history.latest(2, only_bad=True)
    assert (entry.verdict, entry.address, entry.words) == (NO_TLS, "10.0.0.9", "no certificate")
    assert entry.fix


def test_the_last_thousand_of_each_kind(history):
    """Neither rejections nor probes push out what was accepted, nor the other way round."""
    for number in range(KEPT + 5):
        go_through(history, number)
        history.on_rejected(request(id=f"r{number}"), NOBODY)
        history.on_failed_handshake("10.0.0.9", "")
    ids = [one.id for one in history.latest(10 * KEPT)]
    assert len(ids) == 3 * KEPT
    assert {"a4", "r4"}.isdisjoint(ids)
    assert {"a5", "r5", f"a{KEPT + 4}"} <= set(ids)
    assert not history._open
    assert not history._negotiated


def test_what_went_badly_outlasts_what_went_well(history):
    """A thousand associations later, the one that broke off is still there, once."""
    go_through(history, 1, Ending(Outcome.LOST, "gone", {}, 0, 1))
    for number in range(2, KEPT + 2):
        go_through(history, number)
    assert [one.id for one in history.latest(1, only_bad=True)] == ["a1"]
    assert len(history.latest(10 * KEPT)) == KEPT + 1


@given(st.lists(st.sampled_from(["well", "badly", "rejected"]), max_size=30), st.integers(0, 40))
def test_the_latest_are_the_last_in_order(kinds, limit):
    """Any mixture is listed oldest first, each once, and cut to its newest."""
    ticks = itertools.count()
    history = History(lambda: float(next(ticks)), str)
    for number, kind in enumerate(kinds):
        if kind == "rejected":
            history.on_rejected(request(id=f"a{number}"), NOBODY)
            continue
        next(ticks)
        ending = WELL if kind == "well" else Ending(Outcome.LOST, "gone", {}, 0, 1)
        go_through(history, number, ending)
    assert [one.id for one in history.latest(limit)] == [
        f"a{number}" for number in range(len(kinds))
    ][max(0, len(kinds) - limit) :]
    bad = [f"a{number}" for number, kind in enumerate(kinds) if kind != "well"]
    assert [one.id for one in history.latest(99, only_bad=True)] == bad


def test_one_caller(history):
    """The list can be that of one calling AE title."""
    go_through(history, 1, calling="CT1")
    go_through(history, 2, calling="MR1")
    history.on_rejected(request("CT1", id="r"), NOBODY)
    assert [one.id for one in history.latest(10, caller="CT1")] == ["a1", "r"]


@pytest.mark.p6
@given(st.text(max_size=40), st.text(max_size=40))
def test_titles_are_cut_and_printable(calling, called):
    """Whatever a caller calls itself, sixteen printable characters of it are kept."""
    history = History(float)
    history.on_rejected(AssociationRequest(calling, called, "10.1.2.3", 0, id="r"), NOBODY)
    (entry,) = history.latest(1)
    for title in (entry.calling_ae, entry.called_ae):
        assert len(title) <= 16
        assert title.isprintable()


def test_facts_are_plain(history):
    """What goes over the control socket is JSON, with the refused contexts in it."""
    go_through(history, 1, negotiated=Negotiated(1, REFUSED))
    history.on_rejected(request(id="r"), NOBODY)
    told = history.recall(limit=10, caller="", only_bad=False, prefix="")
    again = json.loads(json.dumps(plain(told)))
    assert again[0]["refused"][0] == {
        "abstract_syntax": "1.2.0", "why": "not permitted", "fix": "permit",
    }  # fmt: skip
    assert [one["id"] for one in again] == ["a1", "r"]
    (found,) = history.recall(limit=10, caller="", only_bad=False, prefix="r")
    assert found["id"] == "r"


def test_threads_lose_nothing(history):
    """Fifty threads that note at the same moment, and one that reads, agree on the sum."""
    barrier = threading.Barrier(51)

    def note(number):
        barrier.wait()
        for step in range(10):
            go_through(history, number * 100 + step + 10_000)
            history.on_rejected(request(id=f"r{number}-{step}"), NOBODY)

    threads = [threading.Thread(target=note, args=(number,)) for number in range(50)]
    for one in threads:
        one.start()
    barrier.wait()
    while any(one.is_alive() for one in threads):
        history.latest(5)
    assert len(history.latest(5000)) == 1000


def by_abort(peer, wire):
    peer.send(wire.ABORT)
    peer.read_to_end()


def by_closing(peer, wire):
    peer.close()


def by_silence(peer, wire):
    peer.read_to_end()


def by_nonsense(peer, wire):
    peer.send(b"\xff" * 6)
    peer.read_to_end()


@pytest.mark.parametrize(
    ("leave", "outcome", "fix"),
    [
        (by_abort, "aborted", "the sender's own log says why"),
        (by_closing, "lost", "network between"),
        (by_silence, "aborted", "[node] idle_timeout_s"),
        (by_nonsense, "aborted", "breaks the upper layer protocol"),
    ],
)
def test_the_doors_own_words_have_a_fix(open_door, call, leave, outcome, fix, *, wire):
    """What a real association leaves in the memory fits the advice that is given on it."""
    history = History(float)
    door = open_door(watchers=[history], idle_timeout_s=0.5 if leave is by_silence else 20)
    peer = call(door)
    peer.associate()
    peer.store(wire.dataset_of())
    leave(peer, wire)
    door.is_quiet()
    (entry,) = history.latest(10)
    assert (entry.outcome, entry.statuses) == (outcome, {"0x0000": 1})
    assert entry.words
    assert fix in entry.fix


def test_an_open_association_is_there_already(open_door, call, wire):
    """Who is in the middle of sending is listed, under the id that its objects carry."""
    history = History(float)
    door = open_door(watchers=[history])
    peer = call(door)
    peer.associate()
    peer.store(wire.dataset_of())
    (entry,) = history.latest(10)
    assert entry.outcome == OPEN
    assert entry.id == door.stored[0].arrival.association
