"""Several processes over one vault, and one that is killed."""

import signal
import subprocess
import sys

from deid.vault.audit import Asker
from deid.vault.sealing import VaultKeys
from deid.vault.vault import Vault

WRITER = """
import sys
from dataclasses import dataclass
from pathlib import Path
from deid.vault.sealing import VaultKey, VaultKeys
from deid.vault.vault import Vault
from storage.vault.store import VaultStore

@dataclass(frozen=True)
class Fact:
    kind: str
    pseudonym: str
    value: str

@dataclass(frozen=True)
class Clean:
    patient_pseudonym: str
    study_instance_uid: str
    sop_instance_uid: str
    originals: tuple

raw = memoryview(Path(sys.argv[2]).read_bytes())
store = VaultStore.open(Path(sys.argv[1]))
vault = Vault(store.rows, store.trail, VaultKeys(VaultKey(bytes(range(32)))))
print("ready", flush=True)
sys.stdin.readline()
for n in range(60):
    facts = tuple(Fact("uid", f"2.25.{i}", f"1.2.{i}") for i in range(n * 3, n * 3 + 5))
    vault.keep("heart", Clean(f"P{n % 7}", f"2.25.{n % 7}", f"2.25.{n * 3}", facts), raw)
print("done", flush=True)
"""

ROTATOR = """
import os, signal, sys
from pathlib import Path
from deid.vault import vault as module
from deid.vault.audit import Asker
from deid.vault.sealing import VaultKey, VaultKeys
from storage.vault.store import VaultStore

module._BATCH = 10
store = VaultStore.open(Path(sys.argv[1]))
keys = VaultKeys(VaultKey(bytes(range(1, 33))), [VaultKey(bytes(range(32)))])
seen = []

def progress(count):
    seen.append(count)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

module.Vault(store.rows, store.trail, keys).rotate(Asker("tester", "a test"), progress)
"""


def everything(vault, asker, project="heart"):
    return {
        (each.patient, each.kind, each.pseudonym): each.value
        for each in vault.export(project, asker)
    }


def test_a_rotation_that_was_killed_is_finished(vault, store, by_hand, lab, tmp_path):
    """kill -9 in the middle leaves each key under one of the two; a second run ends the work."""
    asker = Asker("tester", "a test")
    for n in range(80):
        vault.keep("heart", *by_hand(f"P{n}", f"2.25.{n}", count=1))
    before = everything(vault, asker)
    killed = subprocess.run([sys.executable, "-c", ROTATOR, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    both = Vault(store.rows, store.trail, VaultKeys(lab.NEW, [lab.OLD]))
    assert both.to_rotate() == 81 - 30
    assert everything(both, asker) == before
    assert both.rotate(asker) == 81 - 30
    new = Vault(store.rows, store.trail, VaultKeys(lab.NEW))
    assert everything(new, asker) == before
    assert new.verify().is_whole


def test_two_processes_keep_at_the_same_time(vault, lab, tmp_path, asker):
    """Workers that meet over the same patients agree on one key each, and lose no row."""
    raw = tmp_path / "original.dcm"
    raw.write_bytes(lab.part10(lab.original()))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, raw],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    answers = [writer.communicate("go\n", timeout=60)[0] for writer in writers]
    assert answers == ["done\n", "done\n"]
    found = everything(vault, asker)
    wanted = {(f"P{n % 7}", "uid", f"2.25.{i}") for n in range(60) for i in range(n * 3, n * 3 + 5)}
    assert found.keys() == wanted
    assert all(value == f"1.2.{pseudonym[5:]}" for (_, _, pseudonym), value in found.items())
