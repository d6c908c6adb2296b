"""A new certificate is taken up while the node runs; one that cannot be used never is."""

import re
import shutil
import signal
import socket
import ssl
import threading
import time
from datetime import timedelta
from urllib.request import urlopen

import pytest
import structlog

from config.model import Tls
from dicom.errors import ConfigFault
from examples.peers.certificates import Identity
from examples.peers.node import running_node
from examples.peers.process import free_port, wait_until
from node.tls import DAY_S, Credentials


@pytest.fixture
def files(pki, tmp_path):
    """The node's certificate and key in files of the test's own."""
    mine = Identity(tmp_path / "node.crt", tmp_path / "node.key")
    replace(pki.node, mine)
    return mine


@pytest.fixture
def table(files, pki):
    """[tls] with these files."""
    return pki.tls(certificate=files.certificate, key=files.key)


def replace(new, old):
    """Put new files in the place of old ones, each at once, as renewal tools do."""
    for ours, theirs in ((new.certificate, old.certificate), (new.key, old.key)):
        copy = theirs.with_suffix(".new")
        shutil.copy(ours, copy)
        copy.rename(theirs)


@pytest.fixture
def door(open_door, table):
    """The door under TLS, with these files."""
    return open_door(tls=table)


def shown(peer):
    """The common name that the node showed to a peer."""
    subject = peer.socket.getpeercert()["subject"]
    return dict(pair for attributes in subject for pair in attributes)["commonName"]


def client(pki):
    return pki.authority.client(pki.client)


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now


def expired(pki):
    return pki.authority.issue("expired", ends=-timedelta(hours=1))


def mixed(pki):
    """A certificate and another one's key."""
    one, other = pki.authority.issue("one"), pki.authority.issue("other")
    return Identity(one.certificate, other.key)


def garbled(pki):
    one = pki.authority.issue("garbled")
    one.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return one


def open_to_all(pki):
    one = pki.authority.issue("open")
    one.key.chmod(0o644)
    return one


def test_a_new_certificate_is_shown_to_new_connections(door, call, wire, pki, files):
    """After new files are in place the next association sees them; a running one goes on."""
    old = call(door, client(pki))
    old.associate()
    assert shown(old) == "node"
    replace(pki.authority.issue("renewed", "localhost"), files)
    with structlog.testing.capture_logs() as lines:
        door.listener.credentials.look(at_once=True)
        door.listener.credentials.look(at_once=True)
    assert [line["event"] for line in lines] == ["certificate taken up"]
    new = call(door, client(pki))
    new.associate()
    assert shown(new) == "renewed"
    for number, peer in enumerate((old, new)):
        uid = f"1.2.3.{number}"
        assert peer.store(wire.dataset_of(uid), sop_instance=uid) == 0
        peer.release()
    assert len(door.stored) == 2


@pytest.mark.parametrize(
    "case",
    [
        (expired, "expired"),
        (mixed, "does not belong to the key"),
        (garbled, "holds no certificate"),
        (open_to_all, "chmod 600"),
    ],
)
def test_a_broken_certificate_is_refused(door, call, pki, files, case):
    """Files that cannot be used are told once; the old ones stay, until good ones come."""
    bad, words = case
    replace(bad(pki), files)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            door.listener.credentials.look(at_once=True)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("new certificate refused, the old one stays in use", "error")
    ]
    assert words in lines[0]["words"]
    peer = call(door, client(pki))
    peer.associate()
    assert shown(peer) == "node"
    replace(pki.authority.issue("renewed"), files)
    files.key.chmod(0o600)
    door.listener.credentials.look(at_once=True)
    assert shown(call(door, client(pki))) == "renewed"


def test_missing_files_change_nothing(door, call, pki, files):
    """When the files vanish, the certificate that was read stays in use."""
    files.certificate.unlink()
    files.key.unlink()
    door.listener.credentials.look(at_once=True)
    assert shown(call(door, client(pki))) == "node"


def test_a_new_authority_shuts_out_the_old_one(open_door, call, pki, table, tmp_path):
    """Clients of an authority that was taken out of client_ca are refused from then on."""
    authorities = tmp_path / "authorities.pem"
    shutil.copy(pki.authority.file, authorities)
    door = open_door(tls={**table, "client_ca": authorities})
    context = pki.authority.client(pki.client, newest="TLSv1_2")
    peer = call(door, context)
    peer.associate()
    authorities.write_bytes(pki.stranger.file.read_bytes())
    door.listener.credentials.look(at_once=True)
    with pytest.raises(ssl.SSLError):
        call(door, context)
    peer.release()


