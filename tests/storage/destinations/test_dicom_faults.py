"""A PACS that misbehaves: nothing is lost, nothing is sent twice in effect, and the job goes on.

The worker's part is played by `paid_off`: it sends what has no receipt, again and again, with a new
destination each time, as jobs that are tried again do.
"""

import contextlib
import hashlib
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest

from config.destinations import DicomDestination
from config.model import Peer
from dicom.entity import Arrival
from dicom.errors import Busy, Fault, Refused, Unreachable
from dicom.part10 import file_meta
from dicom.store_scu import encoded_dataset
from examples.peers import cable, orthanc, raw_scp
from examples.peers.raw_scp import Behaviour

COUNT = 60


@pytest.fixture
def opened(make_destination):
    """Open a destination for a peer on loopback, with other settings if wanted."""

    def open_at(pacs, *, port=None, **settings):
        table = DicomDestination(
            kind="dicom", peer=pacs.aet, **{"timeout_s": 5, "associations": 1, **settings}
        )
        peer = Peer(host="127.0.0.1", port=port or pacs.port)
        return closing(make_destination(table, {pacs.aet: peer}))

    return open_at


@pytest.fixture
def objects(make):
    return [make(number, study="faults") for number in range(COUNT)]


def take(sending, receipts):
    for receipt in sending:
        receipts[receipt.sop_instance_uid] = receipt


def owed(objects, receipts):
    return [one for one in objects if one.sop_instance_uid not in receipts]


def paid_off(open_one, objects, *, attempts=10):
    """Send until all is paid; returns the receipts and the faults on the way there."""
    receipts, faults = {}, []
    for _ in range(attempts):
        try:
            with open_one() as destination:
                take(destination.send(iter(owed(objects, receipts))), receipts)
        except Fault as fault:
            if not fault.retry:
                raise
            faults.append(fault)
        else:
            return receipts, faults
    raise AssertionError(f"still {len(owed(objects, receipts))} owed: {faults[-1]}")


def assert_held(scp, objects):
    """The peer holds every object, each with the bytes that were sent, however often it came."""
    held = {uid: data for uid, _, data in scp.stored}
    assert held == {one.sop_instance_uid: b"".join(encoded_dataset(one.chunks)) for one in objects}
    for uid, _, data in scp.stored:
        assert data == held[uid], "a second copy is the same object"


ONCE = {
    "aborts at the 50th": ({"abort_at": 50}, 0),
    "closes within the 30th": ({"cut_at": 30}, 0),
    "keeps the 20th and loses its answer": ({"lose_answer_at": 20}, 1),
    "hangs at the 10th": ({"hang_at": 10}, 0),
    "is busy for every 7th": ({"status": lambda number: 0xA700 * (number % 7 == 0)}, 0),
    "is full for a while": ({"status": lambda number: 0xA700 * (20 < number < 24)}, 0),
    "is congested at first": ({"reject": lambda number: (2, 3, 1) if number < 3 else None}, 0),
    "aborts the first association": ({"abort_at": 1}, 0),
}


@pytest.mark.p3
@pytest.mark.parametrize("associations", [1, 3])
@pytest.mark.parametrize("what", ONCE)
def test_everything_arrives_in_the_end(opened, objects, what, associations):
    """What a peer refuses for a moment is owed until it takes it; no object is sent needlessly."""
    behaviour, twice = ONCE[what]
    with raw_scp.running(Behaviour(**behaviour)) as scp:

        def open_one():
            return opened(scp, timeout_s=0.4, associations=associations)

        receipts, faults = paid_off(open_one, objects)
        assert_held(scp, objects)
        assert faults or (associations > 1 and "congested" in what)  # others went on
        assert len(scp.stored) == COUNT + twice
    assert all(one.proof == "status 0x0000" for one in receipts.values())


