"""A PACS's own troubles: it refuses, is busy, aborts, hangs, or does not know us."""

import time
from contextlib import closing
from dataclasses import replace

import pytest

from config.destinations import DicomDestination
from config.model import Peer
from dicom.errors import Busy, ConfigFault, Refused, Unreachable
from examples.peers import folder_pacs


@pytest.fixture
def opened(make_destination):
    def open_at(pacs, timeout_s=5.0):
        settings = DicomDestination(
            kind="dicom", peer=pacs.aet, timeout_s=timeout_s, associations=1
        )
        return closing(make_destination(settings, {pacs.aet: Peer(host=pacs.host, port=pacs.port)}))

    return open_at


@pytest.fixture
def pacs(tmp_path):
    """Run pynetdicom's SCP in a process, behaving as told."""
    return lambda **behaviour: folder_pacs.running_pynetdicom(tmp_path, **behaviour)


def take(sending, receipts):
    for receipt in sending:
        receipts.append(receipt)


def test_a_full_pacs_is_busy(pacs, opened, make):
    """0xA700 means try again later; nothing counts as delivered."""
    with (
        pacs(status=0xA700) as full,
        opened(full) as destination,
        pytest.raises(Busy, match="0xA700"),
    ):
        list(destination.send([make(1)]))


@pytest.mark.parametrize("status", [0xA900, 0xC001, 0x0122, 0x0124])
def test_a_no_is_refused(pacs, opened, make, status):
    """A failure that time does not mend is held, with the status in its words."""
    with (
        pacs(status=status) as strict,
        opened(strict) as destination,
        pytest.raises(Refused, match=f"2 refused.*0x{status:04X}"),
    ):
        list(destination.send([make(1), make(2)]))


def test_a_refused_object_keeps_nobody_back(pacs, opened, make):
    """What the peer does not take is told after the last object; the others have receipts."""
    objects = [make(number) for number in range(3)]
    objects[0] = replace(objects[0], sop_class_uid="1.2.3.4.5")
    receipts = []
    with pacs() as strict, opened(strict) as destination:
        with pytest.raises(Refused, match=r"1 refused, first: .* SOP class 1\.2\.3\.4\.5"):
            take(destination.send(objects), receipts)
        assert strict.received()
    assert [one.sop_instance_uid for one in receipts] == [
        one.sop_instance_uid for one in objects[1:]
    ]


@pytest.mark.p3
def test_an_abort_midway_leaves_receipts(pacs, opened, make):
    """A peer that aborts at the 6th object: five receipts, then Unreachable, to be tried again."""
    receipts = []
    with pacs(abort_after=5) as moody, opened(moody) as destination:
        with pytest.raises(Unreachable):
            take(destination.send(make(number) for number in range(20)), receipts)
        assert len(moody.received()) == len(receipts) == 5


def test_one_object_that_breaks_the_peer_keeps_nobody_back(pacs_of, opened, make):
    """Real storescp aborts over a dataset of odd length; the others are stored, and it is owed."""
    objects = [make(number, study="odd") for number in range(4)]
    objects[1] = replace(objects[1], chunks=(b"".join(objects[1].chunks)[:-1],))
    receipts = []
    with opened(pacs_of("storescp")) as destination, pytest.raises(Unreachable):
        take(destination.send(objects), receipts)
    assert [one.sop_instance_uid for one in receipts] == [
        objects[number].sop_instance_uid for number in (0, 2, 3)
    ]


def test_a_hanging_pacs_costs_one_time_out(pacs, opened, make):
    """A peer that never answers is given up after the time-out, and not asked again at once."""
    with pacs(hang=True) as stuck, opened(stuck, timeout_s=0.7) as destination:
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="did not answer"):
            list(destination.send([make(1), make(2)]))
        assert time.monotonic() - begun < 3


def test_a_title_that_is_not_known_is_refused(opened, make, tmp_path):
    """A peer that rejects the association is not called again for every object."""
    with folder_pacs.running_pynetdicom(tmp_path, rejects=True) as strict:
        begun = time.monotonic()
        with opened(strict) as destination, pytest.raises(Refused, match="AE title not recognised"):
            list(destination.send(make(number) for number in range(100)))
        assert time.monotonic() - begun < 3


def test_a_peer_without_an_address_is_refused(make_destination):
    """A [peers] table that is only for receiving cannot be sent to, and says so."""
    settings = DicomDestination(kind="dicom", peer="SCANNER")
    with pytest.raises(Refused, match=r"peers\.SCANNER has no host and port"):
        make_destination(settings, {"SCANNER": Peer()})


def test_a_missing_peer_is_a_config_fault(make_destination):
    """A destination whose peer is not in the config names both."""
    settings = DicomDestination(kind="dicom", peer="NOBODY")
    with pytest.raises(ConfigFault, match=r"destinations\.here\.peer.*peers\.NOBODY"):
        make_destination(settings, {})


def test_the_same_destination_delivers_after_a_fault(pacs, opened, make):
    """A peer that goes and comes back is sent to by the same destination: nothing stays broken."""
    with pacs() as first, opened(first) as destination:
        assert len(list(destination.send([make(1)]))) == 1
    with opened(first) as destination:
        with pacs(port=first.port):
            assert len(list(destination.send([make(2)]))) == 1
        with pytest.raises(Unreachable):
            list(destination.send([make(3)]))
        with pacs(port=first.port) as again:
            assert len(list(destination.send([make(3)]))) == 1
            assert len(again.received()) == 3
