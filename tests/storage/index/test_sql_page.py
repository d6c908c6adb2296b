"""docs/sql.md: every table and column that is offered, and questions that can be asked."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from storage.index import question_process, schema
from storage.index.account import AccountTables
from storage.index.database import Index
from storage.index.offered import _PLAIN, Role, _every_column, offered
from storage.index.questions import Limits, Question, Questions
from storage.index.saved import Reports, read

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text("utf-8")
BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
QUESTIONS = [block for block in BLOCKS if not block.startswith("--")]
OF_THE_INDEX = {*schema.COLUMNS, "objects"}
"""Of these the page lists what all may see; what else is there grows with the standard."""


def section(table: str) -> tuple[set[str], set[str]]:
    """Give the columns that the page lists of a table: for all, and beside them."""
    text = PAGE.split(f"\n### {table}\n")[1].split("\n##")[0]
    told, _, more = text.partition('With `"identified-sql"`')
    plain = told.split("For all:")[1]

    def names(part: str) -> set[str]:
        return set(re.findall(r"`(\w+)`", re.sub(r"\([^()]*(\([^()]*\)[^()]*)*\)", "", part)))

    return names(plain), names(more)


@pytest.mark.parametrize("table", offered(Role.IDENTIFIED))
def test_every_column_is_explained(table: str):
    """The page has each table with each column, and says who sees it."""
    plain, more = section(table)
    assert plain == set(offered(Role.PLAIN)[table].columns if table in offered(Role.PLAIN) else ())
    if table not in OF_THE_INDEX:
        assert plain | more == set(offered(Role.IDENTIFIED)[table].columns)


def test_what_is_offered_is_there(index: Index):
    """Each table of either role can be read with all of its columns; each name of a list exists."""
    AccountTables(index)
    for role in Role:
        for name, offer in offered(role).items():
            with index.reading() as cursor:
                assert cursor.execute(offer.select(list(offer.columns))).fetchall() == [], name
    for table, names in _PLAIN.items():
        assert set(names.split()) <= set(_every_column()[table]), table


def test_there_are_ten_questions():
    """As many as the page says."""
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize("sql", QUESTIONS, ids=range(len(QUESTIONS)))
def test_a_question_of_the_page_can_be_asked(index: Index, tmp_path: Path, sql: str):
    """Whoever copies a question gets an answer, with the lesser of the two roles."""
    desk = Questions(index, Limits(), tmp_path)
    tables, out = io.BytesIO(), io.BytesIO()

    def give(line: str) -> None:
        desk._give(SimpleNamespace(into=tables), json.loads(line)["need"], Role.PLAIN)
        tables.seek(0)

    request = desk._request(Question(sql), Role.PLAIN, 10)
    said = question_process.answer(request, tables, out, SimpleNamespace(write=give))
    assert said["columns"]


def test_the_page_knows_the_reports():
    """The reports that come along are listed, and the example of one's own is one."""
    listed = re.findall(r"^\| `([a-z-]+)` \|", PAGE.split("## Saved reports")[1], re.MULTILINE)
    assert sorted(listed) == [one.name for one in Reports().list()[0]]
    (example,) = (block for block in BLOCKS if block.startswith("--"))
    assert read("mine", example).plot.x == "StationName"
