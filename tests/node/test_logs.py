"""The log: JSON lines, ids bound once, and nothing about a patient, whoever speaks."""

import contextlib
import fcntl
import io
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TextIO
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID

from node import logs

NAME = "DOE^JANE"
Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Give the process its logging back after each test."""
    root, configured = logging.getLogger(), structlog.get_config()
    kept = root.handlers, root.level, warnings.showwarning, sys.excepthook
    hooks = sys.unraisablehook, threading.excepthook
    levels = {name: logging.getLogger(name).level for name in ("pynetdicom", "pydicom")}
    yield
    root.handlers, root.level, warnings.showwarning, sys.excepthook = kept
    sys.unraisablehook, threading.excepthook = hooks
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.configure(**configured)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines() -> Lines:
    """The lines that were logged, parsed."""
    sink = io.StringIO()
    logs.configure("debug", sink)
    return lambda: parsed(sink)


def parsed(sink: io.StringIO) -> list[dict[str, object]]:
    assert logs.flush(10)
    return [json.loads(line) for line in sink.getvalue().splitlines()]


class Color(StrEnum):
    RED = "red"


def test_a_line_is_json_with_time_level_and_event_first(lines):
    """Each line is one JSON object: when, how bad, what, then the facts."""
    structlog.get_logger().info("series settled", series="1.2.3", instances=3)
    (line,) = lines()
    assert list(line) == ["at", "level", "event", "series", "instances"]
    assert (line["level"], line["event"], line["instances"]) == ("info", "series settled", 3)
    assert str(line["at"]).endswith("Z")


def test_ids_are_bound_once(lines):
    """An id that is bound stands in every line until it is unbound."""
    with structlog.contextvars.bound_contextvars(association="a1"):
        structlog.get_logger().info("one")
    structlog.get_logger().info("two")
    assert [line.get("association") for line in lines()] == ["a1", None]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_level_is_the_settings(level):
    """Lines below the level are not written."""
    sink = io.StringIO()
    logs.configure(level, sink)
    for each in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), each)("x")
    order = ["debug", "info", "warning", "error"]
    seen = [line["level"] for line in parsed(sink)]
    assert seen == order[order.index(level) :]


def test_a_terminal_gets_colours():
    """On a terminal a line is key=value, in colours."""
    sink = io.StringIO()
    sink.isatty = lambda: True
    logs.configure("info", sink)
    structlog.get_logger().info("hello", series="1.2")
    assert logs.flush(10)
    assert "\x1b[" in sink.getvalue()
    assert "hello" in sink.getvalue()


@pytest.mark.p6
@pytest.mark.parametrize(
    "key", [*sorted(logs.IDENTIFYING), "patient_name", "patient_id", "PATIENTNAME", "study_id"]
)
def test_what_identifies_is_masked(lines, key):
    """A fact under the name of an identifying attribute is masked, however it is spelt."""
    structlog.get_logger().info("x", **{key: NAME})
    structlog.get_logger().info("x", facts={"inner": [{key: NAME}]})
    assert NAME not in json.dumps(lines())
    assert lines()[0][key] == logs.MASK


def _dataset() -> Dataset:
    dataset = Dataset()
    dataset.PatientName = NAME
    return dataset


@pytest.mark.p6
@pytest.mark.parametrize(
    "value",
    [_dataset(), _dataset()["PatientName"], _dataset().PatientName, NAME.encode(), bytearray(b"x"),
     ValueError(NAME), [ValueError(NAME)], {"k": NAME.encode()}, Exception],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_that_may_hold_anything_are_named_by_kind(lines, value):
    """A dataset, an element, bytes or an exception is logged as its type."""
    structlog.get_logger().info("x", value=value)
    (line,) = lines()
    assert NAME not in json.dumps(line)
    assert "<" in json.dumps(line["value"])


def test_plain_facts_stay_as_they_are(lines):
    """Text, numbers, UIDs, paths and lists of them are logged as such."""
    facts = {
        "uid": UID("1.2.3"), "path": Path("/var"), "id": UUID(int=1), "color": Color.RED, "n": 3,
        "x": 0.5, "yes": True, "none": None, "several": ("1.2", 3), "by": {"0x0000": 4},
    }  # fmt: skip
    structlog.get_logger().info("x", **facts)
    (line,) = lines()
    assert {key: line[key] for key in facts} == {
        "uid": "1.2.3", "path": "/var", "id": str(UUID(int=1)), "color": "red", "n": 3,
        "x": 0.5, "yes": True, "none": None, "several": ["1.2", 3], "by": {"0x0000": 4},
    }  # fmt: skip


@given(
    event=st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.integers() | st.text() | st.binary() | st.builds(ValueError, st.text()),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=6,
        ),
    )
)
def test_anything_can_be_logged(event):
    """Masking gives something that JSON can say, whatever is logged."""
    json.dumps(logs.masked(None, "", event))


def _fail() -> None:
    try:
        {}[NAME]
    except KeyError as fault:
        raise ValueError(f"invalid literal {NAME}") from fault


@pytest.mark.p6
def test_an_exception_is_told_by_kind_and_frames(lines):
    """A logged exception keeps its kinds and where it came from, and loses its words."""
    try:
        _fail()
    except ValueError:
        structlog.get_logger().exception("held")
    (line,) = lines()
    assert NAME not in json.dumps(line)
    assert line["fault"] == "ValueError < KeyError"
    assert any("test_logs.py" in frame and "_fail" in frame for frame in line["frames"])


LIBRARIES = {
    "template": lambda: logging.getLogger("obstore").warning("cannot read %s", NAME),
    "joined": lambda: logging.getLogger("asyncio").error("task of " + NAME),  # noqa: G003  (as they do)
    "pynetdicom": lambda: logging.getLogger("pynetdicom.assoc").error("value %s", NAME),
    "pydicom": lambda: logging.getLogger("pydicom").error(NAME),
    "warning": lambda: warnings.warn(f"invalid value {NAME}", UserWarning, stacklevel=1),
}


@pytest.mark.p6
@pytest.mark.parametrize("speak", LIBRARIES.values(), ids=LIBRARIES)
def test_libraries_are_heard_without_values(lines, speak):
    """What a library says becomes a line that tells where, and repeats no value."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = logs._warning
        speak()
    (line,) = lines()
    assert NAME not in json.dumps(line)
    assert "test_logs.py" in line["where"]


