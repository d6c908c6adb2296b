"""Calling a PACS under TLS: verified or not at all, and shown who we are (PS3.15 B.9 to B.13)."""

import shutil
import ssl
import time
from contextlib import closing

import pytest

from config.destinations import DicomDestination
from config.model import Peer
from config.shapes import ClientTls
from dicom.entity import SeriesKey
from dicom.errors import ConfigFault, Refused, Unreachable
from examples.peers import cable, folder_pacs, orthanc, raw_scp
from examples.peers.certificates import Pki
from examples.peers.raw_scp import Behaviour
from storage.destinations.base import Delivered


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def ours(pki):
    """The node's side: the hospital's authority, and a certificate of its own."""
    return ClientTls(ca=pki.authority.file, certificate=pki.client.certificate, key=pki.client.key)


@pytest.fixture
def opened(make_destination):
    def open_at(pacs, tls, *, port=None, host="localhost", **settings):
        table = DicomDestination(
            kind="dicom", peer=pacs.aet, **{"timeout_s": 5, "associations": 1, **settings}
        )
        peer = Peer(host=host, port=port or pacs.port, tls=tls)
        return closing(make_destination(table, {pacs.aet: peer}))

    return open_at


@pytest.fixture(scope="module")
def storescp(pki, tmp_path_factory):
    """Real storescp that wants a client's certificate."""
    if shutil.which("storescp") is None:
        pytest.skip("storescp is not installed (Debian: apt-get install dcmtk)")
    options = ["+tls", pki.node.key, pki.node.certificate, "+cf", pki.authority.file]
    with folder_pacs.running_storescp(tmp_path_factory.mktemp("tls"), more=options) as pacs:
        yield pacs


