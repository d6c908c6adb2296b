"""Each status that the conformance statement lists for queries is really sent."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from config.model import Settings
from dicom import errors, message, pdu, query, status
from dicom.find_answer import Responses
from examples.peers.find_scu import STUDY_ROOT, identifier
from examples.peers.raw_finder import encoded
from examples.peers.raw_scu import IMPLICIT
from node.commands.conformance import DOCUMENT
from node.conformance_markdown import rows
from node.questioner import Questioner
from node.services.find import FindService
from node.services.questioning import Question


class Answering:
    """An index with an answer ready: rows, or what is raised."""

    def __init__(self, answer: list[tuple[str]] | Exception) -> None:
        self._answer = answer

    @contextlib.contextmanager
    def finding(self, query: query.Query, limit: int) -> Iterator["Answering"]:
        yield self

    def page(self, size: int) -> list[tuple[str]]:
        if isinstance(self._answer, Exception):
            raise self._answer
        page, self._answer = self._answer, []
        return page

    def interrupt(self) -> None: ...

    def let_go(self) -> None: ...


class Kept:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.data = b""

    def send(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def statuses(self) -> list[int]:
        """List the statuses of the responses, in order."""
        found, at, assembler = [], 0, message.Assembler()
        while at < len(self.data):
            header = pdu.read_header(self.data[at : at + 6], 1 << 20)
            at += 6 + header.length
            for pdv in pdu.pdvs(memoryview(self.data)[at - header.length : at]):
                got = assembler.feed(pdv)
                if isinstance(got, message.Command):
                    found.append(message.response_status(got))
        return found


STUDY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}
ONE = [("1.2",)]
FOUND: list[tuple[dict[str, Any], list[int]]] = [
    ({"found": []}, [status.SUCCESS]),
    ({"found": ONE}, [status.PENDING, status.SUCCESS]),
    (
        {"found": ONE, "keys": {"Rows": None}},
        [status.PENDING_WITH_UNSUPPORTED_KEYS, status.SUCCESS],
    ),
    ({"found": ONE, "cancelled": True}, [status.CANCELLED]),
    ({"found": ONE * 2, "most": 1}, [status.PENDING, status.OUT_OF_RESOURCES]),
    ({"found": errors.SpoolFull("x")}, [status.OUT_OF_RESOURCES]),
    ({"found": [], "keys": {"QueryRetrieveLevel": "ROOM"}}, [status.DOES_NOT_MATCH]),
    ({"found": [], "asked": b"no identifier"}, [status.CANNOT_UNDERSTAND]),
    ({"found": [], "caller": "NOBODY"}, [status.NOT_AUTHORISED]),
    ({"found": errors.Corrupt("x")}, [status.PROCESSING_FAILURE]),
    ({"found": KeyError("a bug")}, [status.PROCESSING_FAILURE]),
]


@pytest.mark.parametrize(("case", "expected"), FOUND)
def test_each_status_of_a_find_is_really_sent(
    find_settings: Callable[..., Settings], case: dict[str, Any], expected: list[int]
) -> None:
    """The table's words describe a query that the service answers so."""
    settings = find_settings(max_matches=case.get("most", 100))
    kept = Kept()
    questioner = Questioner(kept, Responses(1, 7, STUDY_ROOT, 0), 7)
    if "cancelled" in case:
        questioner.cancel()
    data = case.get("asked", encoded(identifier(**{**STUDY, **case.get("keys", {})})))
    asked = Question(data, STUDY_ROOT, IMPLICIT, case.get("caller", "SCANNER"), b"", questioner)
    FindService(settings, Answering(case["found"])).serve_question(asked)
    assert kept.statuses() == expected


def test_the_table_of_find_statuses_is_whole() -> None:
    """It names every status that is drawn above, and no other."""
    drawn = {code for _, expected in FOUND for code in expected}
    listed = rows(DOCUMENT.read_text("utf-8"), "find-statuses")
    assert {int(row[0], 16) for row in listed} == drawn
