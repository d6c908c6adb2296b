"""C-MOVE and WADO-RS of one CT Series, from the node and from Orthanc, in turns."""

import contextlib
import http.client
import io
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.filewriter import dcmwrite

from bench.ingest.peers import NODELAY
from bench.ingest.workload import WORKLOADS, make
from bench.laps import Lap, Results
from bench.query.beside import AET, INDEXED_WITHIN_S, NODE, ORTHANC, Pair, indexed, pair
from dicom.store_scu import RemoteAe, StoreScu
from examples.peers import orthanc
from examples.peers.process import answers, debian, free_port, running, wait_until

TURNS = 3
SINK = "SINK"
CHUNK = 1 << 20
PEER = '[peers.{aet}]\nhost = "127.0.0.1"\nport = {port}\n'
MOVE, WADO = "C-MOVE", "WADO-RS"


@dataclass(frozen=True, slots=True)
class Series:
    """What is retrieved."""

    study_instance_uid: str
    series_instance_uid: str
    slices: int
    size_bytes: int


def measure(results: Results, folder: Path, slices: int) -> None:
    """Give both the same Series, then retrieve it whole by either way, in turns."""
    missing = [name for name in ("Orthanc", "storescp", "movescu") if debian(name) is None]
    if missing:
        results.missing.append(f"{', '.join(missing)} (Debian: apt-get install orthanc dcmtk)")
        return
    port = free_port()
    with pair(folder, PEER.format(aet=SINK, port=port)) as both, _sink(folder, port):
        series = _fill(both, slices)
        wait_until(lambda: indexed(both.node) >= slices, INDEXED_WITHIN_S, "the index")
        both.orthanc.add_modality("sink", SINK, port)
        before = _peak_bytes(both.node.process.pid)
        contenders = {
            NODE: lambda turn: _move(NODE, both.node.port, "PENUMBRA", series, turn),
            ORTHANC: lambda turn: _move(ORTHANC, both.orthanc.port, AET, series, turn),
        }
        results.take_turns(TURNS, contenders)
        if orthanc.web_plugin() is not None:
            node, pacs = both.node.http_port, both.orthanc.http_port
            results.take_turns(TURNS, {
                NODE: lambda turn: _wado(results, NODE, node, both.token, series, turn),
                ORTHANC: lambda turn: _wado(results, ORTHANC, pacs, "", series, turn),
            })  # fmt: skip
        results.findings["retrieve, memory"] = _peak_bytes(both.node.process.pid) - before


@contextlib.contextmanager
def _sink(folder: Path, port: int) -> Iterator[None]:
    """Run a storescp that keeps nothing."""
    command = ["storescp", "--ignore", "--fork", "-aet", SINK, str(port)]
    with running(command, ready=lambda: answers(port), log=folder / "sink.log", env=NODELAY):
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


def _move(name: str, port: int, called: str, series: Series, turn: int) -> Lap:
    began = time.perf_counter()
    done = subprocess.run(
        ["movescu", "-S", "-aet", "BENCH", "-aec", called, "-aem", SINK,
         "-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={series.study_instance_uid}",
         "-k", f"SeriesInstanceUID={series.series_instance_uid}", "-v", "127.0.0.1", str(port)],
        env={**os.environ, **NODELAY}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    took_s = time.perf_counter() - began
    told = done.stdout + done.stderr
    if done.returncode or "Success" not in told:
        raise RuntimeError(f"movescu from {name} ended with {done.returncode}: {told[-500:]}")
    return Lap(MOVE, name, turn, series.slices, series.size_bytes, took_s)


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


def _peak_bytes(pid: int) -> int:
    """Give the most memory that a process has had of its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
