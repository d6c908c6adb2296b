"""What a command that only looks does not have to load."""

import subprocess
import sys

HEAVY = ("pydicom", "numpy", "psycopg", "cryptography", "pynetdicom", "duckdb")
"""Each takes as long to import as the ledger takes to answer."""
LOOKED = """
import sys
from pathlib import Path
from config.load import load
from node.ledger import open_ledger
config = Path(sys.argv[1]) / "node.toml"
config.write_text('''
[node]
ae_title = "PENUMBRA"
[destinations.shelf]
kind = "folder"
path = "shelf"
[[rules]]
name = "ct"
send = ["shelf"]
when = { Modality = "CT" }
''')
from storage.ledger.ledger import Ledger
Ledger.open(config.parent / "var").close()
open_ledger(load(config, with_secrets=False)).summary()
print(*(name for name in sys.argv[2:] if name in sys.modules))
"""


def test_whoever_only_looks_waits_for_no_codec(tmp_path):
    """A config with rules is read, and a ledger on SQLite asked, without heavy imports."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKED, str(tmp_path), *HEAVY],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == []


OF_MODELS = ("ai.pipeline", "grpc", "tritonclient", "highdicom", "scipy", "pyarrow")
"""What asks models and writes lakes, of which most workers do neither."""


def test_a_worker_loads_nothing_for_models_that_nobody_has():
    """It starts sooner, and with less memory, where the config has no model."""
    program = (
        "import sys, node.workers.process;"
        "print(*(name for name in sys.argv[1:] if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *OF_MODELS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
