"""The promises of storage/destinations/base.py, kept by every kind against a real server."""

import hashlib
import io
import time
from contextlib import closing
from dataclasses import replace

import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.encaps import generate_frames

from config.destinations import ObjectStoreDestination
from dicom.entity import SeriesKey
from dicom.errors import Unreachable
from dicom.store_scu import encoded_dataset
from storage.destinations.base import Delivered, Receipt


def dataset_of(part10: bytes) -> bytes:
    return b"".join(encoded_dataset([part10]))


def values(part10: bytes) -> dict[str, object]:
    """What the object says, whatever lengths its sequences and groups are written with."""
    dataset = dcmread(io.BytesIO(part10))
    found = {str(one.tag): one.value for one in dataset if one.tag.element != 0}
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        found["(7FE0,0010)"] = list(generate_frames(dataset.PixelData, number_of_frames=1))
    return found


def test_what_arrives_is_what_was_sent(place, real_objects):
    """Real objects in every transfer syntax arrive byte for byte, each with a receipt."""
    objects = real_objects
    with closing(place.open()) as destination:
        receipts = {one.sop_instance_uid: one for one in destination.send(iter(objects))}
    assert receipts.keys() == {one.sop_instance_uid for one in objects}
    for outgoing in objects:
        receipt = receipts[outgoing.sop_instance_uid]
        sent, held = b"".join(outgoing.chunks), place.held(receipt)
        assert (receipt.destination, receipt.source_digest) == ("here", outgoing.source_digest)
        assert receipt.digest_sent == hashlib.sha256(sent).hexdigest()
        if place.knows_bytes:
            assert held == sent
            assert (receipt.proof, receipt.digest_read_back) == (place.proof, receipt.digest_sent)
        else:
            assert (receipt.proof, receipt.digest_read_back) == (place.proof, "")
            if place.rewrites:
                with disable_value_validation():  # real objects, with real slips
                    assert values(held) == values(sent)
            else:
                dataset = dataset_of(sent)
                # A deflated dataset travels with the padding that its file lacks (PS3.5 A.5).
                assert dataset_of(held) == dataset + b"\0" * (len(dataset) % 2)


def test_sending_again_is_a_success(place, make):
    """An object that is already there, byte for byte, is proven again under the same name."""
    with closing(place.open()) as destination:
        first = list(destination.send([make(1)]))
        again = list(destination.send([make(1)]))
    with closing(place.open()) as destination:
        afresh = list(destination.send([make(1)]))
    assert [one.location for one in first] == [one.location for one in again + afresh[1:]]
    assert len(afresh) == len(again) == 1


@pytest.mark.p7
@pytest.mark.parametrize("place", ["folder", "file", "s3", "azure", "gcs"], indirect=True)
def test_a_duplicate_never_replaces(place, make):
    """Other bytes under the same UIDs get a name of their own; both are kept, and stay kept."""
    one, other = make(2, comment="first"), make(2, comment="second")
    with closing(place.open()) as destination:
        receipts = [*destination.send([one, other]), *destination.send([other, one])]
    locations = {receipt.digest_sent: receipt.location for receipt in receipts}
    assert len({receipt.location for receipt in receipts}) == len(locations) == 2
    for receipt in receipts:
        assert hashlib.sha256(place.held(receipt)).hexdigest() == receipt.digest_sent


@pytest.mark.p6
def test_a_location_names_no_patient(place, make):
    """Names, paths and addresses in receipts are made of UIDs and settings alone."""
    with closing(place.open()) as destination:
        (receipt,) = destination.send([make(3)])
    assert "NOBODY" not in receipt.location
    assert "N1" not in receipt.location.rpartition("/")[2]


def note_all(sending, receipts):
    for receipt in sending:
        receipts.append(receipt)


def test_nothing_to_send_is_fine(place):
    """No objects, no receipts, no fault; closing twice is allowed."""
    destination = place.open()
    assert list(destination.send([])) == []
    destination.close()
    destination.close()


