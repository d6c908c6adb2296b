"""The files of [tls]: every kind of fault, each with its key and what mends it."""

import shutil
import ssl
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from config import certificates
from config.load import load
from config.model import Tls
from dicom.errors import ConfigFault
from examples.peers.certificates import Authority

NODE = """[tls]
certificate = "node.crt"
key = "node.key"
client_ca = "clients.pem"
"""


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """An authority, which issues what a test asks for."""
    return Authority(tmp_path_factory.mktemp("authority"), "hospital")


@pytest.fixture
def there(folder, issued):
    """A config file with [tls] whose files are sound."""
    copy(issued.issue("node", "localhost"), folder)
    shutil.copy(issued.file, folder / "clients.pem")
    (folder / "node.toml").write_text(NODE)
    return folder


def copy(identity, folder):
    """Put an identity where the config file looks for it."""
    shutil.copy(identity.certificate, folder / "node.crt")
    shutil.copy(identity.key, folder / "node.key")


def told(folder):
    """What is wrong, by key."""
    try:
        load(folder / "node.toml", with_tls=True)
    except ConfigFault as fault:
        return dict(fault.problems)
    return {}


def missing(folder, issued):
    for name in ("node.crt", "node.key", "clients.pem"):
        (folder / name).unlink()


def of_another_key(folder, issued):
    shutil.copy(issued.issue("other").key, folder / "node.key")


def issuer_first(folder, issued):
    (folder / "node.crt").write_bytes(issued.file.read_bytes() + (folder / "node.crt").read_bytes())


def expired(folder, issued):
    copy(issued.issue("late", ends=-timedelta(hours=1)), folder)


def early(folder, issued):
    copy(issued.issue("early", begins=timedelta(hours=1)), folder)


def with_an_expired_issuer(folder, issued):
    old = Authority(folder / "old", "old", ends=-timedelta(hours=1))
    copy(old.issue("node"), folder)


def weak(folder, issued):
    copy(issued.issue("weak", key_bits=1024), folder)


def open_to_all(folder, issued):
    (folder / "node.key").chmod(0o604)


def locked(folder, issued):
    copy(issued.issue("locked", passphrase=b"secret"), folder)


def swapped(folder, issued):
    names = folder / "node.crt", folder / "node.key"
    first, second = (name.read_bytes() for name in names)
    names[0].write_bytes(second)
    names[1].write_bytes(first)


