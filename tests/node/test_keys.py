"""The spool's keys come from the config, and a node that lacks one does not start."""

import base64
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from config.load import load
from config.model import Node
from config.shapes import Secret
from dicom.entity import Arrival
from dicom.errors import ConfigFault
from node.assemble import assemble
from node.commands import check
from node.keys import require_keys, spool_keys
from storage.spool.deposit import deposit
from storage.spool.sealing import SpoolKey, SpoolKeys

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
ARRIVAL = Arrival(
    "1.2.840.10008.5.1.4.1.1.2", "2.25.1", "1.2.840.10008.1.2.1", "A", "B", "a", "h", 1
)


@pytest.fixture
def secret_of(tmp_path: Path):
    """Writes a key file as an administrator would, in one of the forms that are read."""

    def write(content: bytes, name: str) -> Secret:
        file = tmp_path / name
        file.write_bytes(content)
        file.chmod(0o600)
        return Secret(file=file)

    return write


def test_keys_come_from_files_and_the_environment(secret_of, monkeypatch: pytest.MonkeyPatch):
    """A key is read as `penumbra key new` writes it, as hex, and from a variable."""
    monkeypatch.setenv("OLD_KEY", OLD.hex())
    new = secret_of(base64.b64encode(NEW) + b"\n", "spool.key")
    keys = spool_keys(Node(spool_key=new, spool_old_keys=(Secret(env="OLD_KEY"),)))
    assert keys.current is not None
    assert keys.current.secret == NEW
    assert {key.secret for key in keys} == {OLD, NEW}
    assert spool_keys(Node()).current is None


def test_every_fault_of_the_keys_is_told(secret_of, monkeypatch: pytest.MonkeyPatch):
    """A passphrase is no key, a missing file is none either; both are told, neither repeated."""
    monkeypatch.delenv("OLD_KEY", raising=False)
    weak = secret_of(b"correct horse battery staple", "weak.key")
    with pytest.raises(ConfigFault) as caught:
        spool_keys(Node(spool_key=weak, spool_old_keys=(Secret(env="OLD_KEY"),)))
    problems = dict(caught.value.problems)
    assert problems.keys() == {"node.spool_key", "node.spool_old_keys[0]"}
    assert "penumbra key new" in problems["node.spool_key"]
    assert "horse" not in str(caught.value)


@pytest.mark.parametrize("line", ["", 'spool_key = { file = "new.key" }'])
def test_a_node_without_the_key_of_its_spool_does_not_start(tmp_path: Path, secret_of, line: str):
    """With no key or another one the start is refused, in words that name key and setting."""
    secret_of(NEW.hex().encode(), "new.key")
    root = tmp_path / "var" / "spool"
    root.mkdir(parents=True)
    key = SpoolKey(OLD)
    deposit(root, ARRIVAL, (b"x",), writer="job1", key=key)
    config = tmp_path / "node.toml"
    config.write_text(f"[node]\n{line}\n")
    with pytest.raises(ConfigFault, match=f"node.spool_key.*{key.id}.*spool_old_keys"):
        assemble(load(config), config)
    (file,) = root.iterdir()
    assert re.fullmatch("job1-[0-9a-f]{12}[.]seg", file.name)
    require_keys(SpoolKeys(SpoolKey(NEW), [key]), root)


def test_check_reads_the_keys(tmp_path: Path, secret_of):
    """`penumbra check` finds a key that is none, and a key file that is not there."""
    secret_of(b"too short", "spool.key")
    config = tmp_path / "node.toml"
    config.write_text('[node]\nspool_key = { file = "spool.key" }\n')
    fault = CliRunner().invoke(check.command, ["-c", str(config)]).exception
    assert "penumbra key new" in str(fault)
    config.write_text('[node]\nspool_old_keys = [{ file = "gone.key" }]\n')
    with pytest.raises(ConfigFault, match=r"node.spool_old_keys\[0\].file: .*gone.key"):
        load(config)
