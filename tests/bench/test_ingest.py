"""The load generator, the floor and the whole command, at work."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from pydicom import dcmread

from bench.ingest import native
from bench.ingest.clients import Load, send
from bench.ingest.results import read
from bench.ingest.workload import WORKLOADS, files_of, make
from examples.peers.folder_pacs import running_pynetdicom
from examples.peers.process import answers, free_port, running

ROOT = Path(__file__).parents[2]
NO_COMPILER = native.compiler() is None


@pytest.fixture(scope="session")
def mr(tmp_path_factory):
    """A few MR files."""
    return files_of(replace(WORKLOADS["mr"], files=3), tmp_path_factory.mktemp("work"))


def bench(*words, env=None):
    """Run the command as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "bench.ingest", *map(str, words)],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["mr", "ct", "jls", "small"])
def test_objects_are_whole_and_of_the_size_that_is_told(name, tmp_path):
    """Each workload's objects can be read and shown, and are about as large as the tables say."""
    workload = WORKLOADS[name]
    first, second = islice(make(replace(workload, files=2)), 2)
    (file,) = files_of(replace(workload, files=1), tmp_path)
    assert file.stat().st_size == pytest.approx(workload.size_bytes, rel=0.05)
    assert dcmread(file).pixel_array.shape == (workload.rows, workload.rows)
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert dcmread(file).SOPInstanceUID == first.SOPInstanceUID


def test_files_are_made_once(mr):
    """A second run takes the objects of the first."""
    before = [file.stat().st_mtime_ns for file in mr]
    again = files_of(replace(WORKLOADS["mr"], files=3), mr[0].parents[1])
    assert [file.stat().st_mtime_ns for file in again] == before


def test_what_is_sent_are_new_objects_with_the_same_pixels(programs, mr, tmp_path):
    """Each C-STORE carries its own Instance in a Series of its association, and valid pixels."""
    with running_pynetdicom(tmp_path) as pacs:
        told = send(Load(mr, associations=2, objects=10), pacs.port, programs)
        assert (told["objects"], told["failures"]) == (10, 0), told
        assert told["bytes"] == pytest.approx(10 * 34_000, rel=0.05)
        assert 0 < told["p50_ms"] <= told["p99_ms"] <= told["max_ms"]
        kept = [dcmread(file) for file in pacs.folder.glob("*.dcm")]
    assert len({each.SOPInstanceUID for each in kept}) == 10
    assert len({each.SeriesInstanceUID for each in kept}) == 2
    assert {each.PixelData for each in kept} <= {dcmread(file).PixelData for file in mr}
    for each in kept:
        assert each.filename.endswith(f"{each.SOPInstanceUID}.dcm")


@pytest.mark.parametrize(
    ("behaviour", "stored", "failures", "words"),
    [
        ({"status": 0xA700}, 0, 6, "status 0xA700"),
        ({"abort_after": 1}, 1, 2, "was not answered"),
        ({"rejects": True}, 0, 2, "association rejected"),
    ],
    ids=["refused", "aborted", "rejected"],
)
def test_what_is_not_stored_is_a_failure(  # noqa: PLR0917  (a row of the table above)
    programs, mr, tmp_path, behaviour, stored, failures, words
):
    """A server that refuses, aborts or rejects is never counted as fast."""
    with running_pynetdicom(tmp_path, **behaviour) as pacs:
        told = send(Load(mr, associations=2, objects=6), pacs.port, programs)
    assert (told["objects"], told["failures"]) == (stored, failures)
    assert words in told["trouble"]


