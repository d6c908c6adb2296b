"""Connections that outlive a job: one association for many small Series, none held for long."""

import pytest

from config.destinations import DicomDestination, FolderDestination, ObjectStoreDestination
from config.model import Peer, Settings
from dicom.entity import Arrival
from dicom.part10 import file_meta
from examples.peers import raw_scp
from examples.peers.process import wait_until
from examples.peers.raw_scu import CT, IMPLICIT, dataset_of
from node.workers.kept import Kept
from storage.destinations.base import Outgoing


def outgoing(number):
    uid = f"1.2.{number}"
    meta = file_meta(Arrival(CT, uid, IMPLICIT, "", "", "", "", 0.0))
    content = meta + dataset_of(uid, size_bytes=1000)
    return Outgoing(CT, uid, "1.3", "1.4", IMPLICIT, (content,), "digest")


@pytest.fixture
def scp():
    with raw_scp.running() as running:
        yield running


@pytest.fixture
def kept(scp, tmp_path):
    settings = Settings(
        peers={"RAW": Peer(host=scp.host, port=scp.port)},
        destinations={
            "pacs": DicomDestination(kind="dicom", peer="RAW", timeout_s=5, associations=1),
            "shelf": FolderDestination(kind="folder", path=tmp_path),
            "lake": ObjectStoreDestination(kind="object-store", url="s3://lake", region="eu"),
        },
    )
    one = Kept(settings)
    yield one
    one.close()


def test_jobs_one_after_another_share_an_association(scp, kept):
    """The next job of the same destination finds it open; another association is not asked for."""
    for number in range(3):
        with kept.lend("pacs") as place:
            assert len(list(place.send([outgoing(number)]))) == 1
        kept.rest()
    assert scp.associations == 1


def test_a_client_of_a_bucket_is_made_once(kept):
    """The next job of the same bucket finds its client; a folder needs none."""
    with kept.lend("lake") as first, kept.lend("shelf") as folder:
        pass
    with kept.lend("lake") as second, kept.lend("shelf") as again:
        pass
    assert second is first
    assert again is not folder


def test_what_rests_is_closed(scp, kept):
    """A connection that no job uses for a while is given back; the next job opens another."""
    with kept.lend("pacs") as place:
        list(place.send([outgoing(1)]))
    kept.rest(0)
    wait_until(lambda: scp.open == 0, 5, "the release")
    with kept.lend("pacs") as again:
        assert again is not place
        assert len(list(again.send([outgoing(2)]))) == 1
    assert scp.associations == 2


def test_a_job_that_failed_leaves_nothing_open(scp, kept):
    """After a fault the next job begins with a connection of its own."""

    def breaking_off():
        yield outgoing(1)
        raise ArithmeticError

    with pytest.raises(ArithmeticError), kept.lend("pacs") as place:
        list(place.send(breaking_off()))
    wait_until(lambda: scp.open == 0, 5, "the end")
    with kept.lend("pacs") as again:
        assert again is not place


def test_what_holds_no_connection_is_not_kept(kept):
    """A folder is opened for each job: there is nothing to save."""
    with kept.lend("shelf") as place:
        pass
    with kept.lend("shelf") as again:
        assert again is not place
