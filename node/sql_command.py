"""Ask for `penumbra sql`: the running node, or the index file where none runs."""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from config.model import Settings
from dicom.errors import StorageFault, Unreachable
from node.control_client import SOCKET_NAME, Answer, ControlClient
from node.plain import plain

if TYPE_CHECKING:
    from node.sql_desk import SqlDesk
    from storage.index.database import Index

T = TypeVar("T")
BY = "penumbra sql"
"""Who asked, in the log, where no node runs."""


def select(settings: Settings, statement: str, timeout_s: float, max_rows: int) -> Answer:
    """Ask one SELECT of the index itself. Raises CannotUnderstand, OutOfResources, StorageFault."""

    def here(index: "Index") -> Answer:
        found = index.sql(statement, timeout_s=timeout_s, max_rows=max_rows)
        rows = tuple(tuple(plain(value) for value in row) for row in found.rows)
        return Answer(found.columns, rows, found.truncated)

    return _either(
        settings,
        lambda node: node.sql(statement, timeout_s=timeout_s, max_rows=max_rows),
        here,
    )


def write(settings: Settings, wanted: Mapping[str, Any], out: BinaryIO) -> tuple[int, bool]:
    """Ask a question or a report as the API has it (node/web/sql.py), and write its answer.

    Gives how many rows there are, and whether there were more. Raises what the node answers.
    """

    def here(index: "Index") -> tuple[int, bool]:
        from storage.index.offered import Role

        answer = _desk(settings, index).ask(_wanted(wanted), Role.IDENTIFIED, BY)
        out.writelines(answer.chunks())
        return answer.rows, answer.truncated

    return _either(settings, lambda node: node.ask(wanted, out), here)


def reports(settings: Settings) -> dict[str, Any]:
    """List the saved reports, and the files that are none."""
    from node.sql_desk import facts
    from storage.index.saved import Reports

    found, faults = Reports(settings.sql.reports).list()
    return {"reports": [facts(one) for one in found], "faults": faults}


def _either(
    settings: Settings, ask: Callable[[ControlClient], T], here: Callable[["Index"], T]
) -> T:
    from node.keys import index_keys, spool_keys
    from storage.index.database import Index

    data_dir = settings.node.data_dir
    try:
        return ask(ControlClient(data_dir / SOCKET_NAME))
    except Unreachable:
        path = data_dir / "index.duckdb"
        if not path.exists():
            raise StorageFault(f"there is no index at {path}: has the node run yet?") from None
    node = settings.node
    keys = [index_keys(node, spool_keys(node))] if node.encrypt_index else []
    with closing(Index.open(path, *keys)) as index:
        return here(index)


def _desk(settings: Settings, index: "Index") -> "SqlDesk":
    from node.sql_desk import SqlDesk, limits_of
    from storage.index.questions import Questions
    from storage.index.saved import Reports

    questions = Questions(index, limits_of(settings.sql), settings.node.data_dir)
    # Whoever can open the file needs no record of what he asks of it.
    return SqlDesk(questions, Reports(settings.sql.reports), lambda _by, _told: None)


def _wanted(wanted: Mapping[str, Any]) -> Any:
    from node.sql_desk import Wanted

    return Wanted(
        wanted.get("sql") or "",
        wanted.get("report") or "",
        wanted["params"],
        wanted["format"],
        wanted["max_rows"],
        wanted["timeout_s"],
    )
