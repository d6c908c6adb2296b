"""Real requesters: DCMTK's movescu and getscu, pynetdicom, Orthanc; and a node as it is served."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_role

from config.model import Settings
from examples.peers import orthanc
from examples.peers.node import Node, penumbra, running_node
from examples.peers.process import free_port, wait_until

PLAIN = "1.2.9.1"
CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
STUDY_MOVE, STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"
needs_dcmtk = pytest.mark.skipif(
    shutil.which("movescu") is None, reason="no movescu (Debian: apt-get install dcmtk)"
)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    """An Orthanc."""
    if orthanc.binary() is None:
        pytest.skip("no Orthanc (Debian: apt-get install orthanc)")
    with orthanc.running(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def archive(make_settings_of: Callable[..., Settings], pacs, opened_archive) -> Iterator[object]:
    """An archive that knows the Orthanc, as requester and as receiver."""
    peer = {"host": "127.0.0.1", "port": pacs.port, "may": ["move", "get", "find"]}
    with opened_archive(make_settings_of(peers={pacs.aet: peer})) as made:
        yield made


def keys(**named: str) -> Dataset:
    identifier = Dataset()
    for keyword, value in named.items():
        setattr(identifier, keyword, value)
    return identifier


@needs_dcmtk
def test_movescu_moves_a_study(archive, destination):
    """DCMTK's movescu is told Success, and the peer has the Study."""
    done = subprocess.run(
        ["movescu", "-v", "-S", "-aet", "SCU", "-aec", "PENUMBRA", "-aem", "DEST",
         "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={PLAIN}",
         "127.0.0.1", str(archive.listener.port)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Received Final Move Response (Success)" in done.stdout + done.stderr
    assert len(destination.stored) == 12


@needs_dcmtk
def test_getscu_gets_a_study(archive, tmp_path):
    """DCMTK's getscu writes down every object, as it was received."""
    done = subprocess.run(
        ["getscu", "-v", "-S", "-B", "-aet", "SCU", "-aec", "PENUMBRA", "-od", tmp_path,
         "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={PLAIN}",
         "127.0.0.1", str(archive.listener.port)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Number of Completed Suboperations : 12" in done.stdout + done.stderr
    written = {str(dcmread(file).SOPInstanceUID): file for file in tmp_path.iterdir()}
    assert len(written) == 12
    for uid, file in written.items():
        assert file.read_bytes().endswith(archive.dataset(uid))


def test_pynetdicom_moves_and_gets(archive, destination):
    """pynetdicom's own client is told of every count, and takes objects by C-GET."""
    entity = ApplicationEntity("SCU")
    entity.add_requested_context(STUDY_MOVE)
    entity.add_requested_context(STUDY_GET)
    entity.add_requested_context(CT, EXPLICIT)
    got: list[str] = []

    def store(event: evt.Event) -> int:
        got.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    association = entity.associate(
        "127.0.0.1", archive.listener.port, ae_title="PENUMBRA",
        ext_neg=[build_role(CT, scp_role=True)], evt_handlers=[(evt.EVT_C_STORE, store)],
    )  # fmt: skip
    assert association.is_established
    asked = keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=PLAIN,
                 SeriesInstanceUID=f"{PLAIN}.1")  # fmt: skip
    moved = [one for one, _ in association.send_c_move(asked, "DEST", STUDY_MOVE)]
    assert moved[-1].Status == 0
    assert moved[-1].NumberOfCompletedSuboperations == 6
    assert len(destination.stored) == 6
    gotten = [one for one, _ in association.send_c_get(asked, STUDY_GET)]
    assert gotten[-1].Status == 0
    assert got == [f"{PLAIN}.1.{number}" for number in range(1, 7)]
    association.release()


def test_orthanc_pulls_a_study(archive, pacs):
    """Orthanc asks by C-MOVE for itself, and holds the Study then."""
    pacs.introduce("PENUMBRA", archive.listener.port)
    asked = {"Level": "Study", "Resources": [{"StudyInstanceUID": PLAIN}], "TargetAet": pacs.aet}
    url = f"http://127.0.0.1:{pacs.http_port}/modalities/node/move"
    request = urllib.request.Request(url, json.dumps(asked).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    wait_until(lambda: len(pacs.received()) == 12, 10, "the Study at Orthanc")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node in a process of its own."""
    tables = f"""
[peers.SCU]
may = ["store", "move", "get"]
move_to = ["DEST"]
[peers.DEST]
host = "127.0.0.1"
port = {free_port()}
"""
    with running_node(tmp_path_factory.mktemp("served"), tables) as node:
        yield node


@needs_dcmtk
def test_a_served_node_gives_back_what_it_took(served, tmp_path, make_ct):
    """What was stored at the door comes back by C-GET within a second; the metrics count it."""
    files = tmp_path / "files"
    files.mkdir()
    for number in range(5):
        (files / f"{number}.dcm").write_bytes(make_ct(PLAIN, "1", number + 1))
    sent = penumbra("send", served.address, files, "--aet", "SCU", "--called", "PENUMBRA")
    assert sent.returncode == 0, sent.stderr

    def got() -> bool:
        out = tmp_path / "got"
        out.mkdir(exist_ok=True)
        subprocess.run(
            ["getscu", "-S", "-B", "-aet", "SCU", "-aec", "PENUMBRA", "-od", out,
             "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={PLAIN}",
             "127.0.0.1", str(served.port)],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        return len(list(out.iterdir())) == 5

    wait_until(got, 10, "the Study by C-GET")
    with urllib.request.urlopen(f"http://127.0.0.1:{served.http_port}/metrics", timeout=5) as told:
        text = told.read().decode()
    assert 'penumbra_retrievals_total{kind="get",peer="SCU",status="0x0000"}' in text
    assert 'penumbra_sub_operations_total{kind="get",outcome="completed",peer="SCU"} 5.0' in text
    assert PLAIN not in served.log.read_text().partition('"retrieval"')[2].partition("\n")[0]
