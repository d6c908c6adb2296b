"""A result goes only where the images are that it is about."""

import io
import time

import pytest
from pydicom import dcmread

from dicom.errors import OriginalsAbsent, Unreachable
from examples.peers import orthanc
from examples.peers.pynet_scu import store_all
from node.workers import originals_there
from node.workers.workshop import Later
from routing.job import Kind


def test_a_result_waits_until_its_images_are_there(clinic):
    """It waits while their job is open, and goes once they have receipts."""
    one = clinic()
    report = one.result()
    images = one.owe(Kind.FORWARD, "out")
    result = one.owe(Kind.FORWARD, "out", report)
    with pytest.raises(Later, match=f"waits for job {images.id}, which brings 20"):
        one.deliver(result)
    assert one.at("out") == set()
    one.deliver(images)
    assert one.deliver(result).words == "1 delivered"
    assert one.at("out") == {"CT", "SR"}


def test_a_result_that_waits_for_held_images_says_so(clinic):
    """Who looks at the waiting job reads what has to be seen to first."""
    one = clinic()
    report = one.result()
    images = one.owe(Kind.FORWARD, "out")
    claimed = one.shop.ledger.jobs.claim("w1", [Kind.FORWARD], time.time() + 1, 600)
    assert claimed is not None
    one.shop.ledger.jobs.hold(claimed, "refused", "no", time.time())
    with pytest.raises(Later, match=f"job {images.id}, .* and is held"):
        one.deliver(one.owe(Kind.FORWARD, "out", report))


def test_a_result_goes_nowhere_where_nobody_brings_its_images(clinic, monkeypatch):
    """At first somebody may; then the result is held, and the words name the ways out."""
    one = clinic()
    result = one.owe(Kind.FORWARD, "out", one.result())
    with pytest.raises(Later, match="not at out yet: it has no receipt for them"):
        one.deliver(result)
    monkeypatch.setattr(originals_there, "PATIENCE_S", -1.0)
    with one.shop.ledger.database.write() as db:
        db.exec_driver_sql("UPDATE series SET open = 0")
    with pytest.raises(OriginalsAbsent, match="results_without_originals = true"):
        one.deliver(result)
    assert one.at("out") == set()


def test_a_destination_may_take_results_alone(clinic):
    """With results_without_originals nobody asks where the images are."""
    one = clinic()
    one.deliver(one.owe(Kind.FORWARD, "open", one.result()))
    assert one.at("open") == {"SR"}


def test_an_ordered_destination_does_not_wait_behind_a_result(clinic):
    """Its other jobs would wait too: the result is held at once, also for images behind it."""
    one = clinic()
    result = one.owe(Kind.FORWARD, "row", one.result())
    with pytest.raises(OriginalsAbsent, match="no receipt"):
        one.deliver(result)
    images = one.owe(Kind.FORWARD, "row")
    with pytest.raises(OriginalsAbsent, match=f"job {images.id}.*comes after it"):
        one.deliver(result)
    one.deliver(images)
    one.deliver(result)
    assert one.at("row") == {"CT", "SR"}


@pytest.mark.skipif(
    orthanc.binary() is None, reason="needs Orthanc (Debian: apt-get install orthanc)"
)
def test_a_pacs_that_has_the_images_from_elsewhere_is_asked(clinic, slices, tmp_path):
    """The scanner sends to the PACS as well: the result goes once the PACS lists every image."""
    with orthanc.running(tmp_path / "orthanc", aet="PACS") as pacs:
        one = clinic(port=pacs.port)
        result = one.owe(Kind.FORWARD, "pacs", one.result())
        with pytest.raises(Later, match="it was asked and lacks 20"):
            one.deliver(result)
        images = [dcmread(io.BytesIO(each)) for each in slices]
        store_all(pacs.port, images[:-1], calling_ae="CT1", called_ae="PACS")
        with pytest.raises(Later, match="it was asked and lacks 1"):
            one.deliver(result)
        store_all(pacs.port, images[-1:], calling_ae="CT1", called_ae="PACS")
        assert one.deliver(result).words == "1 delivered"
        one.shop.kept.close()  # an open association would keep Orthanc from ending


def test_a_pacs_that_is_away_is_asked_again(clinic):
    """Whether the images are there is not known then: the job fails as any delivery to it does."""
    one = clinic()
    with pytest.raises(Unreachable):
        one.deliver(one.owe(Kind.FORWARD, "pacs", one.result()))


def test_the_peer_that_sent_the_images_has_them(clinic):
    """A PACS that sent the study gets the result without being asked; another one is."""
    theirs = clinic(calling_ae="PACS")
    job = theirs.owe(Kind.FORWARD, "pacs", theirs.result())
    owed = theirs.shop.ledger.receipts.owed(job.spec.series, "pacs", "")
    originals_there.require_originals(job, theirs.shop, owed)