def test_several_associations_at_once_keep_their_order(opened, objects):
    """Objects go over as many associations as were asked for, in order within each of them."""
    with raw_scp.running(Behaviour(status=lambda _: time.sleep(0.002) or 0)) as scp:
        with opened(scp, associations=4) as destination:
            assert len(list(destination.send(iter(objects)))) == COUNT
            assert scp.associations == 4
        place = {one.sop_instance_uid: i for i, one in enumerate(objects)}
        for uids in scp.by_association.values():
            assert len(uids) > 1
            assert uids == sorted(uids, key=place.__getitem__)


@pytest.mark.parametrize("reason", [(2, 3, 2), (1, 3, 2), (2, 3, 1)])
def test_fewer_associations_than_asked_for_do(opened, objects, reason):
    """A PACS that takes two associations of ours and rejects more gets everything over those."""
    some = Behaviour(
        reject=lambda number: reason if number > 2 else None,
        status=lambda _: time.sleep(0.002) or 0,
    )
    with raw_scp.running(some) as scp, opened(scp, associations=5) as destination:
        assert len(list(destination.send(iter(objects)))) == COUNT
        assert_held(scp, objects)
        assert len(scp.stored) == COUNT
        assert scp.associations <= 5


def test_one_association_serves_several_jobs(opened, objects):
    """A destination that is kept sends the next job's objects over the same association."""
    with raw_scp.running() as scp, opened(scp) as destination:
        for start in range(0, COUNT, 20):
            assert len(list(destination.send(iter(objects[start : start + 20])))) == 20
        assert scp.associations == 1


def test_a_peer_that_is_full_is_not_pestered(opened, objects):
    """After a few 0xA700 in a row the rest of the Series waits."""
    with raw_scp.running(Behaviour(status=lambda _: 0xA700)) as scp:
        with opened(scp) as destination, pytest.raises(Busy, match="0xA700"):
            list(destination.send(iter(objects)))
        assert scp.objects < 8
        assert not scp.stored


def test_a_peer_that_hangs_is_not_called_again(opened, objects):
    """Silence over one object ends the delivery: those that wait are not tried one by one."""
    with raw_scp.running(Behaviour(hang_at=1)) as scp:
        with opened(scp, timeout_s=0.4) as destination, pytest.raises(Unreachable):
            list(destination.send(iter(objects)))
        assert scp.associations == scp.objects == 1


@pytest.mark.parametrize("reason", [(1, 1, 3), (1, 1, 7), (1, 2, 2)])
def test_a_rejection_for_good_is_told_at_once(opened, objects, reason):
    """A peer that takes no association from us is called once for a whole Series, then held."""
    with raw_scp.running(Behaviour(reject=lambda _: reason)) as scp:
        with opened(scp) as destination, pytest.raises(Refused, match="rejected the association"):
            list(destination.send(iter(objects)))
        assert scp.associations == 1


def test_a_peer_that_takes_no_context_is_called_once(opened, objects):
    """All contexts refused: every object is refused by name, over one association."""
    with raw_scp.running(Behaviour(accepts=lambda *_: False)) as scp:
        with opened(scp) as destination, pytest.raises(Refused, match=r"60 refused.*does not acc"):
            list(destination.send(iter(objects)))
        assert scp.associations == 1


WARNED = {
    0xB000: "stored with a warning: coercion",
    0xB006: "stored with a warning: elements discarded",
    0xB007: "stored with a warning: data set does not match",
    0x0111: "already there: duplicate SOP instance",
}


@pytest.mark.parametrize("status", WARNED)
def test_a_receipt_keeps_the_answer(opened, make, status):
    """A warning or a duplicate is a receipt that says which it was."""
    with (
        raw_scp.running(Behaviour(status=lambda _: status)) as scp,
        opened(scp) as destination,
    ):
        (receipt,) = destination.send([make(1)])
    assert receipt.proof.startswith(f"status 0x{status:04X}, {WARNED[status]}")


