"""What leaves a worker has its way back and its account first, whenever it is killed."""

import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

KILLED = """
import os, signal, sys, time
from pathlib import Path
import node.workers.forward as sending
from config.load import load
from node.workers.handlers import HANDLERS
from node.workers.workshop import Workshop
from storage.destinations.folder import Folder
from storage.evidence.evidence import Evidence
from storage.ledger.ledger import Ledger
from storage.ledger.receipts import Receipts
from storage.spool.reader import SpoolReader
from storage.vault.rows import VaultRows

place = {"Folder._deliver": Folder, "Evidence.add": Evidence, "Receipts.add": Receipts,
         "VaultRows.add": VaultRows}[sys.argv[2]]
name, when, calls = sys.argv[2].split(".")[1], int(sys.argv[3]), []
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
job = shop.ledger.jobs.claim("w1", HANDLERS.keys(), time.time(), 600)
sending.FLUSH_S = 0
sending.forward(job, shop)
"""


@pytest.mark.p4
@pytest.mark.p7
@pytest.mark.parametrize(
    ("profile", "place", "when"),
    [
        ("linked", "VaultRows.add", 1),
        ("linked", "Evidence.add", 1),
        ("linked", "Folder._deliver", 1),
        ("linked", "Folder._deliver", 35),
        ("linked", "Receipts.add", 1),
        ("plain", "Evidence.add", 1),
        ("plain", "Folder._deliver", 35),
    ],
)
def test_a_killed_worker_leaves_nothing_unaccounted(
    lab: SimpleNamespace, site: Any, profile: str, place: str, when: int
):
    """kill -9 behind each step: what left has its account and way back, and in the end once."""
    site.receive([lab.image(number) for number in range(1, lab.OBJECTS + 1)])
    site.owe(profile)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, site.folder / "node.toml", place, str(when)],
        check=False, capture_output=True, timeout=60,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = {each.SOPInstanceUID for each in site.out}
    if place.startswith("Folder"):
        assert len(left) == when
    assert left <= {each.entry.clean.sop_instance_uid for each in site.evidence()}
    if profile == "linked":
        assert left <= site.originals().keys()
    shop = site.workshop()
    site.work(shop)
    receipts = shop.ledger.receipts.list("out")
    shop.close()
    assert len(receipts) == len(site.out) == len(site.evidence()) == lab.OBJECTS
    assert {each["source_uid"] for each in receipts} == {
        each.entry.source.sop_instance_uid for each in site.evidence()
    }
    assert {each["sop_instance_uid"] for each in receipts} >= left
    if profile == "linked":
        originals = site.originals()
        assert {originals[each.SOPInstanceUID] for each in site.out} == {
            f"{lab.SERIES}.{number}" for number in range(1, lab.OBJECTS + 1)
        }