def test_files_are_taken_up_when_they_have_come_to_rest(pki, files, table):
    """A change is looked at twice before it counts, so that half of it never does."""
    credentials = Credentials(Tls(**table))
    before = credentials.expires_at
    renewed = pki.authority.issue("renewed", ends=timedelta(days=40))
    shutil.copy(renewed.certificate, files.certificate)
    credentials.look()
    shutil.copy(renewed.key, files.key)
    credentials.look()
    assert credentials.expires_at == before
    with structlog.testing.capture_logs() as lines:
        credentials.look()
    assert credentials.expires_at < before
    assert [line["event"] for line in lines] == ["certificate taken up"]


def test_the_files_are_looked_at_without_being_asked(pki, files, table):
    """A thread looks at the files, outlives what it finds, and ends with the door."""
    threads = threading.active_count()
    credentials = Credentials(Tls(**table), look_s=0.02)
    before = credentials.expires_at
    credentials.start()
    replace(mixed(pki), files)
    replace(pki.authority.issue("renewed", ends=timedelta(days=40)), files)
    wait_until(lambda: credentials.expires_at < before, 10, "the new certificate")
    credentials.stop()
    credentials.stop()
    assert threading.active_count() == threads


def test_a_bug_does_not_end_the_looking(pki, files, table, monkeypatch):
    """When a look breaks, the next one is made all the same."""
    credentials = Credentials(Tls(**table), look_s=0.02)
    before = credentials.expires_at
    monkeypatch.setattr(credentials, "_stamp", lambda: 1 / 0)
    with structlog.testing.capture_logs() as lines:
        credentials.start()
        wait_until(lambda: lines, 10, "a line")
        monkeypatch.undo()
        replace(pki.authority.issue("renewed", ends=timedelta(days=40)), files)
        wait_until(lambda: credentials.expires_at < before, 10, "the new certificate")
        credentials.stop()
    assert lines[0]["event"] == "cannot look at the certificate"


def test_a_certificate_that_becomes_valid_is_taken_up(pki, files, table):
    """New files that are not valid yet wait for their day."""
    clock = Clock()
    credentials = Credentials(Tls(**table), clock=clock)
    before = credentials.expires_at
    later = pki.authority.issue("later", begins=timedelta(hours=1), ends=timedelta(days=200))
    replace(later, files)
    for _ in range(3):
        credentials.look()
    assert credentials.expires_at == before
    clock.now += 2 * 3600
    credentials.look()
    assert credentials.expires_at > before


@pytest.mark.parametrize(
    ("days", "event"),
    [(90.5, None), (29.5, "certificate ends soon"), (-1, "certificate has ended")],
)
def test_the_end_of_a_certificate_is_told_once_a_day(pki, files, table, days, event):
    """From 30 days before its end a certificate is warned of at the start and once a day."""
    clock = Clock()
    replace(pki.authority.issue("short", ends=timedelta(days=10)), files)
    credentials = Credentials(Tls(**table), clock=clock)
    clock.now = credentials.expires_at - days * DAY_S
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            credentials.warn()
        clock.now += DAY_S
        credentials.warn()
    assert [line["event"] for line in lines] == ([event] * 2 if event else [])
    assert credentials.facts()["certificate_left_s"] == round((days - 1) * DAY_S)


def test_renewal_ends_the_warnings(pki, files, table):
    """After a renewal nobody is told of the old certificate's end."""
    clock = Clock()
    replace(pki.authority.issue("short", ends=timedelta(days=10)), files)
    credentials = Credentials(Tls(**table), clock=clock)
    replace(pki.authority.issue("renewed"), files)
    credentials.look(at_once=True)
    with structlog.testing.capture_logs() as lines:
        credentials.warn()
    assert lines == []


def test_an_unusable_certificate_is_no_start(pki, files, table):
    """A node whose certificate cannot be used does not start, and says why."""
    replace(expired(pki), files)
    with pytest.raises(ConfigFault, match=r"tls\.certificate: .*expired"):
        Credentials(Tls(**table))


def test_a_running_node_takes_up_files_on_sighup(pki, files, table, tmp_path):
    """`kill -HUP` has a running node show its new certificate; nothing else changes."""
    port = free_port()
    tables = f"""
[tls]
certificate = "{files.certificate}"
key = "{files.key}"
client_ca = "{pki.authority.file}"
port = {port}
"""
    context = client(pki)

    def name():
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            context.wrap_socket(raw) as peer,
        ):
            return peer.getpeercert()["subject"][0][0][1]

    with running_node(tmp_path / "node", tables) as node:
        assert name() == "node"
        replace(pki.authority.issue("renewed"), files)
        node.process.send_signal(signal.SIGHUP)
        wait_until(lambda: name() == "renewed", 15, "the new certificate")
        scraped = urlopen(f"http://127.0.0.1:{node.http_port}/metrics", timeout=10).read().decode()
        (left,) = re.findall(r"^penumbra_tls_certificate_seconds (\S+)", scraped, re.MULTILINE)
        assert 80 * DAY_S < float(left) < 91 * DAY_S
        assert f"port {node.port} and {port} (TLS)" in node.run("status").stdout
        assert node.process.poll() is None
