"""C-STORE as SCU: bytes unchanged, every syntax, and a way on after whatever a peer does."""

import threading
import time
import zlib
from itertools import pairwise

import pytest
from pynetdicom import evt
from pynetdicom.presentation import build_context

from dicom import scu
from dicom.context import TRANSFER_SYNTAXES
from dicom.encoding import DEFLATED
from dicom.errors import Busy, Refused, Unreachable
from dicom.wire import AssociationLost
from examples.peers.process import wait_until

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def send(sender, part10, uid="1.2.3", *, sop_class=CT, syntax=EXPLICIT):
    return sender.store(
        [part10], sop_class_uid=sop_class, sop_instance_uid=uid, transfer_syntax_uid=syntax
    )


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_bytes_arrive_unchanged_in_every_syntax(lasting_scp, store_scu, part10, syntax):
    """Nothing is decoded on the way: bytes that no codec could read arrive as they are."""
    peer = lasting_scp()
    dataset = bytes(range(256)) * 300
    assert send(store_scu(peer.peer()), part10(dataset, syntax), syntax=syntax) == 0
    assert peer.stored[-1] == ("1.2.3", syntax, dataset)


@pytest.mark.parametrize("size", [1, 2, 255, 16_372, 16_378, 16_379, 16_380, 40_001, 1 << 21])
@pytest.mark.parametrize("max_pdu", [0, 4096, 16_384])
def test_every_length_arrives(lasting_scp, store_scu, part10, size, max_pdu):
    """Datasets are cut into PDUs of the peer's maximum, whatever their length, none or all."""
    peer = lasting_scp(maximum_pdu_size=max_pdu)
    dataset = bytes([size % 256]) * size
    assert send(store_scu(peer.peer()), part10(dataset)) == 0
    assert peer.stored[-1][2] == dataset


def test_chunks_are_joined_in_order(scp, store_scu, part10):
    """A file in chunks, cut anywhere, arrives as if it were whole."""
    peer = scp()
    dataset = bytes(i * 7 % 256 for i in range(50_000))
    whole = part10(dataset)
    cuts = [0, 1, 130, 133, 150, 151, 20_000, 20_001, len(whole)]
    chunks = [memoryview(whole)[a:b] for a, b in pairwise(cuts)]
    sender = store_scu(peer.peer())
    assert sender.store(
        [*chunks, b""], sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax_uid=EXPLICIT
    ) == 0  # fmt: skip
    assert peer.stored[0][2] == dataset


@pytest.mark.parametrize("syntax", sorted(DEFLATED))
def test_an_odd_deflated_dataset_is_padded(scp, store_scu, part10, syntax):
    """A deflated dataset of odd length gets the padding that its file lacks (PS3.5 A.5)."""
    peer = scp()
    deflate = zlib.compressobj(wbits=-15)
    dataset = deflate.compress(b"abcdefghi" * 100) + deflate.flush()
    dataset = dataset if len(dataset) % 2 else dataset + b"\0"
    send(store_scu(peer.peer()), part10(dataset[: len(dataset) | 1], syntax), syntax=syntax)
    arrived = peer.stored[0][2]
    assert len(arrived) % 2 == 0
    assert zlib.decompressobj(-15).decompress(arrived) == b"abcdefghi" * 100


def test_one_association_serves_many(scp, store_scu, part10):
    """Objects of one kind follow one another on one association, released at the end."""
    peer = scp()
    sender = store_scu(peer.peer())
    for number in range(20):
        assert send(sender, part10(b"ab"), f"1.{number}") == 0
    sender.close()
    assert [uid for uid, _, _ in peer.stored] == [f"1.{number}" for number in range(20)]
    assert len(peer.associations) == 1
    wait_until(lambda: peer.associations[0].is_released, 5, "the release")


def test_a_new_kind_is_proposed_when_it_comes(scp, store_scu, part10):
    """Another SOP class or syntax opens a new association; one named before does not."""
    peer = scp()
    sender = store_scu(peer.peer())
    sender.propose([(CT, EXPLICIT), (CT, IMPLICIT)])
    send(sender, part10(b"ab"), "1.1")
    send(sender, part10(b"ab", IMPLICIT), "1.2", syntax=IMPLICIT)
    assert len(peer.associations) == 1
    send(sender, part10(b"ab"), "1.3", sop_class=MR)
    send(sender, part10(b"ab"), "1.4")
    assert len(peer.associations) == 2
    assert [uid for uid, _, _ in peer.stored] == ["1.1", "1.2", "1.3", "1.4"]


def test_more_kinds_than_an_association_holds(scp, store_scu, part10):
    """More than 128 kinds are spread over associations, and all are stored."""
    peer = scp()
    sender = store_scu(peer.peer())
    kinds = [(sop_class, syntax) for sop_class in (CT, MR, "1.2.840.10008.5.1.4.1.1.7")
             for syntax in TRANSFER_SYNTAXES]  # fmt: skip
    sender.propose(kinds)
    assert len(kinds) > 128
    for number, (sop_class, syntax) in enumerate(kinds):
        send(sender, part10(b"abcd", syntax), f"1.{number}", sop_class=sop_class, syntax=syntax)
    assert len(peer.stored) == len(kinds)
    assert 2 <= len(peer.associations) < 10


def test_a_kind_that_is_not_taken_is_refused_alone(scp, store_scu, part10):
    """What the peer does not accept is refused by name; the rest goes on as before."""
    peer = scp(contexts=[build_context(CT, [EXPLICIT])])
    sender = store_scu(peer.peer())
    assert send(sender, part10(b"ab"), "1.1") == 0
    for _ in range(2):
        with pytest.raises(Refused, match=rf"{MR} in transfer syntax {EXPLICIT}"):
            send(sender, part10(b"ab"), "1.2", sop_class=MR)
        with pytest.raises(Refused, match=f"{IMPLICIT}$"):
            send(sender, part10(b"ab", IMPLICIT), "1.3", syntax=IMPLICIT)
    assert send(sender, part10(b"ab"), "1.4") == 0
    assert [uid for uid, _, _ in peer.stored] == ["1.1", "1.4"]
    assert len(peer.associations) <= 4, "what was refused once is not proposed again"


