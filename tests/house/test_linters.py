"""Shell scripts, Dockerfiles and the systemd unit pass the linters of their kind."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

MOST_EXPOSURE = 20
"""Of systemd-analyze security, in tenths: 1.4 as it is, 9.6 for a unit without any hardening."""


@pytest.fixture(scope="module")
def unit(root):
    return root / "deploy" / "penumbra.service"


def tool(name):
    """Find a linter that the test extra brings, beside the interpreter."""
    return Path(sys.executable).with_name(name)


def run(*command):
    """Run a linter; returns its words, empty when it found nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def installed(unit, folder):
    """Copy the unit with a program in it that is there, as systemd-analyze wants it."""
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace("/opt/penumbra/bin/penumbra", sys.executable))
    return copy


def test_scripts_pass_shellcheck(root):
    """shellcheck finds nothing in any script."""
    assert run(tool("shellcheck"), *(root / "deploy").glob("*.sh"), root / ".ci" / "run") == ""


def test_dockerfiles_pass_hadolint(root):
    """hadolint finds nothing in any Dockerfile."""
    assert run(tool("hadolint"), "--no-color", *(root / "deploy").glob("*Dockerfile")) == ""


def test_the_linters_can_fail(tmp_path):
    """A careless script and a careless Dockerfile are found."""
    script, dockerfile = tmp_path / "x.sh", tmp_path / "Dockerfile"
    script.write_text("#!/bin/sh\nrm -r $1/*\n")
    dockerfile.write_text("FROM debian:latest\nRUN cd /tmp\n")
    assert "SC2086" in run(tool("shellcheck"), script)
    assert "DL3007" in run(tool("hadolint"), "--no-color", dockerfile)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze (Debian)")
def test_the_unit_is_valid_and_tight(unit, tmp_path):
    """systemd knows every line of the unit, and rates its exposure as low."""
    copy = installed(unit, tmp_path)
    assert run("systemd-analyze", "verify", "--man=no", copy) == ""
    rate = ("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}")
    assert run(*rate, copy) == ""


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze (Debian)")
def test_the_check_of_the_unit_can_fail(unit, tmp_path):
    """An unhardened unit is rated as exposed."""
    copy = tmp_path / unit.name
    copy.write_text("[Service]\nExecStart=/bin/true\n")
    rate = ("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}")
    assert run(*rate, copy) != ""


def test_the_unit_fits_the_node(unit, root):
    """The unit starts an existing command, waits longer than a drain, and heeds exit status 78."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(unit.read_text())
    service = parser["Service"]
    command = service["ExecStart"].split()
    assert (root / "node" / "commands" / f"{command[1]}.py").is_file()
    assert command[2:] == ["-c", "/etc/penumbra/node.toml"]
    assert int(service["TimeoutStopSec"]) > 10
    assert service["RestartPreventExitStatus"] == "78"
    assert set(service["RestrictAddressFamilies"].split()) == {"AF_UNIX", "AF_INET", "AF_INET6"}
    assert service["CapabilityBoundingSet"] == ""


def test_the_pre_commit_hooks_use_our_tools(root):
    """Every hook runs a program of .venv on what it is for; nothing is fetched from elsewhere."""
    config = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        program = Path(hook["entry"].split()[0])
        assert program.parent == Path(".venv/bin"), hook["id"]
        assert tool(program.name).is_file(), hook["id"]
        assert hook["language"] == "system", hook["id"]


def test_ci_runs_what_everybody_runs(root):
    """The gate is `make test` and nothing else, so that green means the same everywhere."""
    lines = (root / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if "make" in line and not line.startswith("#")] == [
        'PYTEST_ARGS="--durations=15 ${PYTEST_ARGS:-}" make test'
    ]
