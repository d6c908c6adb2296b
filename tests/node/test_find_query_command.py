"""`penumbra query` against a real server: tables, JSON lines, and faults in words."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import structlog
from click.testing import CliRunner
from pynetdicom import AE

from config.model import Settings
from dicom.errors import Refused, Unreachable
from dicom.matching import AnyOf, Like
from dicom.query import Query
from examples.peers.process import free_port
from node.commands.query import command
from node.services.find import FindService


class Held:
    """An index of one study, which remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Query] = []

    def find(self, query: Query, limit: int) -> Iterator[Mapping[str, str]]:
        self.asked.append(query)
        yield {
            "PatientID": "P1",
            "PatientName": "Müller^[bold]",
            "StudyInstanceUID": "1.2.3",
            "ModalitiesInStudy": "CT\\SR",
            "NumberOfStudyRelatedInstances": "7",
        }


@pytest.fixture(scope="module")
def held() -> Held:
    return Held()


@pytest.fixture(scope="module")
def address(held: Held) -> Iterator[str]:
    """HOST:PORT of a server that PENUMBRA may ask."""
    settings = Settings.model_validate({"peers": {"PENUMBRA": {"may": ["find"]}}})
    service = FindService(settings, held)
    ae = AE("PACS")
    ae.require_called_aet = True
    ae.supported_contexts = list(service.contexts())[1:]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(service.handlers()))
    assert server is not None
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


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