def test_a_librarys_own_words_are_kept(lines):
    """Words that stand in a library's source are told, with their places left open."""
    logging.getLogger("uvicorn.error").error("Cancel %s running task(s)", 1)
    assert lines()[0]["words"] == "Cancel %s running task(s)"


@pytest.mark.p6
def test_a_librarys_exception_loses_its_words(lines):
    """A library that logs an exception gives away its kind and frames only."""
    try:
        _fail()
    except ValueError as fault:
        logging.getLogger("pynetdicom.events").exception(str(fault))  # noqa: TRY401  (as it does)
    (line,) = lines()
    assert NAME not in json.dumps(line)
    assert line["fault"] == "ValueError < KeyError"


def test_chatter_is_not_heard(lines):
    """pynetdicom below error, and others below warning, are silent at any level of ours."""
    for level in ("debug", "info", "warning"):
        getattr(logging.getLogger("pynetdicom.acse"), level)("x")
    logging.getLogger("httpx").info("x")
    assert lines() == []


@pytest.mark.p6
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_crash_is_told_without_its_words(lines):
    """An exception that nobody caught, in the process or a thread, becomes a line without words."""
    thread = threading.Thread(target=_fail)
    thread.start()
    thread.join()
    try:
        _fail()
    except ValueError as fault:
        sys.excepthook(ValueError, fault, fault.__traceback__)
    found = lines()
    assert [line["event"] for line in found] == ["thread died", "crashed"]
    assert NAME not in json.dumps(found)


class Flaky(io.StringIO):
    """A log whose disk is full until told otherwise."""

    is_full = True
    room_lines = 0

    def write(self, text: str) -> int:
        if self.is_full and not self.room_lines:
            raise OSError(28, "No space left on device")
        self.room_lines -= 1
        return super().write(text)


def test_a_log_that_cannot_be_written_stops_nobody():
    """With the log's disk full whoever logs goes on; once there is room, the gap is told."""
    sink = Flaky()
    logs.configure("error", sink)
    log = structlog.get_logger()
    for _ in range(3):
        log.error("lost")
    assert logs.flush(10)
    sink.is_full = False
    log.error("back")
    told = [(line["event"], line.get("in_all")) for line in parsed(sink)]
    assert told == [("back", None), ("log lines dropped", 3)]