def test_a_peer_that_takes_nothing_is_asked_once(scp, store_scu, part10):
    """Where no context is accepted, objects of the same kind are refused without a new call."""
    peer = scp(contexts=[build_context(MR, [EXPLICIT])])
    sender = store_scu(peer.peer())
    for number in range(3):
        with pytest.raises(Refused, match="does not accept"):
            send(sender, part10(b"ab"), f"1.{number}")
    assert len(peer.associations) == 1


@pytest.mark.parametrize(
    ("code", "fault"), [(0xA700, Busy), (0xA900, Refused), (0xC001, Refused), (0x0122, Refused)]
)
def test_a_failure_leaves_the_association_open(scp, store_scu, part10, code, fault):
    """After a failure status the next object goes over the same association."""
    codes = iter([code, 0, 0xB000])
    peer = scp(answer=lambda _: next(codes))
    sender = store_scu(peer.peer())
    with pytest.raises(fault):
        send(sender, part10(b"ab"), "1.1")
    assert send(sender, part10(b"ab"), "1.2") == 0
    assert send(sender, part10(b"ab"), "1.3") == 0xB000
    assert len(peer.associations) == 1


@pytest.mark.parametrize("how", ["abort", "release"])
def test_an_end_between_objects_is_no_fault(scp, store_scu, part10, how):
    """A peer that ends an idle association gets the next object over a new one."""
    peer = scp()
    sender = store_scu(peer.peer())
    send(sender, part10(b"ab"), "1.1")
    idle = peer.associations[0]
    getattr(idle, how)() if how == "abort" else threading.Thread(target=idle.release).start()
    wait_until(lambda: not sender._wire.is_quiet(), 5, "the peer's end")
    assert send(sender, part10(b"ab"), "1.2") == 0
    assert len(peer.associations) == 2


def test_an_abort_over_an_object_is_told(scp, store_scu, part10):
    """An abort instead of an answer is a lost association; the next object opens another."""
    aborted = []

    def answer(event):
        if not aborted:
            aborted.append(event.assoc)
            event.assoc.abort()
        return 0

    peer = scp(answer=answer)
    sender = store_scu(peer.peer())
    with pytest.raises(AssociationLost, match=r"aborted|closed|broke"):
        send(sender, part10(b"ab"), "1.1")
    assert send(sender, part10(b"ab"), "1.2") == 0


def test_a_silent_peer_costs_one_time_out(scp, store_scu, part10):
    """A peer that takes an object and never answers is given up after the time-out."""
    wake = threading.Event()
    peer = scp(answer=lambda _: wake.wait(20) and 0)
    sender = store_scu(peer.peer(timeout_s=0.6))
    begun = time.monotonic()
    try:
        with pytest.raises(Unreachable, match=r"did not answer for 0\.6 s"):
            send(sender, part10(b"ab"))
        assert time.monotonic() - begun < 3
    finally:
        wake.set()


def test_a_peer_that_stops_reading_costs_one_time_out(scp, store_scu, part10):
    """A peer that stops reading in the middle of a large object is given up after the time-out."""
    wake = threading.Event()
    peer = scp()
    peer.server.bind(evt.EVT_DATA_RECV, lambda event: len(event.data) > 1000 and wake.wait(20))
    sender = store_scu(peer.peer(timeout_s=0.6))
    begun = time.monotonic()
    try:
        with pytest.raises(Unreachable, match=r"read nothing for 0\.6 s"):
            send(sender, part10(b"ab" * (32 << 20)))
        assert time.monotonic() - begun < 5
    finally:
        wake.set()


def test_a_slow_maker_of_objects_keeps_its_association(scp, store_scu, part10):
    """An association on which we are idle longer than the time-out is not given up by us."""
    peer = scp()
    sender = store_scu(peer.peer(timeout_s=0.3))
    send(sender, part10(b"ab"), "1.1")
    idle_until = time.monotonic() + 0.9
    wait_until(lambda: time.monotonic() > idle_until, 5, "an idle while")
    send(sender, part10(b"ab"), "1.2")
    assert len(peer.associations) == 1


def test_a_rejection_is_told_apart(scp, store_scu, part10):
    """A peer that takes no association from us is Rejected: no other object fares better."""
    peer = scp(require_calling_aet=["SCANNER"])
    with pytest.raises(scu.Rejected):
        send(store_scu(peer.peer()), part10(b"ab"))


UNSENDABLE = {
    "empty": (b"", "1.2", CT),
    "no DICOM": (b"no DICOM file" * 40, "1.2", CT),
    "no meta": (b"\0" * 128 + b"DICM", "1.2", CT),
    "no class": (None, "1.2", ""),
    "no ASCII": (None, "ü", CT),
}


@pytest.mark.parametrize("what", UNSENDABLE)
def test_what_cannot_be_sent_is_refused(scp, store_scu, part10, what):
    """What is no Part 10 file, or has no UIDs to announce, is refused and costs no association."""
    content, uid, sop_class = UNSENDABLE[what]
    peer = scp()
    whole = part10(b"ab") if content is None else content
    with pytest.raises(Refused):
        send(store_scu(peer.peer()), whole, uid, sop_class=sop_class)
    with pytest.raises(Refused, match="no dataset"):
        send(store_scu(peer.peer()), part10(b""))
    assert not peer.associations
