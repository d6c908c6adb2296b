"""`penumbra echo` and `penumbra send` under TLS: verified, or nothing is said."""

import ssl

import pytest
from click.testing import CliRunner
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity

from dicom.entity import Arrival
from dicom.errors import ConfigFault, Refused
from dicom.part10 import file_meta
from examples.peers.certificates import Pki
from examples.peers.raw_scu import CT, IMPLICIT, dataset_of
from node.cli import penumbra


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def peer(pki):
    """An SCP that wants a client's certificate: its port, and what it was sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.node.certificate, pki.node.key)
    context.load_verify_locations(pki.authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    stored = []

    def store(event):
        stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    entity = ApplicationEntity("PACS")
    entity.add_supported_context("1.2.840.10008.1.1")
    entity.add_supported_context(CT)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)], ssl_context=context
    )
    yield server.socket.getsockname()[1], stored
    server.shutdown()


@pytest.fixture
def ours(pki):
    return ["--ca", pki.authority.file, "--certificate", pki.client.certificate, "--key",
            pki.client.key]  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(penumbra, [str(one) for one in arguments])


def test_files_are_sent_and_answered(peer, ours, tmp_path):
    """With the hospital's authority and a certificate of ours, both commands reach the peer."""
    port, stored = peer
    meta = file_meta(Arrival(CT, "1.2.3", IMPLICIT, "", "", "", "", 0.0))
    (tmp_path / "a.dcm").write_bytes(meta + dataset_of("1.2.3"))
    echoed = run("echo", f"localhost:{port}", "--tls", *ours)
    assert echoed.exit_code == 0, echoed.output
    sent = run("send", f"localhost:{port}", tmp_path, *ours)
    assert "1 of 1 accepted" in sent.output
    assert stored == ["1.2.3"]


@pytest.mark.parametrize("others", [("--tls",), ("--tls-name", "pacs.example")])
def test_a_peer_that_is_not_trusted_hears_nothing(peer, ours, others):
    """Without its authority, or under another name than its certificate's, nothing is asked."""
    port, _ = peer
    options = others if others == ("--tls",) else (*ours, *others)
    done = run("echo", f"localhost:{port}", *options)
    assert isinstance(done.exception, Refused)
    assert "certificate is not trusted" in str(done.exception)


def test_half_an_identity_is_told(peer, pki):
    """A certificate without its key is named before anybody is called."""
    port, _ = peer
    done = run("echo", f"localhost:{port}", "--certificate", pki.client.certificate)
    assert isinstance(done.exception, ConfigFault)
    assert "certificate and key go together" in str(done.exception)
