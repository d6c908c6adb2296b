"""A worker that is killed at any step of an export leaves each row in the lake once."""

import signal
import subprocess
import sys
import time

import pytest

from config.load import load
from routing.job import Kind

KILLED = """
import os, signal, sys, time
from pathlib import Path
from config.load import load
from node.workers.export import export
from node.workers.workshop import Workshop
from routing.job import Kind
from storage.destinations.folder import Folder
from storage.ledger.lakes import Lakes
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.vault.rows import VaultRows

kind, name = sys.argv[2].split(".")
place = {"Folder": Folder, "Lakes": Lakes, "VaultRows": VaultRows}[kind]
when, calls = int(sys.argv[3]), []
real = getattr(place, name)

def deadly(*arguments, **named):
    done = real(*arguments, **named)
    calls.append(1)
    if len(calls) == when:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

setattr(place, name, deadly)
settings = load(Path(sys.argv[1]))
data_dir = settings.node.data_dir
shop = Workshop(settings, Ledger.open_existing(data_dir), SpoolReader(data_dir / "spool"))
job = shop.ledger.jobs.claim("w1", {Kind.EXPORT}, time.time() + 1, 600)
export(job, shop)
"""


@pytest.mark.p7
@pytest.mark.parametrize(
    "cut",
    [("named", "Folder.replace", 1), ("named", "Lakes.finish", 1), ("kept", "VaultRows.add", 1)],
)
def test_a_killed_export_is_gone_on_with(site, lakes, node, cut):
    """kill -9 behind each step, and more comes meanwhile: in the end each row is there once."""
    lake, place, when = cut
    config = site.folder / "node.toml"
    kept = '[lakes.kept]\ndestination = "out"\nprofile = "linked"\nrows = 20\n'
    config.write_text(config.read_text() + kept)
    node.settings = load(config)
    site.receive([lakes.lab.image(number) for number in range(1, 31)])
    node.ledger.lakes.request(lake, "out", time.time())
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, config, place, str(when)],
        check=False, capture_output=True, timeout=60,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    site.receive_more(lakes.lab.image(77))
    node.ledger.jobs.expire(time.time(), 100, owner="w1")
    job = node.ledger.jobs.claim("w2", {Kind.EXPORT}, time.time() + 2, 600)
    node.ledger.jobs.release(job, time.time())
    lakes.run(node, lake)
    uids = [row[0] for row in lakes.read(site, node, lake, "SOPInstanceUID")]
    assert len(uids) == len(set(uids)) == 31
