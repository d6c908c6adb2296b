"""Real TLS clients at the door: DCMTK, pynetdicom and openssl; and the commands of the manual."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE

from examples.peers.node import running_node
from examples.peers.process import free_port, wait_until

MANUAL = Path(__file__).parents[2] / "docs" / "encryption.md"

dcmtk = pytest.mark.skipif(not shutil.which("storescu"), reason="needs Debian's dcmtk (storescu)")
openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs Debian's openssl")


def run(command, port, *paths):
    """Run a DCMTK command against a port; returns (exit status, what it printed)."""
    titles = ["-v", "-aet", "SCANNER", "-aec", "PENUMBRA"]
    done = subprocess.run(
        [*command, *titles, "localhost", str(port), *paths],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def identity(one):
    return ["+tls", str(one.key), str(one.certificate)]


@pytest.fixture
def door(open_door, pki):
    """The door under TLS, with client certificates required."""
    return open_door(tls=pki.tls())


@dcmtk
@pytest.mark.parametrize("profile", [[], ["+px"], ["+pz"]], ids=["nd", "bcp195", "extended"])
@pytest.mark.parametrize("trust", ["+cf", "-ic"])
def test_storescu_stores(door, pki, profile, trust):
    """DCMTK's storescu stores the same under each of its current TLS profiles as without TLS."""
    path = get_testdata_file("CT_small.dcm")
    trusting = ["+cf", str(pki.authority.file)] if trust == "+cf" else ["-ic"]
    status, said = run(
        ["storescu", *identity(pki.client), *trusting, *profile], door.tls_port, path
    )
    assert status == 0, said
    assert run(["storescu"], door.port, path)[0] == 0
    assert [ending.outcome for _, ending in door.ended(2)] == ["released"] * 2
    under_tls, plain = door.datasets()
    assert under_tls == plain
    assert len(plain) > 30_000


def nobody(pki):
    return ["+tla", "-ic"]


def a_stranger(pki):
    return [*identity(pki.stranger.issue("ct1")), "+cf", str(pki.authority.file)]


def a_doubter(pki):
    return [*identity(pki.client), "+cf", str(pki.stranger.file)]


def one_without_tls(pki):
    return []


@dcmtk
@pytest.mark.parametrize("client", [nobody, a_stranger, a_doubter, one_without_tls])
def test_echoscu_is_refused(door, pki, client):
    """DCMTK without a certificate, with another's, without trust or TLS hears no C-ECHO."""
    with structlog.testing.capture_logs() as lines:
        status, _ = run(["echoscu", *client(pki)], door.tls_port)
        door.is_quiet()
    assert status != 0
    assert [line["event"] for line in lines] == ["connection rejected"]
    assert door.diary.opened == []


@dcmtk
def test_who_need_not_show_a_certificate_may_come_without(open_door, pki):
    """Without client_ca DCMTK is served without a certificate of its own."""
    door = open_door(tls=pki.tls(client_ca=None))
    status, said = run(["echoscu", "+tla", "+cf", str(pki.authority.file)], door.tls_port)
    assert status == 0, said


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_pynetdicom_is_served(door, pki, version):
    """pynetdicom stores, echoes and releases under TLS, and checks the node's name."""
    context = pki.authority.client(pki.client, newest=version)
    context.check_hostname = True
    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    ae = AE(ae_title="SCANNER")
    ae.add_requested_context("1.2.840.10008.1.1")
    ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    scu = ae.associate(
        "localhost", door.tls_port, ae_title="PENUMBRA", tls_args=(context, "localhost")
    )
    assert scu.is_established
    for number in range(5):
        assert scu.send_c_echo().Status == 0
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        assert scu.send_c_store(dataset).Status == 0
    scu.release()
    assert len(door.stored) == 5
    assert door.ended()[0][1].outcome == "released"


@openssl
def test_nobody_renegotiates(door, call, wire, pki):
    """A client that asks for a renegotiation gets none, and the door serves on."""
    names = pki.client.certificate, pki.client.key, pki.authority.file
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"localhost:{door.tls_port}", "-tls1_2",
         "-cert", names[0], "-key", names[1], "-CAfile", names[2]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with client:
        wait_until(lambda: b"Verify return code: 0" in client.stdout.readline(), 10, "TLS")
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said = client.stdout.read()
    assert client.returncode != 0
    assert b"RENEGOTIATING" in said
    door.is_quiet()
    peer = call(door, pki.authority.client(pki.client))
    peer.associate()
    assert peer.store(wire.dataset_of()) == 0


def blocks(language):
    """The blocks of the manual's section on TLS."""
    section = MANUAL.read_text().split("\n## TLS\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


@dcmtk
@openssl
def test_the_commands_of_the_manual_work(tmp_path):
    """Who follows the manual, command by command, ends with a C-ECHO under TLS."""
    port = free_port()
    scripts = blocks("sh")
    (tables,) = blocks("toml")
    # pynetdicom brings an echoscu of its own; the manual means DCMTK's.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "penumbra").symlink_to(Path(sys.executable).with_name("penumbra"))
    folders = [tmp_path / "bin", Path(shutil.which("openssl")).parent, "/usr/bin", "/bin"]
    environment = {**os.environ, "PATH": ":".join(map(str, folders))}

    def follow(script):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("2762", str(port))],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"

    assert len(scripts) == 4
    for script in scripts[:2]:
        follow(script)
    tables += f"port = {port}\n[peers.ECHOSCU]\n"
    with running_node(tmp_path, tables):
        for script in scripts[2:]:
            follow(script)
