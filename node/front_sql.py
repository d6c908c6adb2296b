"""The front's desk for questions in SQL, put together from its parts."""

import time
from collections.abc import Mapping
from pathlib import Path

from config.sql import Sql
from node.sql_desk import ASKED, SqlDesk, limits_of
from storage.index.database import Index
from storage.index.questions import Questions
from storage.index.saved import Reports
from storage.ledger.events import NewEvent
from storage.ledger.ledger import Ledger


def sql_desk(settings: Sql, index: Index, ledger: Ledger, data_dir: Path) -> SqlDesk:
    """Make the desk; each question becomes an event of the ledger."""

    def record(by: str, told: Mapping[str, object]) -> None:
        ledger.outbox.record([NewEvent(ASKED, by, told)], time.time())

    questions = Questions(index, limits_of(settings), data_dir)
    return SqlDesk(questions, Reports(settings.reports), record)