@pytest.fixture(scope="module")
def server(pki):
    """A context for peers in this process: TLS 1.3 with its tickets, no client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.node.certificate, pki.node.key)
    return context


def test_dcmtk_takes_objects_under_mutual_tls(storescp, opened, ours, make):
    """Objects and C-ECHO reach storescp, which asks for our certificate and gets it."""
    objects = [make(number, study="mutual", pixels=90_000) for number in range(10)]
    with opened(storescp, ours) as destination:
        destination.check()
        assert len(list(destination.send(objects))) == 10
    assert set(storescp.received()) == {one.sop_instance_uid for one in objects}


@pytest.mark.skipif(orthanc.binary() is None, reason="no Orthanc (apt-get install orthanc)")
def test_orthanc_is_asked_under_tls(opened, ours, make, pki, tmp_path):
    """C-STORE and the C-FIND of `penumbra prove` go to Orthanc under mutual TLS."""
    objects = [make(number, study="asked") for number in range(3)]
    more = {
        "DicomTlsEnabled": True, "DicomTlsCertificate": str(pki.node.certificate),
        "DicomTlsPrivateKey": str(pki.node.key),
        "DicomTlsTrustedCertificates": str(pki.authority.file),
    }  # fmt: skip
    with orthanc.running(tmp_path, more=more) as pacs, opened(pacs, ours) as destination:
        receipts = list(destination.send(objects))
        series = SeriesKey(objects[0].study_instance_uid, objects[0].series_instance_uid)
        proofs = list(destination.prove([Delivered(one, series) for one in receipts]))
        assert [one.holds for one in proofs] == [True] * 3


def test_one_association_under_tls_serves_many(opened, ours, make, server):
    """Objects follow one another on one association under TLS as they do without."""
    with raw_scp.running(tls=server) as scp, opened(scp, ours) as destination:
        for number in range(30):
            assert len(list(destination.send([make(number)]))) == 1
        assert scp.associations == 1


@pytest.fixture
def pki_and_server(pki, server):
    return pki, server


UNTRUSTED = {
    "another authority": {"ca": "stranger"},
    "the operating system's authorities": {"ca": None},
    "another name": {"name": "pacs.example"},
}


@pytest.mark.parametrize("why", UNTRUSTED)
def test_what_is_not_trusted_gets_nothing(opened, ours, make, pki_and_server, why):
    """A certificate of another authority or another name: refused, and nothing is sent."""
    (pki, server), changes = pki_and_server, dict(UNTRUSTED[why])
    if changes.get("ca") == "stranger":
        changes["ca"] = pki.stranger.file
    tls = ours.model_copy(update=changes)
    with raw_scp.running(tls=server) as scp:
        with opened(scp, tls) as destination:
            with pytest.raises(Refused, match="certificate is not trusted"):
                list(destination.send(make(number) for number in range(5)))
            with pytest.raises(Refused, match="certificate is not trusted"):
                destination.check()
        assert scp.associations == scp.objects == 0


def test_the_name_of_the_host_is_verified(opened, ours, make, server):
    """Called by an address that its certificate does not have, a peer needs `name`."""
    named = ours.model_copy(update={"name": "localhost"})
    with raw_scp.running(tls=server) as scp:
        with opened(scp, ours, host="127.0.0.1") as destination, pytest.raises(Refused):
            list(destination.send([make(1)]))
        with opened(scp, named, host="127.0.0.1") as destination:
            assert len(list(destination.send([make(1)]))) == 1


def test_true_believes_the_operating_system(opened, make, server):
    """`tls = true` verifies too: a hospital's own authority is not among the system's."""
    with (
        raw_scp.running(tls=server) as scp,
        opened(scp, tls=True) as destination,
        pytest.raises(Refused, match="not trusted"),
    ):
        list(destination.send([make(1)]))


def test_without_our_certificate_nothing_is_taken(storescp, opened, ours, make):
    """A peer that wants our certificate and gets none ends the connection: to be tried again."""
    nameless = ours.model_copy(update={"certificate": None, "key": None})
    with opened(storescp, nameless) as destination, pytest.raises(Unreachable):
        list(destination.send([make(77, study="nameless")]))
    assert make(77, study="nameless").sop_instance_uid not in storescp.received()


def test_plain_dicom_does_not_reach_a_tls_port(storescp, opened, make):
    """Without `tls` a TLS port gives no association, and no object leaves."""
    with opened(storescp, tls=False, timeout_s=1) as destination, pytest.raises(Unreachable):
        list(destination.send([make(78, study="plain")]))


def test_tls_to_a_plain_port_sends_nothing(opened, ours, make):
    """A peer that does not speak TLS is never sent anything in the clear."""
    with raw_scp.running() as scp:
        with opened(scp, ours, timeout_s=1) as destination, pytest.raises(Unreachable):
            list(destination.send([make(1)]))
        assert scp.objects == 0


@pytest.mark.parametrize("end", ["abort_at", "cut_at", "lose_answer_at", "hang_at"])
def test_an_end_under_tls_is_unreachable(opened, ours, make, server, end):
    """Abort, cut, lost answer and silence are told as without TLS, and in time."""
    begun = time.monotonic()
    receipts = []
    with raw_scp.running(Behaviour(**{end: 3}), tls=server) as scp:
        with opened(scp, ours, timeout_s=0.6) as destination, pytest.raises(Unreachable):
            receipts.extend(destination.send(make(number) for number in range(3)))
        assert len(receipts) == 2
    assert time.monotonic() - begun < 5


def test_a_cable_pulled_under_tls_costs_one_time_out(opened, ours, make, server):
    """A network that goes away in mid-object is noticed within the time-out."""
    with raw_scp.running(tls=server) as scp, cable.running(scp.port) as wire:
        with opened(scp, ours, port=wire.port, timeout_s=0.6) as destination:
            assert len(list(destination.send([make(1)]))) == 1
            wire.pull()
            begun = time.monotonic()
            with pytest.raises(Unreachable):
                list(destination.send([make(2, pixels=20_000_000)]))
            assert time.monotonic() - begun < 4
        wire.plug()


def test_files_that_cannot_be_used_are_a_config_fault(opened, ours, server, pki):
    """A key that belongs to another certificate is told with its fix, before anybody is called."""
    wrong = ours.model_copy(update={"key": pki.node.key})
    with raw_scp.running(tls=server) as scp, pytest.raises(ConfigFault, match="does not belong"):
        opened(scp, wrong)
