"""`penumbra spool`: what it says about a spool, and its exit status."""

import json
import os

import pytest
from click.testing import CliRunner

from node.commands.spool import command
from storage.ledger.ledger import Ledger


@pytest.fixture
def penumbra(tmp_path, root):
    """Runs `penumbra spool` on the spool of a config file."""
    config = tmp_path / "node.toml"
    config.write_text(f'[node]\ndata_dir = "{root.parent}"\n')

    def run(*arguments):
        return CliRunner().invoke(command, [*arguments, "-c", str(config)])

    return run


@pytest.mark.p1
def test_verify_reads_everything(penumbra, spool, objects):
    """A sound spool passes, sealed segments and those in use alike."""
    for number in range(3):
        objects.store(spool, objects.body(100_000, number), f"2.25.{number}")
    half = spool.begin(objects.store(spool, b"x", "2.25.3").arrival)
    half.write(objects.body(3_000_000))
    result = penumbra("verify")
    assert result.exit_code == 0, result.output
    assert "4 objects, 0.3 MB in 1 segments: all intact." in result.output
    half.abandon()


@pytest.mark.parametrize("where", [0, -100])
def test_verify_names_what_is_damaged(penumbra, open_spool, root, objects, where):
    """A damaged object is named, the exit status is 1, and nothing on disk is changed."""
    with open_spool() as spool:
        stored = [objects.store(spool, b"x" * 1000, f"2.25.{number}") for number in range(3)]
    (sealed,) = root.glob("*.seg")
    content = bytearray(sealed.read_bytes())
    content[stored[2].location.offset + where] ^= 1
    sealed.write_bytes(content)
    result = penumbra("verify")
    assert result.exit_code == 1
    assert ("2.25.2" if where == 0 else "no record") in result.output
    assert "1 damaged" in result.output
    assert sealed.read_bytes() == content
    lines = penumbra("verify", "--json").stdout.splitlines()
    assert len(json.loads(lines[0])["damage"]) == 1


def test_verify_names_what_a_recovery_put_aside(penumbra, open_spool, root, objects):
    """A torn tail is named with its size; the objects are as intact as before."""
    with open_spool() as spool:
        objects.store(spool, b"x" * 1000)
    (sealed,) = root.glob("*.seg")
    sealed.with_suffix(".torn").write_bytes(bytes(77))
    result = penumbra("verify")
    assert result.exit_code == 0
    assert f"{sealed.stem}.torn: 77 bytes" in result.output


def test_list(penumbra, open_spool, objects):
    """Every segment is listed with its objects and state."""
    with open_spool(segment_bytes=1) as spool:
        objects.store(spool, b"a")
        objects.store(spool, b"b", "2.25.2")
        found = [json.loads(line) for line in penumbra("list", "--json").stdout.splitlines()]
        assert [(one["records"], one["is_sealed"]) for one in found] == [(1, True), (1, True)]
        assert found[0]["first_received_at"] == found[0]["last_received_at"] == 1.5
        assert "sealed" in penumbra("list").output


def test_an_empty_spool(penumbra, spool):
    """A spool without objects is said to be empty, and is intact."""
    assert "empty" in penumbra("list").output
    assert penumbra("verify").exit_code == 0


@pytest.mark.p1
@pytest.mark.parametrize("left", [None, 500])
def test_verify_misses_what_was_filed(penumbra, open_spool, root, objects, left):
    """A segment that the ledger followed and that is gone, or ends early, is named."""
    with open_spool() as spool:
        instance = objects.store(spool, b"x" * 1000)
        (record,) = spool.records({})
    ledger = Ledger.open(root.parent)
    ledger.intake.absorb([], {instance.location.segment: record.end}, 0.0)
    ledger.close()
    assert penumbra("verify").exit_code == 0
    (sealed,) = root.glob("*.seg")
    if left is None:
        sealed.unlink()
    else:
        os.truncate(sealed, left)
    result = penumbra("verify")
    assert result.exit_code == 1
    words = f"segment {instance.location.segment}: holds 0 bytes of the {record.end}"
    assert words in result.output
