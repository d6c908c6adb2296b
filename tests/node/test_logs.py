"""The log: JSON lines, ids bound once, and nothing about a patient, whoever speaks."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
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
    return lambda: [json.loads(line) for line in sink.getvalue().splitlines()]


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
    seen = [json.loads(line)["level"] for line in sink.getvalue().splitlines()]
    assert seen == order[order.index(level) :]


def test_a_terminal_gets_colours():
    """On a terminal a line is key=value, in colours."""
    sink = io.StringIO()
    sink.isatty = lambda: True
    logs.configure("info", sink)
    structlog.get_logger().info("hello", series="1.2")
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


class Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_stops_nobody():
    """With the log's disk full or its pipe closed, whoever logs goes on."""
    logs.configure("info", Full())
    structlog.get_logger().info("x")
    closed = io.StringIO()
    logs.configure("info", closed)
    closed.close()
    structlog.get_logger().info("x")


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
