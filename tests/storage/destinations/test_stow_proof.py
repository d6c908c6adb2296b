"""STOW-RS: what is read back, found by search, or answered before its request has ended."""

from contextlib import closing
from dataclasses import replace

import pytest

from config.destinations import StowDestination
from dicom.entity import SeriesKey
from dicom.errors import Busy, Refused
from examples.peers import web_pacs
from examples.peers.web_pacs import WebPacs, result
from storage.destinations import stow
from storage.destinations.base import Delivered


@pytest.fixture
def opened(make_destination):
    """Open a destination for a server."""

    def open_at(pacs, **settings):
        table = StowDestination(kind="stow", url=pacs.web_url, timeout_s=5, **settings)
        return closing(make_destination(table))

    return open_at


def delivered(receipt, outgoing):
    series = SeriesKey(outgoing.study_instance_uid, outgoing.series_instance_uid)
    return Delivered(receipt, series)


def test_other_bytes_are_found_by_reading_back(opened, make):
    """A server that changes what it is sent gets no receipt where read_back was asked for."""
    pacs = WebPacs()
    with web_pacs.running(pacs), opened(pacs, read_back=True) as destination:
        (receipt,) = destination.send([make(1)])
        assert receipt.digest_read_back == receipt.digest_sent

        def changing(pacs, uids):
            pacs.objects |= dict.fromkeys(uids, b"something else")
            return result(uids, {}, 202)

        pacs.answer = changing
        with pytest.raises(Refused, match="other bytes than were sent"):
            list(destination.send([make(2)]))
        (proof,) = destination.prove([delivered(receipt, make(1))])
        assert (proof.holds, proof.digest) == (True, receipt.digest_sent)


def test_what_cannot_be_read_back_yet_is_owed(opened, make):
    """A server that stores later has no receipt until it gives the object back."""
    pacs = WebPacs(keeps=False)
    with (
        web_pacs.running(pacs),
        opened(pacs, read_back=True) as destination,
        pytest.raises(Busy, match="does not give back yet"),
    ):
        list(destination.send([make(1)]))


def test_a_server_that_gives_nothing_as_it_is_is_told(opened, make, monkeypatch):
    """406 to WADO-RS is a matter of the config, and is held, not tried for days."""
    monkeypatch.setattr(stow, "_AS_IT_IS", "application/none")
    with (
        web_pacs.running(WebPacs()) as pacs,
        opened(pacs, read_back=True) as destination,
        pytest.raises(Refused, match="answered 406 to WADO-RS: read_back"),
    ):
        list(destination.send([make(1)]))


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_an_answer_before_the_end_of_the_request_is_read(opened, make, limit):
    """A server that turns a request away by its length, and reads no more of it, is understood:
    it gets smaller ones."""
    objects = [make(number) for number in range(4)]
    big = [replace(one, chunks=(*one.chunks, bytes(1 << 20))) for one in objects]
    with web_pacs.running(WebPacs(most_bytes=limit * 1_100_000)) as pacs:
        with opened(pacs) as destination:
            if not limit:
                with pytest.raises(Refused, match=r"4 refused, first: .* answered 413"):
                    list(destination.send(big))
                return
            assert len(list(destination.send(big))) == 4
        assert max(map(len, pacs.batches)) <= limit


def test_search_goes_on_page_by_page(opened, make):
    """A Series of more objects than a page of QIDO-RS is searched to its end."""
    pacs = WebPacs()
    with web_pacs.running(pacs), opened(pacs) as destination:
        (receipt,) = destination.send([make(1)])
        pacs.objects = {f"1.{number}": b"" for number in range(2300)} | pacs.objects
        (proof,) = destination.prove([delivered(receipt, make(1))])
        assert proof.holds is True
        assert sum("offset=" in path for _, path, _ in pacs.requests) == 13
        assert all("limit=200&" in path for _, path, _ in pacs.requests if "offset=" in path)