def test_check_passes_where_delivery_would(place):
    """A healthy destination checks without a fault."""
    with closing(place.open()) as destination:
        destination.check()


@pytest.mark.p3
def test_objects_that_come_through_are_proven_before_a_fault(place, make):
    """A fault of whoever makes the objects goes through; what was sent before has receipts."""

    def breaking_off():
        yield make(4)
        yield make(5)
        raise ArithmeticError

    receipts = []
    with closing(place.open()) as destination:
        sending = destination.send(breaking_off())
        with pytest.raises(ArithmeticError):
            note_all(sending, receipts)
    assert {one.sop_instance_uid for one in receipts} == {
        make(4).sop_instance_uid,
        make(5).sop_instance_uid,
    }


def test_a_dead_server_is_unreachable_soon(dead, make):
    """Where nobody listens, check and send say so within seconds: to be tried again."""
    begun = time.monotonic()
    with closing(dead) as destination:
        with pytest.raises(Unreachable):
            destination.check()
        with pytest.raises(Unreachable):
            list(destination.send([make(6)]))
    assert time.monotonic() - begun < 5


def delivered(receipt, outgoing):
    series = SeriesKey(outgoing.study_instance_uid, outgoing.series_instance_uid)
    return Delivered(receipt, series)


@pytest.mark.parametrize(
    "place", ["folder", "file", "s3", "azure", "gcs", "orthanc", "stow"], indirect=True
)
def test_what_was_delivered_is_proven_afresh(place, make):
    """Each object that is there is proven, in the order asked; one that never came is not."""
    objects = [make(number, study="proof") for number in (11, 12, 13)]
    with closing(place.open()) as destination:
        paid = {one.sop_instance_uid: one for one in destination.send(objects[:2])}
        first = paid[objects[0].sop_instance_uid]
        gone = replace(
            first,
            sop_instance_uid=objects[2].sop_instance_uid,
            location=first.location.replace(first.sop_instance_uid, objects[2].sop_instance_uid),
        )
        asked = [
            delivered(gone, objects[2]),
            *(delivered(paid[one.sop_instance_uid], one) for one in objects[:2]),
        ]
        proofs = list(destination.prove(asked))
    assert [proof.holds for proof in proofs] == [False, True, True]
    if place.knows_bytes:
        assert [proof.digest for proof in proofs[1:]] == [
            paid[one.sop_instance_uid].digest_sent for one in objects[:2]
        ]


@pytest.mark.parametrize("place", ["folder", "file", "s3", "azure", "gcs", "stow"], indirect=True)
def test_other_bytes_are_no_proof(place, make):
    """An object whose content is not what was sent is told from one that is."""
    one = make(21)
    with closing(place.open()) as destination:
        (receipt,) = destination.send([one])
        wrong = replace(receipt, digest_sent="0" * 64)
        (proof,) = destination.prove([delivered(wrong, one)])
    assert (proof.holds, proof.digest) == (False, receipt.digest_sent)


def test_a_place_that_is_gone_proves_nothing(dead, make):
    """A destination that does not answer raises, rather than say that everything is missing."""
    one = make(22)
    receipt = Receipt("here", "", one.sop_instance_uid, "s3://bucket/x/1", "", "", "", 0.0)
    with closing(dead), pytest.raises(Unreachable):
        list(dead.prove([delivered(receipt, one)]))


def test_what_lies_elsewhere_is_not_judged(tmp_path, make, make_destination):
    """A receipt for another URL than the destination's is neither proven nor disproven."""
    settings = ObjectStoreDestination(kind="object-store", url=f"file://{tmp_path}/new")
    one = make(23)
    receipt = Receipt("here", "", one.sop_instance_uid, f"file://{tmp_path}/old/1", "", "", "", 0.0)
    with closing(make_destination(settings)) as destination:
        (proof,) = destination.prove([delivered(receipt, one)])
    assert proof.holds is None
    assert "elsewhere" in proof.words
