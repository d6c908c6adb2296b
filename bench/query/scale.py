"""The node alone, with an index of a million studies: how long questions take."""

import datetime as dt
import itertools
import statistics
from pathlib import Path

import duckdb

from bench.laps import Results
from bench.query import synthetic
from bench.query.asking import FindClient, WebClient
from bench.query.beside import TABLES, new_token
from bench.query.questions import KINDS, Question, Study, questions
from examples.peers.node import running_node

SAMPLES = 2_000
INDEX = "index.duckdb"
MANY = 1_000
PAGE = 101
"""A page of QIDO-RS, whose first match comes with the last: as the viewer asks for it."""


def measure(results: Results, folder: Path, studies: int, count: int) -> None:
    """Make the index, start a node over it, and ask `count` questions of each kind."""
    data_dir = folder / "var"
    data_dir.mkdir()
    synthetic.make(data_dir / INDEX, studies, seed=1)
    known, wide, instances = _sampled(data_dir / INDEX)
    results.findings["scale, studies"] = studies
    results.findings["scale, instances"] = instances
    size = sum(file.stat().st_size for file in data_dir.glob(f"{INDEX}*"))
    results.findings["scale, bytes per instance"] = size / instances
    token, digest = new_token()
    with (
        running_node(folder, TABLES.format(digest=digest)) as node,
        FindClient(node.port, "PENUMBRA") as find,
        WebClient(node.http_port, "/dicom-web", token, PAGE) as web,
    ):
        for way, client in (("find", find), ("qido", web)):
            found: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for asked in questions(known, count):
                found[asked.kind].append(client.ask(asked).first_s)
            for kind, took in found.items():
                results.findings[f"{way} {kind}, p95"] = 1e3 * _p95(took)
                results.findings[f"{way} {kind}, p50"] = 1e3 * statistics.median(took)
        answers = [find.ask(wide) for _ in range(5)]
        results.findings["many, matches"] = answers[0].matches
        results.findings["many"] = statistics.median(one.seconds for one in answers)


def _p95(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.95)]


def _sampled(index: Path) -> tuple[list[Study], Question, int]:
    """Pick studies to ask about, and days that hold some thousand of them."""
    with duckdb.connect(str(index), read_only=True) as connection:
        rows = connection.execute(
            "SELECT PatientID, PatientName, StudyDate, ModalitiesInStudy, StudyInstanceUID"
            f" FROM study USING SAMPLE {SAMPLES} ROWS (reservoir, 1)"
        ).fetchall()
        days = connection.execute(
            "SELECT StudyDate, count(*) FROM study WHERE StudyDate IS NOT NULL"
            " GROUP BY StudyDate ORDER BY StudyDate"
        ).fetchall()
        instances = connection.execute("SELECT count(*) FROM instance").fetchall()[0][0]
    known = [
        Study(patient, name, day, modalities.split("\\")[0], uid)
        for patient, name, day, modalities, uid in rows
        if patient and name and day and modalities and len(name) > 3
    ]
    return known, Question("many", {"StudyDate": _days_of(days, MANY)}), instances


def _days_of(days: list[tuple[dt.date, int]], wanted: int) -> str:
    """Name the days from the middle one on that hold so many studies together."""
    rest = days[len(days) // 2 :]
    totals = itertools.accumulate(count for _, count in rest)
    enough = next((at for at, total in enumerate(totals) if total >= wanted), len(rest) - 1)
    return f"{rest[0][0]:%Y%m%d}-{rest[enough][0]:%Y%m%d}"
