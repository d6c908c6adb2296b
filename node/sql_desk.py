"""Answer questions in SQL and saved reports for whoever may ask them, and put each on record.

On record are who asked, a digest of the text, rows and time; never the text, whose values may name
a patient.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from config.sql import Sql
from dicom.errors import Fault, NotAuthorised
from storage.index.offered import Role, offered
from storage.index.questions import Answer, Form, Limits, Question, Questions
from storage.index.saved import Report, Reports

ASKED: Final = "penumbra.sql.asked"
"""The type of the event about a question."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question or a report, and in which form its answer is wanted."""

    sql: str = ""
    report: str = ""
    """Its name; the one or the other is given."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    form: Form = "json"
    max_rows: int = 1000
    timeout_s: float = 30.0


def limits_of(settings: Sql) -> Limits:
    """Give the limits that the config file sets."""
    return Limits(
        timeout_s=settings.timeout_s,
        max_rows=settings.max_rows,
        memory_mb=settings.memory_mb,
        answer_mb=settings.answer_mb,
        at_once=settings.at_once,
    )


class SqlDesk:
    """Where questions are asked; safe to use from several threads."""

    def __init__(
        self,
        questions: Questions,
        reports: Reports,
        record: Callable[[str, Mapping[str, object]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`record` puts on record who asked, and plain facts; it may raise a Fault."""
        self._questions = questions
        self._record = record
        self._clock = clock
        self.reports = reports

    def ask(
        self, wanted: Wanted, role: Role, by: str, stop: threading.Event | None = None
    ) -> Answer:
        """Answer as a role may ask, until `stop` is set; a report is answered as its own role.

        Raises NotAuthorised for a report or a table that is not for this role, DoesNotMatch for a
        report that is not there, CannotUnderstand, OutOfResources, StorageFault.
        """
        sql, parameters, given = wanted.sql, dict[str, str | float | None](wanted.parameters), role
        if wanted.report:
            report = self.reports.find(wanted.report)
            if report.role not in (role, Role.PLAIN):
                raise NotAuthorised(f'the report {report.name} needs may = ["{report.role}"]')
            sql, given = report.sql, report.role
            parameters.update(report.values(wanted.parameters, self._clock()))
        question = Question(sql, parameters, wanted.form, wanted.timeout_s, wanted.max_rows)
        began_s = time.monotonic()
        told: dict[str, Any] = {"role": str(given), "digest": digest_of(sql)}
        told |= {"report": wanted.report, "format": wanted.form}
        try:
            answer = self._questions.ask(question, given, stop)
        except Fault as fault:
            self._note(by, {**told, "fault": fault.code, "ms": _ms(began_s)})
            raise
        said = {"rows": answer.rows, "truncated": answer.truncated, "bytes": answer.size_bytes}
        self._note(by, {**told, **said, "ms": _ms(began_s)})
        return answer

    def offers(self, role: Role) -> dict[str, object]:
        """Tell what a role may ask about: tables with their columns, and reports."""
        reports, faults = self.reports.list()
        mine = [one for one in reports if one.role in (role, Role.PLAIN)]
        return {
            "tables": {name: list(one.columns) for name, one in offered(role).items()},
            "reports": [facts(one) for one in mine],
            "faults": faults if role is Role.IDENTIFIED else {},
        }

    def _note(self, by: str, told: Mapping[str, object]) -> None:
        log.info("sql", by=by, **told)
        try:
            self._record(by, told)
        except Fault as fault:  # on a full disk the ledger may take no event; the log has it
            log.warning("event not written", fault=fault.code)


def facts(report: Report) -> dict[str, object]:
    """Tell of a report as the API and `penumbra sql --list` do."""
    return {
        "name": report.name,
        "title": report.title,
        "words": report.words,
        "role": str(report.role),
        "own": report.is_own,
        "parameters": [
            {"name": one.name, "type": one.type, "default": one.default, "words": one.words}
            for one in report.parameters
        ],
    }


def digest_of(sql: str) -> str:
    """Give what stands for a question on record."""
    return hashlib.sha256(sql.strip().encode("utf-8", "surrogatepass")).hexdigest()


def _ms(began_s: float) -> int:
    return round((time.monotonic() - began_s) * 1000)
