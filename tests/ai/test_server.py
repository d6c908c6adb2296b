"""Triton starts from its own environment, in the foreground, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ai import server
from dicom.errors import ConfigFault
from examples.peers import triton as peer
from examples.peers.asking import linked
from examples.peers.process import PeerDied, free_port, wait_until
from node.commands import phantom as phantom_command
from node.commands import triton as triton_command

SETUP = Path("deploy/setup-triton.sh").absolute()


def test_a_missing_environment_names_its_remedy(tmp_path, monkeypatch):
    """Without .venv-triton the fault says which command makes it."""
    monkeypatch.setenv(server.ENVIRONMENT_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(ConfigFault, match=r"none; make it with deploy/setup-triton\.sh"):
        server.environment()


def test_an_environment_without_triton_names_its_remedy(tmp_path):
    """Some other virtual environment is refused before anything is started."""
    ports = server.Ports(1, 2)
    with pytest.raises(ConfigFault, match="has no nvidia-pytriton"):
        server.prepare(Path(sys.prefix), server.REFERENCE_REPOSITORY, tmp_path, ports)
    with pytest.raises(ConfigFault, match="is not a directory"):
        server.prepare(Path(sys.prefix), tmp_path / "none", tmp_path, ports)


def test_the_setup_script_is_done_at_once_when_nothing_changed(environment):
    """Running it again says one line and installs nothing."""
    ran = subprocess.run([SETUP], capture_output=True, text=True, check=True, timeout=20)
    assert ran.stdout == f"Triton: {environment} is ready\n"


def test_the_setup_script_never_removes_a_stranger(tmp_path):
    """A directory that is no virtual environment is left alone."""
    (tmp_path / "letter").write_text("keep")
    env = {**os.environ, server.ENVIRONMENT_VARIABLE: str(tmp_path)}
    ran = subprocess.run([SETUP], capture_output=True, text=True, check=False, env=env, timeout=60)
    assert ran.returncode == 1
    assert "is no virtual environment" in ran.stderr
    assert (tmp_path / "letter").read_text() == "keep"


def test_a_model_that_does_not_load_is_told(environment, tmp_path):
    """The peer fails with the model's own reason, and its log."""
    model = tmp_path / "models" / "broken"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text('backend: "python"\ninstance_group [{ kind: KIND_CPU }]\n')
    (model / "1" / "model.py").write_text("raise RuntimeError('no weights')\n")
    with (
        pytest.raises(PeerDied, match=r"broken: .*no weights"),
        peer.running(tmp_path, repository=tmp_path / "models", environment=environment),
    ):
        pass


def test_the_command_serves_until_it_is_told_to_stop(environment, tmp_path):
    """`penumbra triton up` says when it is ready, ends on SIGTERM with 0, and cleans up."""
    ports = server.Ports(free_port(), free_port())
    code = "from node.commands.triton import command; command()"
    repository = linked(tmp_path / "models", ["ct_emphysema"])
    options = ["--env", environment, "--grpc-port", ports.grpc, "--http-port", ports.http]
    options += ["--repository", repository]
    line = f"ready: endpoint 127.0.0.1:{ports.grpc} serves ct_emphysema"
    log = tmp_path / "up.log"
    with log.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-c", code, "up", *map(str, options)],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        )
        try:
            wait_until(lambda: line in log.read_text(errors="replace"), 30, "the ready line")
            child.send_signal(signal.SIGTERM)
            assert child.wait(15) == 0
        finally:
            child.kill()
            child.wait()
    assert server.models(ports.http) is None
    assert not list(tmp_path.glob("penumbra-triton-*"))
    assert not list(Path("/dev/shm").glob(f"{server.shared_memory_prefix(ports)}*"))


def test_the_phantom_command_prints_its_truth(tmp_path):
    """`penumbra phantom` writes the slices and says what a report about them must find."""
    ran = CliRunner().invoke(
        phantom_command.command, [str(tmp_path / "out"), "--slices", "4", "--size", "64"]
    )
    assert ran.exit_code == 0, ran.output
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 4
    assert "LAA-950" in ran.output


@pytest.mark.parametrize("command", [phantom_command.command, triton_command.command])
def test_help_teaches(command):
    """--help shows what the command is for, quickly and without its heavy libraries."""
    shown = CliRunner().invoke(command, ["--help"])
    assert shown.exit_code == 0
    assert "Usage:" in shown.output