@pytest.mark.parametrize("status", [0x0107, 0x0110, 0x0117, 0x0122, 0x0124, 0xA900, 0xC000])
def test_one_refused_object_keeps_nobody_back(opened, objects, status):
    """An object that the peer does not want is held alone; the others have receipts."""
    receipts = {}
    with raw_scp.running(Behaviour(status=lambda number: status * (number == 5))) as scp:
        with (
            opened(scp) as destination,
            pytest.raises(Refused, match=f"1 refused.*0x{status:04X}"),
        ):
            take(destination.send(iter(objects)), receipts)
        assert len(receipts) == COUNT - 1 == len(scp.stored)


@pytest.mark.p3
def test_a_cut_network_loses_nothing(opened, make, pacs_of):
    """The cable is pulled in mid-transfer, nothing says so; once it is back, the rest arrives."""
    objects = [make(number, study="cable", pixels=40_000) for number in range(COUNT)]
    pacs = pacs_of("storescp")
    receipts = {}
    with cable.running(pacs.port, pull_after_bytes=1_000_000) as wire:
        with opened(pacs, port=wire.port, timeout_s=0.5) as destination:
            begun = time.monotonic()
            with pytest.raises(Unreachable):
                take(destination.send(iter(objects)), receipts)
            assert time.monotonic() - begun < 4
            assert 0 < len(receipts) < COUNT
            with pytest.raises(Unreachable):  # the cable takes connections, and that is all
                take(destination.send(iter(owed(objects, receipts))), receipts)
        wire.plug()
        more, faults = paid_off(
            lambda: opened(pacs, port=wire.port, timeout_s=5), owed(objects, receipts)
        )
    assert not faults
    assert not receipts.keys() & more.keys()
    held = Counter(pacs.received())
    assert all(held[one.sop_instance_uid] == 1 for one in objects)


@pytest.mark.p3
@pytest.mark.skipif(orthanc.binary() is None, reason="no Orthanc (apt-get install orthanc)")
def test_a_killed_pacs_gets_the_rest_when_it_is_back(opened, make, tmp_path):
    """Real Orthanc is killed by -9 in mid-transfer: what has no receipt is sent when it is back."""
    objects = [make(number, study="killed", pixels=60_000) for number in range(COUNT)]
    receipts = {}
    with orthanc.running(tmp_path) as pacs, opened(pacs) as destination:
        sending = destination.send(iter(objects))
        for _ in range(20):
            receipt = next(sending)
            receipts[receipt.sop_instance_uid] = receipt
        pacs.kill()
        with pytest.raises(Unreachable):
            take(sending, receipts)
    assert 20 <= len(receipts) < COUNT
    with orthanc.running(tmp_path, port=pacs.port) as again:
        more, faults = paid_off(lambda: opened(again), owed(objects, receipts))
        held = Counter(again.received())
    assert not faults
    assert not receipts.keys() & more.keys()
    assert held == {one.sop_instance_uid: 1 for one in objects}


def test_a_slow_answer_is_waited_for(opened, make):
    """A PACS that thinks for almost as long as the time-out loses nothing."""
    with (
        raw_scp.running(Behaviour(status=lambda _: time.sleep(0.3) or 0)) as scp,
        opened(scp, timeout_s=1) as destination,
    ):
        assert len(list(destination.send([make(1), make(2)]))) == 2


EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
TWELVE_BITS = "1.2.840.10008.1.2.4.51"
"""JPEG Extended, which no codec here reads in full."""


@pytest.fixture
def readable(real_objects):
    return [one for one in real_objects if one.transfer_syntax_uid != TWELVE_BITS]


def only(*syntaxes):
    return Behaviour(accepts=lambda _, syntax: syntax in syntaxes)