@pytest.mark.skipif(NO_COMPILER, reason="needs a C compiler (Debian package gcc)")
@pytest.mark.parametrize("source", sorted(native.SOURCES.glob("*.c")), ids=lambda file: file.name)
def test_the_compiler_has_nothing_to_say(source):
    """The C sources compile without a warning."""
    command = [native.compiler(), *native.FLAGS, "-Werror", "-fsyntax-only", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nobody_listening_is_a_failure(programs, mr):
    """A port without a server is told in words, and ends at once."""
    told = send(Load(mr, associations=2, objects=6), free_port(), programs)
    assert (told["objects"], told["failures"]) == (0, 2)
    assert "no connection" in told["trouble"]


def test_a_file_that_is_none_is_named(programs, tmp_path):
    """What is no DICOM file stops the load generator, with its name."""
    (tmp_path / "x.dcm").write_bytes(b"no DICOM" * 100)
    told = send(Load([tmp_path / "x.dcm"], associations=1, objects=1), free_port(), programs)
    assert told["failures"] == 1
    assert "x.dcm" in told["trouble"]


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace (Debian package strace)")
@pytest.mark.parametrize(
    ("folders", "calls"), [("0", {"fdatasync"}), ("1", {"fdatasync", "fsync"})]
)
def test_the_shim_syncs_what_was_written(programs, tmp_path, folders, calls):
    """A file that was written is synced at its close, its folder only where that is asked for."""
    script = "open('a', 'wb').write(b'x'); open('a', 'rb').read()"
    preload = ["-E", f"LD_PRELOAD={programs.durable}", "-E", f"SYNC_FOLDERS={folders}"]
    traced = ["strace", "-f", "-e", "trace=fsync,fdatasync", *preload]
    command = [*traced, sys.executable, "-S", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = [line.partition("(")[0] for line in done.stderr.splitlines() if "sync(" in line]
    assert sorted(found) == sorted(calls)


@pytest.mark.skipif(NO_COMPILER, reason="needs a C compiler (Debian package gcc)")
def test_a_quick_run_works_from_end_to_end(tmp_path):
    """Floor and node are started, sent to, accounted for and ended; the document is written."""
    shutil.copy(ROOT / "docs" / "benchmarks.md", tmp_path / "doc.md")
    done = bench(
        "--quick", "--peers", "floor,node", "--work", "mr", "--assoc", "2", "--objects", 20,
        "--scratch", tmp_path / "scratch", "--out", tmp_path / "results.jsonl",
        "--write", tmp_path / "doc.md",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    cells, machine = read(tmp_path / "results.jsonl")
    assert [(cell.peer, cell.objects, cell.failures) for cell in cells] == [
        ("floor", 20, 0),
        ("node", 20, 0),
    ]
    floor, node = cells
    assert (floor.filed_s, floor.main_filed_cpu_s) == (None, None)
    assert node.filed_s is not None
    assert node.peak_rss_mb >= node.main_peak_rss_mb > 20 > floor.peak_rss_mb
    assert machine["sync_ms"] > 0
    assert "Penumbra" in machine["versions"]
    assert "| 2 | **Penumbra** |" in (tmp_path / "doc.md").read_text()
    assert {file.name for file in (tmp_path / "scratch").iterdir()} == {"bin", "lock", "work"}
    again = bench("--from", tmp_path / "results.jsonl")
    assert again.returncode == 0
    assert "objects/s" in again.stdout


def test_without_a_compiler_it_says_so(tmp_path):
    """A machine without a C compiler is told what to install, and nothing is left running."""
    done = bench(
        "--quick", "--peers", "floor", "--work", "mr", "--scratch", tmp_path,
        env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "there is no compiler here: install one (Debian: apt-get install gcc" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_word_is_answered_with_the_right_ones():
    """Who names a server that is not known hears which are."""
    done = bench("--peers", "orthank")
    assert done.returncode == 2
    assert "orthank is none of floor, node, orthanc," in done.stderr


def test_failed_measurements_make_a_failed_run(cell, tmp_path):
    """A run with failures ends with status 1, so that nobody takes its numbers for good."""
    file = tmp_path / "results.jsonl"
    row = {"kind": "cell", "case": "matrix", "peer": "node", "work": "ct", "associations": 1,
           "repetition": 0, "failures": 1, "trouble": "no"}  # fmt: skip
    file.write_text(json.dumps(row))
    done = bench("--from", file)
    assert done.returncode == 1
    assert "some measurements failed" in done.stderr


@pytest.mark.skipif(NO_COMPILER, reason="needs a C compiler (Debian package gcc)")
def test_the_floor_without_a_log_takes_all_and_keeps_nothing(programs, mr, tmp_path):
    """As a receiver that costs little it answers every object, and writes no byte."""
    port = free_port()
    command = [str(programs.floor), str(port)]
    with running(command, ready=lambda: answers(port), log=tmp_path / "floor.log"):
        told = send(Load(mr, associations=2, objects=10), port, programs)
    assert (told["objects"], told["failures"]) == (10, 0), told
    assert [file.name for file in tmp_path.iterdir()] == ["floor.log"]
