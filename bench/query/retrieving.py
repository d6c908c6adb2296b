"""C-MOVE and WADO-RS of one CT Series, from the node and from Orthanc, in turns."""

import contextlib
import http.client
import io
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydicom.filewriter import dcmwrite

from bench.ingest import native
from bench.ingest.peers import NODELAY
from bench.ingest.procfs import cpu_time
from bench.ingest.workload import WORKLOADS, make
from bench.laps import Lap, Results
from bench.query.beside import AET, INDEXED_WITHIN_S, NODE, ORTHANC, Pair, indexed, pair
from dicom.store_scu import RemoteAe, StoreScu
from examples.peers import orthanc
from examples.peers.process import answers, debian, free_port, running, wait_until

TURNS = 3
SINK, STORESCP = "SINK", "STORESCP"
"""Two receivers that keep nothing: one of ours that costs next to nothing, so that the rate is the
sender's (bench/ingest/c/floor.c), and DCMTK's, which is the slower half of the way."""
CHUNK = 1 << 20
ASKER = "ASKER"
ASKING = f'[peers.{ASKER}]\nmay = ["move"]\nmove_to = ["{SINK}", "{STORESCP}"]\n'
PEER = '[peers.{aet}]\nhost = "127.0.0.1"\nport = {port}\n'
MOVE, MOVE_STORESCP, WADO = "C-MOVE", "C-MOVE to storescp", "WADO-RS"
FIRST_OBJECT = "first object, by C-MOVE"
MOVES = {MOVE: SINK, MOVE_STORESCP: STORESCP}


@dataclass(frozen=True, slots=True)
class Series:
    """What is retrieved."""

    study_instance_uid: str
    series_instance_uid: str
    slices: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Server:
    """Whom to ask, and whose processor time counts."""

    name: str
    pid: int
    port: int
    called_ae: str


def measure(results: Results, folder: Path, slices: int) -> None:
    """Give both the same Series, then retrieve it whole by either way, in turns."""
    missing = [name for name in ("Orthanc", "storescp", "movescu") if debian(name) is None]
    if native.compiler() is None:
        missing.append("a C compiler")
    if missing:
        results.missing.append(f"{', '.join(missing)} (Debian: apt-get install orthanc dcmtk gcc)")
        return
    ports = {SINK: free_port(), STORESCP: free_port()}
    tables = ASKING + "".join(PEER.format(aet=aet, port=port) for aet, port in ports.items())
    with pair(folder, tables) as both, _sinks(folder, ports):
        series = _fill(both, slices)
        wait_until(lambda: indexed(both.node) >= slices, INDEXED_WITHIN_S, "the index")
        for aet, port in {**ports, ASKER: 1}.items():
            both.orthanc.add_modality(aet.lower(), aet, port)
        before = _peak_bytes(both.node.process.pid)
        servers = {
            NODE: Server(NODE, both.node.process.pid, both.node.port, "PENUMBRA"),
            ORTHANC: Server(ORTHANC, both.orthanc.pids[-1], both.orthanc.port, AET),
        }
        for case in MOVES:
            results.take_turns(
                TURNS, {name: partial(_move, case, one, series) for name, one in servers.items()}
            )
        if orthanc.web_plugin() is not None:
            node, pacs = both.node.http_port, both.orthanc.http_port
            results.take_turns(TURNS, {
                NODE: lambda turn: _wado(results, NODE, node, both.token, series, turn),
                ORTHANC: lambda turn: _wado(results, ORTHANC, pacs, "", series, turn),
            })  # fmt: skip
        results.findings[FIRST_OBJECT] = _slowest_first_ms(both.node.log)
        results.findings["retrieve, memory"] = _peak_bytes(both.node.process.pid) - before


@contextlib.contextmanager
def _sinks(folder: Path, ports: Mapping[str, int]) -> Iterator[None]:
    """Run receivers that keep nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    floor = native.build(folder / "bin").floor
    commands = {
        SINK: [str(floor), str(ports[SINK])],
        STORESCP: ["storescp", "--ignore", "--fork", "-aet", STORESCP, str(ports[STORESCP])],
    }
    with contextlib.ExitStack() as stack:
        for name, command in commands.items():
            ready, log = partial(answers, ports[name]), folder / f"{name.lower()}.log"
            stack.enter_context(running(command, ready=ready, log=log, env=NODELAY))
        yield


def _fill(both: Pair, slices: int) -> Series:
    workload = replace(WORKLOADS["ct"], files=slices)
    doors = [
        StoreScu(RemoteAe("127.0.0.1", both.node.port, "PENUMBRA", "BENCH")),
        StoreScu(RemoteAe("127.0.0.1", both.orthanc.port, AET, "BENCH")),
    ]
    size, study, series = 0, "", ""
    with contextlib.ExitStack() as stack:
        for each in doors:
            stack.callback(each.close)
        for number, made in enumerate(make(workload)):
            study, series = study or made.StudyInstanceUID, series or made.SeriesInstanceUID
            made.StudyInstanceUID, made.SeriesInstanceUID = study, series
            made.InstanceNumber = number + 1
            buffer = io.BytesIO()
            dcmwrite(buffer, made, enforce_file_format=True)
            size += buffer.tell()
            for each in doors:
                each.store(
                    [buffer.getvalue()],
                    sop_class_uid=str(made.SOPClassUID),
                    sop_instance_uid=str(made.SOPInstanceUID),
                    transfer_syntax_uid=str(made.file_meta.TransferSyntaxUID),
                )
    return Series(study, series, slices, size)


def _move(case: str, server: Server, series: Series, turn: int) -> Lap:
    before, began = cpu_time(server.pid), time.perf_counter()
    done = subprocess.run(
        ["movescu", "-S", "-aet", ASKER, "-aec", server.called_ae, "-aem", MOVES[case],
         "-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={series.study_instance_uid}",
         "-k", f"SeriesInstanceUID={series.series_instance_uid}", "-v",
         "127.0.0.1", str(server.port)],
        env={**os.environ, **NODELAY}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    took_s = time.perf_counter() - began
    told = done.stdout + done.stderr
    if done.returncode or "Success" not in told:
        words = f"movescu from {server.name} ended with {done.returncode}: {told[-500:]}"
        raise RuntimeError(words)
    used_s = cpu_time(server.pid).since(before).main_s
    return Lap(case, server.name, turn, series.slices, series.size_bytes, took_s, used_s)


def _wado(  # noqa: PLR0917  (a turn's facts)
    results: Results, name: str, port: int, token: str, series: Series, turn: int
) -> Lap:
    headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    path = f"/dicom-web/studies/{series.study_instance_uid}/series/{series.series_instance_uid}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    began = time.perf_counter()
    connection.request("GET", path, headers=headers)
    with contextlib.closing(connection), connection.getresponse() as answer:
        size, first_s = len(answer.read1(CHUNK)), time.perf_counter() - began
        while part := answer.read1(CHUNK):
            size += len(part)
    took_s = time.perf_counter() - began
    if answer.status != 200 or size < series.size_bytes * 0.99:
        raise RuntimeError(f"WADO-RS from {name}: {answer.status}, {size} bytes")
    worst = f"first byte, {name}"
    results.findings[worst] = max(results.findings.get(worst, 0.0), 1e3 * first_s)
    return Lap(WADO, name, turn, series.slices, series.size_bytes, took_s)


def _slowest_first_ms(log: Path) -> float:
    """Read from the node's log how long it took at most until a first object was on its way."""
    told = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return max(float(one["first_ms"]) for one in told if one["event"] == "retrieval")


def _peak_bytes(pid: int) -> int:
    """Give the most memory that a process has had of its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
