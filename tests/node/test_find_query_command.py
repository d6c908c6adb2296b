"""`penumbra query` against a real server: tables, JSON lines, and faults in words."""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import structlog
from click.testing import CliRunner
from pynetdicom.presentation import PresentationContext

from config.model import Settings
from dicom.errors import Refused, Unreachable
from dicom.matching import AnyOf, Like
from dicom.query import Query
from examples.peers.process import free_port
from node.commands.query import command
from node.listener import Listener
from node.services.find import FindService
from node.services.store import StoreService

STUDY = {
    "PatientID": "P1",
    "PatientName": "Müller^[bold]",
    "StudyInstanceUID": "1.2.3",
    "ModalitiesInStudy": "CT\\SR",
    "NumberOfStudyRelatedInstances": "7",
    "RequestAttributesSequence": '{"vr":"SQ","Value":[{"00401001":{"vr":"SH","Value":["R7"]}}]}',
}


class Held:
    """An index of one study, which remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Query] = []

    @contextlib.contextmanager
    def finding(self, query: Query, limit: int) -> Iterator["Held"]:
        self.asked.append(query)
        self._pages = [[tuple(STUDY.get(one.keyword, "") for one in query.returning)], []]
        yield self

    def page(self, size: int) -> list[tuple[str, ...]]:
        return self._pages.pop(0)

    def interrupt(self) -> None: ...

    def let_go(self) -> None: ...


@pytest.fixture(scope="module")
def held() -> Held:
    return Held()


@pytest.fixture(scope="module")
def address(held: Held) -> Iterator[str]:
    """HOST:PORT of a server that PENUMBRA may ask."""
    node = {"ae_title": "PACS", "host": "127.0.0.1", "port": 0}
    settings = Settings.model_validate({"node": node, "peers": {"PENUMBRA": {"may": ["find"]}}})
    nothing: Any = None  # nobody stores here
    listener = Listener(
        settings, StoreService(nothing, settings, [], time.time), [StudyRootAlone(settings, held)]
    )
    listener.start()
    yield f"127.0.0.1:{listener.port}"
    listener.stop(0)


class StudyRootAlone(FindService):
    """A service that has one information model."""

    def contexts(self) -> Sequence[PresentationContext]:
        return list(super().contexts())[1:2]


def run(*arguments: str) -> Any:
    with structlog.testing.capture_logs():  # the server is in this process
        return CliRunner(env={"COLUMNS": "200"}).invoke(command, arguments)


def test_matches_come_as_json_lines(address: str, held: Held) -> None:
    """--json prints one object per match, decoded, with the keys that were asked for."""
    key = ("-k", "PatientName=müller*", "-k", "NumberOfStudyRelatedInstances", "-k", "0010,0020=P1")
    answer = run(address, "--called", "PACS", "--json", *key)
    assert answer.exit_code == 0, answer.output
    (line,) = answer.output.splitlines()
    row = json.loads(line)
    assert row["PatientName"] == "Müller^[bold]"
    assert row["ModalitiesInStudy"] == "CT\\SR"
    assert row["NumberOfStudyRelatedInstances"] == "7"
    assert held.asked[-1].criterion("PatientName") == Like(("muller*",))
    assert held.asked[-1].criterion("PatientID") == AnyOf(("P1",))


def test_sequences_are_asked_and_told(address: str, held: Held) -> None:
    """A key with dots stands in the item of a sequence, and a match's items are told."""
    step = "RequestAttributesSequence"
    keys = ("-k", f"{step}.RequestedProcedureID=R7", "-k", f"{step}.ScheduledProcedureStepID=")
    called = ("--called", "PACS", "--level", "SERIES", "--relational", "--json")
    answer = run(address, *called, *keys)
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.output)[step] == [{"RequestedProcedureID": "R7"}]
    (asked,) = held.asked[-1].sequences
    assert [one.attribute.keyword for one in asked.keys] == ["RequestedProcedureID"]
    plain = run(address, "--called", "PACS", "--level", "SERIES", "--relational", *keys)
    assert "RequestedProcedureID=R7" in plain.output


def test_matches_come_as_a_table(address: str) -> None:
    """Without --json a table is printed, and a value is never taken for markup."""
    answer = run(address, "--called", "PACS")
    assert "1 found" in answer.output
    assert "Müller^[bold]" in answer.output
    assert "CT, SR" in answer.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "HOST:PORT"),
        (["127.0.0.1:1", "-k", "PatientNam=x"], "PatientNam is not the keyword"),
        (["127.0.0.1:1", "-k", "Rows=many"], "Rows cannot hold this value"),
        (["127.0.0.1:1", "--level", "VOLUME"], "VOLUME"),
        (["127.0.0.1:1", "-k", "PatientID.CodeValue=x"], "PatientID in PatientID.CodeValue is no"),
        (["127.0.0.1:1", "-k", "ProcedureCodeSequence=x"], "with a dot"),
    ],
)
def test_a_wrong_call_is_explained(arguments: list[str], words: str) -> None:
    """A slip on the command line is told before anything is sent."""
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert words in answer.output


def test_faults_name_the_peer_and_the_cause(address: str) -> None:
    """A silent peer, a rejection, a missing model and a failed query each say what is wrong."""
    silent = run(f"127.0.0.1:{free_port()}")
    rejected = run(address, "--called", "OTHER")
    no_model = run(address, "--called", "PACS", "--root", "patient")
    broken = run(address, "--called", "PACS", "--level", "SERIES")
    assert isinstance(silent.exception, Unreachable)
    assert "called AE title not recognised" in str(rejected.exception)
    assert "accepts nothing" in str(no_model.exception)
    assert isinstance(broken.exception, Refused)
    assert "0xA900: StudyInstanceUID" in str(broken.exception)
