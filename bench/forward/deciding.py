"""What deciding takes: rules asked of a Series, and held jobs listed for a person."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from pydicom.dataset import Dataset

from bench.laps import Results
from dicom.entity import Arrival, SeriesKey
from node.traits import attributes, route
from routing.job import Kind, NewJob, State
from routing.rules import Rule, choose, compile_rule
from storage.ledger.job_rows import new_row
from storage.ledger.ledger import Ledger
from storage.ledger.schema import jobs

RULES = 10
SERIES, ROUNDS = 2_000, 5
HELD = 100_000
LISTINGS = 3
AT_ONCE = 10_000
TARGETS = ("lake", "pacs", "trial")
CONFIG = '[node]\ndata_dir = "var"\n'
EXPR = 'Modality == "CT" && SeriesDescription.contains("AXIAL")'


def rules(results: Results, *, series: int = SERIES) -> None:
    """Time ten rules with three conditions each, without and with an expression in CEL."""
    results.findings["rules"] = of_a_series(list(typical(None)), series)
    results.findings["rules, CEL"] = of_a_series(list(typical(EXPR)), series)


def typical(expr: str | None) -> Iterator[Rule]:
    """Make rules as a hospital has them: each looks at the sender, the modality and one more."""
    for number in range(RULES):
        when = {
            "calling_ae": ["CT*", "MR*", f"SCANNER{number}"],
            "Modality": ["CT", "MR"],
            "StudyDescription": f"*{'CHEST' if number % 2 else 'HEAD'}*",
        }
        yield compile_rule(f"rule {number}", when, expr=expr, send=["lake"])


def of_a_series(compiled: list[Rule], series: int) -> float:
    """Give microseconds of processor time for a Series, the median of rounds.

    Each Series' head was read; its attributes are decoded anew.
    """
    arrival = Arrival("1.2", "1.2.3", "1.2.840.10008.1.2", "CT_1", "PENUMBRA", "a", "10.0.0.1", 0.0)
    known = route(arrival, {"CT_1"})
    head = Dataset()
    head.Modality, head.StudyDescription = "CT", "CHEST WITH CONTRAST"
    head.SeriesDescription = "AXIAL 1.0"
    found = []
    for _ in range(ROUNDS):
        before = time.process_time()
        for _ in range(series):
            chosen = choose(compiled, attributes(known, lambda: head))
        found.append((time.process_time() - before) / series * 1e6)
        assert len(chosen.matched) == RULES // 2
    return median(found)


def held(results: Results, folder: Path, *, count: int = HELD) -> None:
    """Time the whole command `penumbra held`, its start and every line of its output included."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "node.toml").write_text(CONFIG)
    ledger = Ledger.open(folder / "var")
    rows = [
        new_row(
            NewJob(Kind.FORWARD, SeriesKey(f"1.2.3.{number // 10}", f"1.2.3.4.{number}"), 1,
                   "everything", TARGETS[number % len(TARGETS)]),
            1.79e9 + number / 7, state=State.HELD, fault="refused",
            words="s3://bucket/prefix: access denied; check access_key, secret_key, policy",
        )
        for number in range(count)
    ]  # fmt: skip
    with ledger.database.write() as db:
        for start in range(0, count, AT_ONCE):
            db.execute(jobs.insert(), rows[start : start + AT_ONCE])
    ledger.close()
    command = [sys.executable, "-m", "node.cli", "held", "-c", str(folder / "node.toml")]
    took = []
    for _ in range(LISTINGS):
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        took.append(time.perf_counter() - began)
        assert done.stdout.count("1.2.3.4.") == count
    results.findings["held, jobs"] = float(count)
    results.findings["held"] = median(took)
