"""The node and Orthanc hold the same studies, and the same questions go to both in turns."""

import contextlib
import io
import secrets
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from bench.laps import Lap, Results
from bench.query.asking import Answer, FindClient, WebClient
from bench.query.questions import KINDS, Question, Study, questions, study
from dicom.store_scu import RemoteAe, StoreScu
from examples.peers import orthanc
from examples.peers.node import Node, running_node
from examples.peers.process import wait_until
from node.control_client import SOCKET_NAME, ControlClient
from node.web.tokens import PREFIX, digest_of

NODE, ORTHANC = "penumbra", "Orthanc"
AET = "ORTHANC"
ROUNDS = 5
"""So often the same questions are asked; each of a turn counts as one lap."""
INDEXED_WITHIN_S = 600.0
TABLES = """
[peers.BENCH]
may = ["store", "find"]
[tokens.bench]
digest = "{digest}"
may = ["query", "retrieve"]
"""
Client = FindClient | WebClient


@dataclass(frozen=True, slots=True)
class Pair:
    """Both servers, up and with the same studies."""

    node: Node
    token: str
    orthanc: orthanc.Orthanc

    def clients(self, way: str) -> dict[str, Client]:
        """Connect to both, by "find" or "qido"."""
        if way == "find":
            return {
                NODE: FindClient(self.node.port, "PENUMBRA"),
                ORTHANC: FindClient(self.orthanc.port, AET),
            }
        return {
            NODE: WebClient(self.node.http_port, "/dicom-web", self.token),
            ORTHANC: WebClient(self.orthanc.http_port, "/dicom-web"),
        }


def case(way: str, kind: str) -> str:
    """Name the table of a way of asking and a kind of question."""
    return f"{way} {kind}"


def new_token() -> tuple[str, str]:
    """Make a token of the API; gives it and its digest."""
    token = PREFIX + secrets.token_urlsafe(32)
    return token, digest_of(token)


@contextlib.contextmanager
def pair(folder: Path, tables: str = "") -> Iterator[Pair]:
    """Run both servers, empty; Orthanc with its DICOMweb plugin where that is installed."""
    token, digest = new_token()
    web = orthanc.web_plugin() is not None
    peers = {"DicomModalities": {"bench": ["BENCH", "127.0.0.1", 1]}}
    with (
        orthanc.running(folder / "orthanc", aet=AET, web=web, more=peers) as pacs,
        running_node(folder / "node", TABLES.format(digest=digest) + tables) as node,
    ):
        yield Pair(node, token, pacs)


def measure(results: Results, folder: Path, studies: int, count: int) -> None:
    """Fill both, then ask `count` questions of each kind, by C-FIND and by QIDO-RS, in turns."""
    if orthanc.binary() is None:
        results.missing.append("Orthanc (Debian: apt-get install orthanc)")
        return
    known = [study(number) for number in range(studies)]
    with pair(folder) as both:
        fill(both.node.port, "PENUMBRA", known)
        fill(both.orthanc.port, AET, known)
        wait_until(lambda: indexed(both.node) >= studies, INDEXED_WITHIN_S, "the index")
        for way in ("find", "qido"):
            if way == "qido" and orthanc.web_plugin() is None:
                results.missing.append("QIDO-RS (Debian: apt-get install orthanc-dicomweb)")
                continue
            _ask_both(results, both, way, known, count)


def _ask_both(results: Results, both: Pair, way: str, known: list[Study], count: int) -> None:
    with contextlib.ExitStack() as stack:
        clients = {name: stack.enter_context(client) for name, client in both.clients(way).items()}
        for turn in range(ROUNDS):
            asked = questions(known, count, seed=turn)
            for kind in KINDS:
                these = [one for one in asked if one.kind == kind]
                _turn(results, clients, way, these, turn)


def _turn(
    results: Results, clients: dict[str, Client], way: str, asked: list[Question], turn: int
) -> None:
    found: dict[str, list[Answer]] = {name: [] for name in clients}
    for number, question in enumerate(asked):
        names = list(clients) if number % 2 else list(reversed(clients))
        for name in names:
            found[name].append(clients[name].ask(question))
    counts = [[one.matches for one in answers] for answers in found.values()]
    assert counts[0] == counts[1], f"{asked[0].kind}: they found different numbers of studies"
    for name, answers in found.items():
        matches = sum(one.matches for one in answers)
        median_s = statistics.median(one.seconds for one in answers)
        label = case(way, asked[0].kind)
        results.laps.append(Lap(label, name, turn, 1, matches, median_s))


def fill(port: int, called: str, studies: list[Study]) -> None:
    """Send one small object of each study by C-STORE."""
    scu = StoreScu(RemoteAe("127.0.0.1", port, called, "BENCH"))
    try:
        for one in studies:
            made = _object(one)
            scu.store(
                [_part10(made)],
                sop_class_uid=CTImageStorage,
                sop_instance_uid=str(made.SOPInstanceUID),
                transfer_syntax_uid=ExplicitVRLittleEndian,
            )
    finally:
        scu.close()


def indexed(node: Node) -> int:
    """Count the Instances that the node's index has."""
    told = ControlClient(node.data_dir / SOCKET_NAME).status()
    return int(told["index"]["instances"])


def _object(about: Study) -> Dataset:
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.SOPClassUID = CTImageStorage
    made.SOPInstanceUID = f"{about.study_instance_uid}.1.1"
    made.StudyDate = about.study_date.strftime("%Y%m%d")
    made.StudyTime = "101500"
    made.AccessionNumber = f"A{about.study_instance_uid[-9:]}"
    made.Modality = about.modality
    made.StudyDescription = f"{about.modality} ROUTINE"
    made.SeriesDescription = "FIRST"
    made.ReferringPhysicianName = "REFERRER^ANY"
    made.PatientName = about.patient_name
    made.PatientID = about.patient_id
    made.PatientBirthDate = "19600101"
    made.PatientSex = "O"
    made.StudyInstanceUID = about.study_instance_uid
    made.SeriesInstanceUID = f"{about.study_instance_uid}.1"
    made.StudyID = "1"
    made.SeriesNumber = 1
    made.InstanceNumber = 1
    return made


def _part10(made: Dataset) -> bytes:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()