@pytest.mark.parametrize("taken", [EXPLICIT, IMPLICIT])
def test_what_a_peer_does_not_take_is_sent_in_what_it_takes(opened, readable, taken):
    """A PACS that knows one native syntax gets every real object in it; the receipt says so, and
    has the digest of what was sent."""
    receipts = {}
    real_objects = [replace(one, known_digest=one.digest()) for one in readable]
    with raw_scp.running(only(taken)) as scp, opened(scp) as destination:
        take(destination.send(iter(real_objects)), receipts)
        assert {syntax for _, syntax, _ in scp.stored} == {taken}
        assert len(scp.stored) == len(real_objects)
        arrived = {uid: dataset for uid, _, dataset in scp.stored}
    for one in real_objects:
        receipt = receipts[one.sop_instance_uid]
        was_transcoded = one.transfer_syntax_uid != taken
        assert (" instead of " in receipt.proof) is was_transcoded
        if was_transcoded:
            named = (one.sop_class_uid, one.sop_instance_uid, taken)
            meta = file_meta(Arrival(*named, "", "", "", "", 0.0))
            whole = meta + arrived[one.sop_instance_uid]
            assert receipt.digest_sent == hashlib.sha256(whole).hexdigest()
        else:
            assert receipt.digest_sent == one.digest()
        assert receipt.source_digest == one.source_digest


def test_a_peer_that_came_back_otherwise_is_asked_anew(opened, make):
    """What an association took says nothing of the next: where a peer ended it between two jobs
    and now takes another syntax only, the next object is given in that."""
    with contextlib.ExitStack() as stack:
        with raw_scp.running() as before:
            destination = stack.enter_context(opened(before))
            assert len(list(destination.send([make(1)]))) == 1
        with raw_scp.running(only(IMPLICIT), before.port) as after:
            (receipt,) = destination.send([make(2)])
            assert [syntax for _, syntax, _ in after.stored] == [IMPLICIT]
    assert "instead of" in receipt.proof


def test_the_own_syntax_comes_first(opened, real_objects):
    """What a peer takes as it is goes as it is, though it would take another syntax as well."""
    with raw_scp.running() as scp, opened(scp) as destination:
        assert all("instead" not in one.proof for one in destination.send(iter(real_objects)))
        sent = {uid: syntax for uid, syntax, _ in scp.stored}
        assert scp.proposed[0][0][1] == real_objects[0].transfer_syntax_uid
    assert sent == {one.sop_instance_uid: one.transfer_syntax_uid for one in real_objects}


def test_transcoding_can_be_forbidden(opened, real_objects):
    """With transcode = "never" an object is held that the peer does not take as it is."""
    others = [one for one in real_objects if one.transfer_syntax_uid != EXPLICIT]
    assert others
    with raw_scp.running(only(EXPLICIT)) as scp:
        with (
            opened(scp, transcode="never") as destination,
            pytest.raises(Refused, match=f"{len(others)} refused, first: .*does not accept SOP"),
        ):
            list(destination.send(iter(real_objects)))
        proposed = {syntax for pairs in scp.proposed for _, syntax in pairs}
        assert proposed == {one.transfer_syntax_uid for one in real_objects}
        assert len(scp.stored) == len(real_objects) - len(others)


def test_more_kinds_than_an_association_holds(opened, make):
    """A job of more kinds than 128 contexts can name is delivered whole, in order, and what was
    named once is named again, as far as there is room."""
    objects = [
        replace(make(number, study="kinds"), sop_class_uid=f"1.2.3.{number % 70}")
        for number in range(75)
    ]
    with raw_scp.running() as scp, opened(scp) as destination:
        receipts = list(destination.send(iter(objects)))
        assert scp.received() == [one.sop_instance_uid for one in objects]
        assert len(receipts) == 75
        assert max(len(pairs) for pairs in scp.proposed) == 128
        assert all(len(set(pairs)) == len(pairs) for pairs in scp.proposed)


def test_a_mixed_series_shares_an_association(opened, make):
    """Two kinds in turn need two associations at most: the second has the contexts of both."""
    objects = [
        replace(make(number, study="mixed"), sop_class_uid=f"1.2.3.{number % 2}")
        for number in range(COUNT)
    ]
    with raw_scp.running() as scp, opened(scp) as destination:
        assert len(list(destination.send(iter(objects)))) == COUNT
        assert scp.associations == 2
