"""Set up the log: one line per event on standard error, without patient data (P6).

Our own lines come from structlog with fixed words and named facts. What libraries say through
`logging`, `warnings` or an exception nobody caught comes out as where and what kind, never as
they worded it: their words may quote a dataset. Lines are written by node/log_writer.py.
"""

import atexit
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import PurePath
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, TextIO
from uuid import UUID

import structlog

from node.log_writer import FLUSH_S, LogWriter

Level = Literal["debug", "info", "warning", "error"]
_Event = MutableMapping[str, Any]

MASK: Final = "[masked]"
IDENTIFYING: Final = frozenset({
    "PatientName", "PatientID", "IssuerOfPatientID", "OtherPatientIDs", "OtherPatientNames",
    "PatientBirthName", "PatientBirthDate", "PatientBirthTime", "PatientMotherBirthName",
    "PatientAddress", "PatientAge", "PatientTelephoneNumbers", "PatientComments",
    "AdditionalPatientHistory", "MedicalRecordLocator", "MilitaryRank", "Occupation",
    "EthnicGroup", "ResponsiblePerson", "AccessionNumber", "StudyID", "ReferringPhysicianName",
    "RequestingPhysician", "PerformingPhysicianName", "OperatorsName", "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy", "StudyDescription", "SeriesDescription", "ImageComments",
    "RequestedProcedureDescription", "InstitutionName", "InstitutionAddress",
    "DeviceSerialNumber", "AdmissionID", "CurrentPatientLocation",
})  # fmt: skip
"""Attributes whose values are masked wherever a line names them: a belt, as no line should."""

_FOLDED: Final = frozenset(keyword.lower() for keyword in IDENTIFYING)
_DICOM_LIBRARIES: Final = ("pynetdicom", "pydicom", "highdicom")
_PLAIN: Final = (int, float, bool, type(None))


def configure(level: Level = "info", stream: TextIO | None = None) -> None:
    """Send every line of this process to a stream, standard error by default.

    JSON lines; key=value in colours where the stream is a terminal. May be called again. Whoever
    logs goes on at once, whatever becomes of the line; what is left is written at the process's
    end, orderly or by an exception that nobody caught.
    """
    sink = stream or sys.stderr
    _write_to(sink)
    terminal = sink.isatty()
    render: Any = (
        structlog.dev.ConsoleRenderer(colors=True, timestamp_key="at")
        if terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _exception,
            masked,
            _in_order,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=False,
    )
    _take_over()


def flush(timeout_s: float = FLUSH_S) -> bool:
    """Wait until every line so far is written; False when the log does not take them."""
    return _Lines.writer is None or _Lines.writer.flush(timeout_s)


class _Lines:
    """What structlog calls a logger: hands rendered lines to this process's one writer."""

    writer: ClassVar[LogWriter | None] = None

    def msg(self, line: str) -> None:
        """Have a line written."""
        if self.writer is not None:
            self.writer.put(line)

    debug = info = warning = error = critical = exception = msg


def _write_to(sink: TextIO) -> None:
    """Write to a sink from now on; what was logged before goes where it was to go."""
    if _Lines.writer is None:
        atexit.register(flush)
    else:
        _Lines.writer.close()
    _Lines.writer = LogWriter(sink, _tell_dropped)


def _tell_dropped(in_all: int) -> None:
    structlog.get_logger().error("log lines dropped", in_all=in_all)


def masked(_logger: object, _method: str, event: _Event) -> _Event:
    """Mask what identifies a patient, and whatever is no plain fact."""
    return {key: _safe(key, value) for key, value in event.items()}


def _safe(key: object, value: object) -> object:
    if isinstance(key, str) and key.replace("_", "").replace(" ", "").lower() in _FOLDED:
        return MASK
    if isinstance(value, Mapping):
        return {str(each): _safe(each, inner) for each, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_safe(None, each) for each in value]
    if isinstance(value, (str, PurePath, UUID)):
        return str(value)
    if isinstance(value, _PLAIN):
        return value
    # Bytes, datasets, exceptions: their text may hold anything.
    return f"<{type(value).__name__}>"


def _in_order(_logger: object, _method: str, event: _Event) -> _Event:
    first = {key: event.pop(key) for key in ("at", "level", "event") if key in event}
    return {**first, **event}


def _exception(_logger: object, _method: str, event: _Event) -> _Event:
    """Replace an exception by its kind and its frames: its message may quote a value."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    fault = given[1] if isinstance(given, tuple) else given
    if isinstance(fault, BaseException):
        event.update(described(fault))
    return event


def described(fault: BaseException) -> dict[str, object]:
    """Tell an exception without its message: the kinds along its causes, and its frames."""
    frames = traceback.extract_tb(fault.__traceback__)
    return {
        "fault": " < ".join(type(each).__name__ for each in _causes(fault)),
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _causes(fault: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = fault
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


class _Foreign(logging.Handler):
    """Takes what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on: the unformatted words at most, as the arguments may be values."""
        facts: dict[str, object] = {
            "logger": record.name,
            "where": f"{record.pathname}:{record.lineno} {record.funcName}",
        }
        if record.args and record.name.split(".")[0] not in _DICOM_LIBRARIES:
            facts["words"] = str(record.msg)  # a text of the library's source, yet without values
        if record.exc_info and record.exc_info[1] is not None:
            facts |= described(record.exc_info[1])
        log = structlog.get_logger()
        say = log.error if record.levelno >= logging.ERROR else log.warning
        say("library", **facts)


def _take_over() -> None:
    root = logging.getLogger()
    root.handlers = [_Foreign()]
    root.setLevel(logging.WARNING)
    for name in _DICOM_LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.showwarning = _warning
    sys.excepthook = _crash
    sys.unraisablehook = lambda given: _report("unraisable", given.exc_value)
    threading.excepthook = lambda given: _report("thread died", given.exc_value)


def _warning(  # noqa: PLR0917  (the shape of warnings.showwarning)
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del message, file, line
    where = f"{filename}:{lineno}"
    structlog.get_logger().debug("library warning", category=category.__name__, where=where)


def _crash(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, fault, trace)
        return
    _report("crashed", fault)


def _report(event: str, fault: BaseException | None) -> None:
    if fault is not None and not isinstance(fault, SystemExit):
        structlog.get_logger().error(event, exc_info=fault)