def as_der(folder, issued):
    for command in (["x509"], ["pkey"]):
        name = "node.crt" if command == ["x509"] else "node.key"
        subprocess.run(
            ["openssl", *command, "-in", name, "-outform", "der", "-out", f"{name}.der"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        shutil.copyfile(folder / f"{name}.der", folder / name)


def empty(folder, issued):
    for name in ("node.crt", "node.key", "clients.pem"):
        (folder / name).write_bytes(b"")


def authorities_expired(folder, issued):
    old = Authority(folder / "old", "old", ends=-timedelta(hours=1))
    shutil.copy(old.file, folder / "clients.pem")


FAULTS = [
    (missing, {"certificate": "No such file", "key": "No such file", "client_ca": "No such file"}),
    (of_another_key, {"certificate": "does not belong to the key"}),
    (issuer_first, {"certificate": "put the node's own first"}),
    (expired, {"certificate": "UTC; have it issued anew"}),
    (early, {"certificate": "set this machine's clock"}),
    (with_an_expired_issuer, {"certificate": "CN=old in"}),
    (weak, {"certificate": "RSA needs 2048 bits"}),
    (open_to_all, {"key": "chmod 600"}),
    (locked, {"key": "locked with a passphrase"}),
    (swapped, {"certificate": "no certificate in PEM", "key": "no private key in PEM"}),
    (as_der, {"certificate": "openssl x509 -inform der", "key": "openssl pkey -inform der"}),
    (empty, {"certificate": "no certificate", "key": "is empty", "client_ca": "no certificate"}),
    (authorities_expired, {"client_ca": "CN=old in"}),
]


@pytest.mark.parametrize(("harm", "words"), FAULTS, ids=[harm.__name__ for harm, _ in FAULTS])
def test_every_fault_is_told_with_its_fix(there, issued, harm, words):
    """Whatever is wrong with a file is told by its key, and together with the others' faults."""
    assert told(there) == {}
    harm(there, issued)
    problems = told(there)
    assert set(problems) == {f"tls.{key}" for key in words}
    for key, part in words.items():
        assert part in problems[f"tls.{key}"]
    with pytest.raises(ConfigFault):
        certificates.load(table(there), time.time())


def table(folder, **others):
    """[tls] with the files of a folder."""
    return Tls(
        certificate=folder / "node.crt",
        key=folder / "node.key",
        client_ca=folder / "clients.pem",
        **others,
    )


def test_faults_of_tls_are_told_with_all_others(there):
    """One run tells the faults of a certificate beside those of other tables."""
    (there / "node.key").chmod(0o644)
    (there / "node.toml").write_text(f'{NODE}mimimum = "1.2"\n[node]\nport = "x"\n')
    assert {"tls.mimimum", "node.port"} <= set(told(there))
    (there / "node.toml").write_text(f'{NODE}[node]\nport = "x"\n')
    assert set(told(there)) == {"tls.key", "node.port"}


def test_an_old_authority_beside_a_good_one_is_no_fault(there):
    """While authorities are exchanged, one of them may have expired."""
    old = Authority(there / "old", "old", ends=-timedelta(hours=1))
    with (there / "clients.pem").open("ab") as file:
        file.write(old.file.read_bytes())
    assert told(there) == {}


def test_who_opens_no_door_needs_no_files(there, issued):
    """Workers and commands that only look load the config file without the files of [tls]."""
    missing(there, issued)
    assert load(there / "node.toml").tls.port == 2762


def test_files_that_change_while_they_are_read_are_a_fault(there, issued, monkeypatch):
    """Between check and use the files may change; that is told, not raised as a bug."""
    monkeypatch.setattr(certificates, "problems", lambda *_: [])
    of_another_key(there, issued)
    with pytest.raises(ConfigFault, match="changed while it was read"):
        certificates.load(table(there), time.time())


@pytest.mark.parametrize("minimum", ["1.2", "1.3"])
def test_only_forward_secret_authenticated_suites_are_offered(there, minimum):
    """No TLS below the minimum, no suite without ECDHE and authenticated encryption, no tickets."""
    context = certificates.load(table(there, minimum=minimum), time.time()).context
    assert context.minimum_version == getattr(ssl.TLSVersion, f"TLSv{minimum.replace('.', '_')}")
    assert context.verify_mode is ssl.CERT_REQUIRED
    for suite in context.get_ciphers():
        assert suite["aead"], suite["name"]
        assert suite["protocol"] == "TLSv1.3" or suite["kea"] == "kx-ecdhe", suite["name"]
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_the_end_is_that_of_the_first_to_end(there, issued):
    """An issuer that ends before the node's own certificate counts."""
    short = Authority(there / "short", "short", ends=timedelta(days=9))
    copy(short.issue("node", ends=timedelta(days=90)), there)
    left_s = certificates.load(table(there), time.time()).expires_at - time.time()
    assert 8.9 < left_s / 86_400 < 9.1


def test_check_tells_the_faults(there, issued):
    """`penumbra check` tells what is wrong with a certificate, or which ports will be open."""

    def check():
        command = [sys.executable, "-m", "node.cli", "check", "-c", there / "node.toml"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    sound = check()
    assert (sound.returncode, "11112 and 2762 (TLS)" in sound.stdout) == (0, True)
    of_another_key(there, issued)
    found = check()
    assert (found.returncode, "tls.certificate" in found.stderr) == (78, True)