def test_no_dropped_line_is_uncounted():
    """The line that tells of dropped lines may be dropped itself: the next one counts all."""
    sink = Flaky()
    logs.configure("error", sink)
    log = structlog.get_logger()
    for _ in range(3):
        log.error("lost")
    assert logs.flush(10)
    sink.room_lines = 1
    log.error("back")
    assert logs.flush(10)
    sink.is_full = False
    log.error("back again")
    told = [(line["event"], line.get("in_all")) for line in parsed(sink)]
    assert told == [("back", None), ("back again", None), ("log lines dropped", 4)]


def test_a_log_that_was_closed_stops_nobody():
    """With the log's stream closed, whoever logs goes on."""
    closed = io.StringIO()
    logs.configure("info", closed)
    closed.close()
    structlog.get_logger().info("x")
    assert logs.flush(10)


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe as small as the kernel makes them: its reading end, and the other as a stream."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    stream = os.fdopen(writing, "w")
    yield reading, stream
    os.set_blocking(reading, False)
    with contextlib.suppress(BlockingIOError):
        while os.read(reading, 1 << 20):
            logs.flush(0.01)
    logs.configure("info", io.StringIO())  # ends the writer
    stream.close()
    os.close(reading)


def test_a_log_that_nobody_reads_stops_nobody(pipe, monkeypatch):
    """Lines for a full pipe wait up to a bound; what was dropped is told once it drains."""
    monkeypatch.setattr("node.log_writer.QUEUE_LINES", 50)
    reading, stream = pipe
    logs.configure("error", stream)
    log = structlog.get_logger()
    for number in range(300):
        log.error("x", number=number, text="y" * 500)
    assert not logs.flush(0.01)
    heard = b""
    while not heard.endswith(b"}\n") or b"log lines dropped" not in heard:
        heard += os.read(reading, 65536)
    found = [json.loads(line) for line in heard.splitlines()]
    numbers = [line["number"] for line in found[:-1]]
    assert numbers == sorted(set(numbers))
    assert 50 <= len(numbers) < 70
    assert found[-1]["in_all"] == 300 - len(numbers)


def test_an_answer_does_not_wait_for_the_log(door, call, wire, pipe):
    """A C-STORE that is refused, which is logged before the answer, is answered all the same."""
    logs.configure("debug", pipe[1])
    for _ in range(20):
        structlog.get_logger().info("x", text="y" * 500)
    peer = call()
    peer.associate()
    assert peer.store(wire.dataset_of(), sop_instance="no uid!") == 0x0117
    assert peer.store(wire.dataset_of()) == 0
    peer.release()


ENDS = {
    "in order": ("pass", 0, ""),
    "by a fault": ("raise ValueError('DOE^JANE')", 1, "crashed"),
    "by sys.exit": ("sys.exit(3)", 3, ""),
}


@pytest.mark.parametrize(("end", "code", "event"), ENDS.values(), ids=ENDS)
def test_what_was_logged_before_the_end_is_written(end, code, event):
    """However a process ends that can still do something, its last lines are in the log."""
    script = (
        "import sys, structlog\nfrom node import logs\nlogs.configure('info')\n"
        f"for n in range(500): structlog.get_logger().info('x', n=n)\n{end}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == code
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["n"] for line in found[:500]] == list(range(500))
    assert [line["event"] for line in found[500:]] == ([event] if event else [])


def test_a_log_that_nobody_reads_does_not_hold_up_the_end(pipe):
    """A process whose log is blocked ends soon, and in order."""
    script = (
        "import structlog\nfrom node import logs\nlogs.configure('info')\n"
        "for n in range(3000): structlog.get_logger().info('x', text='y' * 100)\n"
    )
    assert subprocess.call([sys.executable, "-c", script], stderr=pipe[1], timeout=30) == 0


def test_lines_of_many_threads_do_not_mix(lines):
    """Every line is whole, however many threads write."""
    log = structlog.get_logger()
    threads = [
        threading.Thread(target=lambda: [log.info("x", text="y" * 500) for _ in range(50)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines()) == 400
